"""Finding run folders, and what they say of themselves. Read only."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from agents.errors import ArenaError, ConfigError
from agents.human import printable
from arena.records import Row
from arena.spelling import did_you_mean

ROOT = Path("runs")
"""Where runs lie, below the working directory."""

SILENCE = 120
"""Seconds without a heartbeat after which a running job counts as dead."""

_MARKS = {"run.json", "turns.jsonl"}
_SHOWN = 8


def find_run(name: str = "", root: Path = ROOT) -> Path:
    """The run folder that `name` means: a path, or a name below `root`; `""` is the newest one.

    Raises:
        ConfigError: there is no such run; the message names those that there are.
    """
    if not name:
        found = runs_below(root)
        if not found:
            raise ConfigError(
                f"no runs in {str(root)!r} here: start one with python -m arena.run, or name a folder"
            )
        return found[0]
    for path in (Path(name).expanduser(), root / name):
        if _is_run(path):
            return path
    for path in (Path(name).expanduser(), root / name):
        if path.is_dir() and (inner := runs_below(path)):
            raise ConfigError(f"{name!r} is no run but holds {len(inner)}: name one, {_listed(inner)}")
    found = runs_below(root)
    names = [path.relative_to(root).as_posix() for path in found]
    there = f"runs here: {_listed(found, root)}" if found else f"no runs in {str(root)!r} here"
    raise ConfigError(f"{name!r} is no run{did_you_mean(name, names) or ';'} {there}")


def runs_below(root: Path) -> list[Path]:
    """The run folders below `root`, also those of sweeps; the one that changed last comes first."""
    found = []
    for folder, inner, files in os.walk(root):
        if _MARKS & set(files):
            found.append(Path(folder))
            inner.clear()
    return sorted(found, key=_changed, reverse=True)


def read_json(path: Path) -> Row:
    """The object in a file, empty if there is no such file; ArenaError if it is not JSON."""
    if not path.exists():
        return {}
    try:
        found: Row = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArenaError(f"{path} is not JSON ({error}): mend or delete it") from error
    return found


def state(info: Row) -> str:
    """The state of a run, from its `run.json`: a job that has fallen silent is dead, whatever it says."""
    said = str(info.get("status", "status unknown"))
    if said != "running" or "heartbeat" not in info:
        return printable(said)
    silent = (datetime.now(UTC) - datetime.fromisoformat(info["heartbeat"])).total_seconds()
    if silent <= SILENCE:
        return f"running, last heard of {max(silent, 0):.0f} s ago"
    return f"dead: it says running, but was last heard of {_ago(silent)} ago"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"


def _is_run(path: Path) -> bool:
    return any((path / mark).is_file() for mark in _MARKS)


def _changed(path: Path) -> float:
    return max((path / mark).stat().st_mtime for mark in _MARKS if (path / mark).exists())


def _listed(found: list[Path], root: Path | None = None) -> str:
    names = [path.relative_to(root).as_posix() if root else path.as_posix() for path in found]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
