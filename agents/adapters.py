"""Low-rank adapters on disk: where one lies, what shape it has, and a name that is its content's."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import ConfigError

if TYPE_CHECKING:
    import torch

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
"""The files of an adapter, as PEFT writes them."""

_PLAIN = {"bias": "none", "use_dora": False, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}
"""What an adapter's settings must say, if they say it: other kinds are computed otherwise."""


@dataclass(frozen=True)
class Stored:
    """An adapter on disk."""

    folder: Path
    name: str
    """Its folder's name and a digest of its weights: equal names are equal adapters."""
    rank: int
    alpha: float
    targets: str | tuple[str, ...]

    def check_shape(self, rank: int, alpha: float) -> None:
        """Refuse to go on from it with another shape.

        Raises:
            ConfigError: names the settings to take.
        """
        if (self.rank, self.alpha) != (rank, alpha):
            raise ConfigError(
                f"{self.folder} has rank={self.rank} and alpha={self.alpha:g}: learning goes on from it with "
                f"the same: set train.rank={self.rank} train.alpha={self.alpha:g}"
            )

    def state(self) -> dict[str, "torch.Tensor"]:
        """Its low-rank weights by PEFT's names, without heads that stand beside them."""
        from safetensors.torch import load_file

        tensors: dict[str, torch.Tensor] = load_file(self.folder / TENSORS)
        return {key: tensor for key, tensor in tensors.items() if ".lora_" in key}


def find(path: str | Path) -> Path:
    """The folder of the adapter that `path` means: that folder, or a run's final or newest one, or a step's.

    Raises:
        ConfigError: there is none, or a run has several.
    """
    given = Path(path).expanduser()
    if _is_adapter(given):
        return given
    if _is_adapter(given / "adapter"):
        return given / "adapter"
    steps = sorted((given / "checkpoints").glob("step-??????"))
    if given.parent.name == "checkpoints":
        steps = [given]
    found = sorted(config.parent for config in steps[-1].rglob(CONFIG)) if steps else []
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{given} has {len(found)} adapters: name one, {', '.join(map(str, found))}")
    raise ConfigError(
        f"no adapter in {str(given)!r}: it needs {CONFIG} and {TENSORS}, as a run of arena.train leaves them "
        "in its folder `adapter`; finish that run, or give another path"
    )


def stored(path: str | Path) -> Stored:
    """The adapter that `path` means.

    Raises:
        ConfigError: there is none, or it is no plain LoRA adapter.
    """
    folder = find(path)
    config = _config(folder)
    odd = {key: config[key] for key, plain in _PLAIN.items() if config.get(key, plain) not in (plain, None)}
    if str(config.get("peft_type")) != "LORA" or odd:
        raise ConfigError(f"{folder / CONFIG} is no plain LoRA adapter: {odd or config.get('peft_type')}")
    targets = config["target_modules"]
    content = [path.read_bytes() for path in (folder / CONFIG, *sorted(folder.glob("*.safetensors")))]
    digest = hashlib.sha256(b"".join(content)).hexdigest()[:8]
    run = folder.parent if folder.name == "adapter" else folder
    return Stored(
        folder,
        f"{re.sub(r'[^A-Za-z0-9_-]', '_', run.name)}-{digest}",
        int(config["r"]),
        float(config["lora_alpha"]),
        targets if isinstance(targets, str) else tuple(sorted(targets)),
    )


def _is_adapter(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / TENSORS).is_file()


def _config(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{folder / CONFIG} is not JSON ({error}): write the adapter again") from error
    return found
