"""What several seeds of several arms come to: means over seeds, and differences paired by seed and prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from arena.evaluation.room import BARE
from arena.stats.intervals import Estimate, clustered_mean
from arena.studying.arms import MEASURES, Measured

Row = Mapping[str, Any]
END, LEAST = 4, 3
"""The last fourth of a run's updates is its end, and at least so many."""
LEARNING: Mapping[str, str] = {
    "loss": "loss",
    "margin": "margin",
    "accuracy": "accuracy",
    "kl": "KL, nats/token",
}
"""What a learner writes of each update, and what the report calls it."""


@dataclass(frozen=True)
class Cell:
    """A number of one arm over all seeds."""

    measure: str
    arm: str
    against: str
    """With whom the difference is; `""` for the arm by itself."""
    seeds: Mapping[int, float]
    """Of each seed by itself."""
    over_seeds: Estimate | None
    """95 % interval of the mean over seeds (Student's t); None for one seed."""
    over_prompts: Estimate | None
    """These very seeds, prompts drawn anew: narrower, and of no other seed."""

    @property
    def value(self) -> float:
        """The mean of the seeds' values."""
        return fmean(self.seeds.values())

    @property
    def shown(self) -> bool:
        """Whether the interval over seeds leaves 0 out."""
        return self.over_seeds is not None and abs(self.over_seeds.value) > self.over_seeds.half

    @property
    def result(self) -> dict[str, Any]:
        """The same for programs; null where an interval is not known."""
        return {
            "measure": self.measure,
            "arm": self.arm,
            "against": self.against,
            "value": self.value,
            "seeds": {str(seed): value for seed, value in self.seeds.items()},
            "half_over_seeds": half_of(self.over_seeds),
            "half_over_prompts": half_of(self.over_prompts),
        }


def half_of(found: Estimate | None) -> float | None:
    """The half width of an interval; None where it is not known."""
    return found.half if found is not None and found.half < float("inf") else None


def cells(seeds: Mapping[int, Sequence[Measured]], arms: Sequence[str], against: str) -> list[Cell]:
    """Every measure of every arm as a difference from one of them, paired by seed and prompt.

    Args:
        seeds: what was measured, by seed.
        arms: those to compare, in order; an arm that a seed lacks is left out of it.
        against: an arm; `""`: no difference, the arms by themselves.
    """
    return [
        cell
        for measure in MEASURES
        for arm in arms
        if arm != against and (cell := _cell(seeds, measure, arm, against)) is not None
    ]


def _cell(seeds: Mapping[int, Sequence[Measured]], measure: str, arm: str, against: str) -> Cell | None:
    values: list[float] = []
    places: list[tuple[int, str]] = []
    for seed, rows in seeds.items():
        own, other = _by_prompt(rows, arm, measure), _by_prompt(rows, against, measure)
        for prompt, value in own.items():
            if not against or prompt in other:
                values.append(value - other.get(prompt, 0.0))
                places.append((seed, prompt))
    if not values:
        return None
    means = {
        seed: fmean(v for v, (s, _) in zip(values, places, strict=True) if s == seed)
        for seed in dict.fromkeys(s for s, _ in places)
    }
    over_seeds = clustered_mean(list(means.values()), list(means)) if len(means) > 1 else None
    return Cell(measure, arm, against, means, over_seeds, clustered_mean(values, places))


def _by_prompt(rows: Sequence[Measured], arm: str, measure: str) -> dict[str, float]:
    found = {row.prompt: row.values[measure] for row in rows if row.arm == arm}
    return {prompt: value for prompt, value in found.items() if value is not None}


@dataclass(frozen=True)
class Learned:
    """What one arm's training came to, with one seed."""

    arm: str
    seed: int
    updates: int
    exchanges: int
    pairs: int
    ties: int
    abstained: int
    drafts: int
    truncated: int
    end: Mapping[str, float]
    """Mean of each of `LEARNING` over the end of the run; never a minimum."""
    margins: tuple[float, ...] = ()
    """Of each update, where the learner has margins."""


def learned(arm: str, seed: int, metrics: Sequence[Row], steps: Sequence[Row]) -> Learned:
    """Sum up a run of the arena's training by its tables."""
    last = metrics[-max(LEAST, -(-len(metrics) // END)) :]
    end = {name: fmean(row[name] for row in last) for name in LEARNING if last and name in last[0]}
    counts = {
        key: sum(row[key] for row in steps)
        for key in ("exchanges", "pairs", "ties", "abstained", "drafts", "truncated")
    }
    margins = tuple(float(row["margin"]) for row in metrics if "margin" in row)
    return Learned(arm, seed, len(metrics), end=end, margins=margins, **counts)


def false_alarms(found: Sequence[Cell]) -> str:
    """How many of so many 95 % intervals leave 0 out by chance."""
    told = [cell for cell in found if cell.over_seeds is not None]
    shown = sum(cell.shown for cell in told)
    return (
        f"{shown} of {len(told)} intervals leave 0 out; about {0.05 * len(told):.1f} would if nothing "
        "differed from anything."
    )


def arms_of(seeds: Mapping[int, Sequence[Measured]]) -> list[str]:
    """The arms that were measured, without the untrained checkpoint."""
    return [arm for arm in dict.fromkeys(row.arm for rows in seeds.values() for row in rows) if arm != BARE]
