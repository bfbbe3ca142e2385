"""Files that an evaluation reads: found by their patterns, and known again when it goes on."""

import glob
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from agents.errors import ConfigError
from arena import jsonl


def files(patterns: Sequence[str], setting: str) -> list[Path]:
    """The files of all patterns, each once, in order.

    Raises:
        ConfigError: a pattern means none; `setting` of the evaluation has it.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = jsonl.expanded(pattern)
        paths = [path] if path.is_file() else sorted(map(Path, glob.glob(str(path), recursive=True)))
        if not paths:
            raise ConfigError(
                f"no file {str(path)!r} (from {str(Path.cwd())!r}): give its path by "
                f"'evaluation.{setting}=[FILE, ...]', or set the environment variable ARENA_DATA to the "
                "folder of the data sets"
            )
        found |= dict.fromkeys(paths)
    return list(found)


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """What each file holds, as a digest, so that a continued evaluation finds the same."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths}
