"""What the arms of a seed have in common: the drafts of the first step, prompts, weights and precision."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.errors import ConfigError
from arena.records import line
from arena.rundir import rows
from arena.runs import read_json

JUDGE = "judge."
"""What the settings of a judge begin with: nothing is drafted by them."""


def share_first_drafts(folder: Path, settings: Mapping[str, Any], others: Sequence[Path]) -> Path | None:
    """Give an arm the drafts of the first step of another arm that has all settings but those of the judge.

    All arms begin with equal weights, so they are what the arm would write itself, and the loop asks for
    nothing that is on record. An arm that has begun keeps what it has.

    Args:
        folder: of the arm.
        settings: of the arm, as flat keys.
        others: the folders of the other arms of this seed.

    Returns:
        Whose drafts were taken; None where there were none to take.
    """
    if (folder / "turns.jsonl").exists():
        return None
    for other in others:
        drafted = list(rows(other / "turns.jsonl"))
        # A later step shows that the first one is whole.
        if any(row["step"] > 0 for row in drafted) and drafts_alike(
            settings, read_json(other / "config.json")
        ):
            folder.mkdir(parents=True, exist_ok=True)
            scratch = folder / ".turns.writing"
            scratch.write_bytes(b"".join(line(row) for row in drafted if row["step"] == 0))
            scratch.replace(folder / "turns.jsonl")
            return other
    return None


def drafts_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two trainings with these flat settings begin with the same drafts."""
    keys = {key for key in {**one, **other} if not key.startswith(JUDGE) and key != "judge"}
    return all(one.get(key) == other.get(key) for key in keys)


def check_equal(folders: Mapping[str, Path]) -> None:
    """Refuse to compare arms of one seed that had other prompts, weights or precision.

    Args:
        folders: of the arms, and of what they are measured by, by name.

    Raises:
        ConfigError: names the two that differ, and in what.
    """
    first, *others = folders.items()
    for name, folder in others:
        for what in ("records", "identity"):
            one, other = (read_json(path / f"{what}.json") for path in (first[1], folder))
            if bad := [key for key in one.keys() & other.keys() if one[key] != other[key]]:
                key = sorted(bad)[0]
                raise ConfigError(
                    f"{first[0]} and {name} cannot be compared: {key} is {one[key]!r} and {other[key]!r} "
                    f"({first[1]}, {folder}); train them with the same data, weights and precision"
                )
