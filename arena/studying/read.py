"""What a study has left in its folder, read back for the report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from arena.rundir import rows
from arena.runs import read_json
from arena.studying.arms import Measured, measured_of
from arena.studying.page import Results
from arena.studying.pooled import Learned, learned
from arena.studying.same_drafts import same_drafts


class Folders(Protocol):
    """Where the parts of a study lie."""

    def folder(self, arm: str, seed: int) -> Path:
        """The run folder of an arm."""

    def measured(self, seed: int) -> Path:
        """Where the arms of a seed were measured."""


def results(
    conf: str,
    scale: str,
    control: str,
    drafts_of: str,
    contrasts: Sequence[Sequence[str]],
    arms: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    folders: Folders,
    about: Sequence[str],
) -> Results:
    """All that a finished study has found.

    Args:
        conf: of the study.
        scale: its size.
        control: the arm that the others are compared with.
        drafts_of: the arm on whose drafts the judge is looked at by itself.
        contrasts: pairs of arms whose difference is asked for.
        arms: arm -> the settings in which it differs.
        seeds: in order.
        folders: where everything lies.
        about: what was trained, on what, in sentences.
    """
    judging = same_drafts(drafts_of, {seed: folders.folder(drafts_of, seed) for seed in seeds})
    return Results(
        conf,
        scale,
        control,
        [(one, other) for one, other in contrasts],
        arms,
        {seed: texts(folders.measured(seed)) for seed in seeds},
        [training(folders.folder(arm, seed), arm, seed) for arm in arms for seed in seeds],
        judging,
        about,
        alarms([folders.folder(arm, seed) for arm in arms for seed in seeds]),
    )


def alarms(trained: Sequence[Path]) -> dict[str, int]:
    """What trainings said against themselves: alarm -> how many of them said it."""
    found = Counter(name for folder in trained for name in read_json(folder / "run.json").get("alarms", {}))
    return dict(sorted(found.items()))


def texts(folder: Path) -> list[Measured]:
    """What was measured of each text of a seed."""
    return [measured_of(row) for row in rows(folder / "texts.jsonl")]


def training(folder: Path, arm: str, seed: int) -> Learned:
    """What an arm's training came to."""
    metrics, steps = (list(rows(folder / f"{name}.jsonl")) for name in ("metrics", "steps"))
    return learned(arm, seed, metrics, steps)
