"""What a study has left in its folder, read back for the report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from arena.evaluation.room import BARE
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

    def measured(self, arm: str, seed: int) -> Path:
        """Where an arm, or the checkpoint that all began with, was measured."""


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
    trained = [(arm, seed) for arm in arms for seed in seeds if done(folders.folder(arm, seed))]
    own = {seed: folders.folder(arm, seed) for arm, seed in trained if arm == drafts_of}
    judging = same_drafts(drafts_of, own) if own else None
    return Results(
        conf,
        scale,
        control,
        [(one, other) for one, other in contrasts],
        arms,
        {
            seed: [text for arm in (BARE, *arms) for text in measures(folders.measured(arm, seed))]
            for seed in seeds
        },
        [training(folders.folder(arm, seed), arm, seed) for arm, seed in trained],
        judging,
        about,
        alarms([folders.folder(arm, seed) for arm, seed in trained]),
    )


def done(folder: Path) -> bool:
    """Whether a run came to its end."""
    return read_json(folder / "run.json").get("status") == "done"


def alarms(trained: Sequence[Path]) -> dict[str, int]:
    """What trainings said against themselves: alarm -> how many of them said it."""
    found = Counter(name for folder in trained for name in read_json(folder / "run.json").get("alarms", {}))
    return dict(sorted(found.items()))


def measures(folder: Path) -> list[Measured]:
    """What was measured of each text of an arm with a seed; nothing where it was not."""
    return measured_of(rows(folder / "measures.jsonl")) if done(folder) else []


def training(folder: Path, arm: str, seed: int) -> Learned:
    """What an arm's training came to."""
    metrics, steps = (list(rows(folder / f"{name}.jsonl")) for name in ("metrics", "steps"))
    return learned(arm, seed, metrics, steps)
