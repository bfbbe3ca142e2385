"""What several seeds of several arms come to: means over seeds, and differences paired by seed and prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from statistics import fmean
from typing import Any

from arena.evaluation.room import BARE
from arena.feedback.lengths import equal_length
from arena.stats.chance import by_chance
from arena.stats.intervals import Estimate, clustered_mean
from arena.studying.arms import MEASURES, Measured

Row = Mapping[str, Any]
AT_LENGTH = "rating_at_length"
LABELS: Mapping[str, str] = {
    "rating": MEASURES["rating"],
    AT_LENGTH: "that rating at equal length",
    **{name: label for name, label in MEASURES.items() if name != "rating"},
}
"""What the report calls each measure. The rating at equal length is of differences alone: the intercept of
the difference on ln of the ratio of words, which takes the two for linear."""
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
        for measure in LABELS
        for arm in arms
        if arm != against and (cell := _cell(seeds, measure, arm, against)) is not None
    ]


def _cell(seeds: Mapping[int, Sequence[Measured]], measure: str, arm: str, against: str) -> Cell | None:
    pairs = {seed: _pairs(rows, measure, arm, against) for seed, rows in seeds.items()}
    estimates = {seed: _estimate(measure, own, list(own)) for seed, own in pairs.items()}
    means = {seed: found.value for seed, found in estimates.items() if found is not None}
    if not means:
        return None
    over_seeds = clustered_mean(list(means.values()), list(means)) if len(means) > 1 else None
    everything = {(seed, prompt): pair for seed, own in pairs.items() for prompt, pair in own.items()}
    return Cell(measure, arm, against, means, over_seeds, _estimate(measure, everything, list(everything)))


def _pairs(rows: Sequence[Measured], measure: str, arm: str, against: str) -> dict[str, tuple[float, float]]:
    """By prompt: the difference, and ln of the ratio of words; an arm by itself is compared with nothing."""
    name = "rating" if measure == AT_LENGTH else measure
    own, other = ({row.prompt: row.values for row in rows if row.arm == each} for each in (arm, against))
    if not against:
        return {p: (v[name], 0.0) for p, v in own.items() if name in v and measure != AT_LENGTH}
    return {
        prompt: (
            values[name] - other[prompt][name],
            log((1 + values["words"]) / (1 + other[prompt]["words"])),
        )
        for prompt, values in own.items()
        if name in values and name in other.get(prompt, {})
    }


def _estimate(
    measure: str, pairs: Mapping[Any, tuple[float, float]], clusters: Sequence[Any]
) -> Estimate | None:
    values = [value for value, _ in pairs.values()]
    if measure == AT_LENGTH:
        return equal_length(values, [ratio for _, ratio in pairs.values()], clusters)
    return clustered_mean(values, clusters)


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
    margins: Mapping[int, float] = field(default_factory=dict)
    """By step, of the updates of learners that have margins."""


def learned(arm: str, seed: int, metrics: Sequence[Row], steps: Sequence[Row]) -> Learned:
    """Sum up a run of the arena's training by its tables."""
    last = metrics[-max(LEAST, -(-len(metrics) // END)) :]
    end = {name: fmean(row[name] for row in last) for name in LEARNING if last and name in last[0]}
    counts = {
        key: sum(row[key] for row in steps)
        for key in ("exchanges", "pairs", "ties", "abstained", "drafts", "truncated")
    }
    margins = {int(row["step"]): float(row["margin"]) for row in metrics if "margin" in row}
    return Learned(arm, seed, len(metrics), end=end, margins=margins, **counts)


def false_alarms(found: Sequence[Cell]) -> str:
    """How many of so many 95 % intervals leave 0 out by chance."""
    told = [cell for cell in found if cell.over_seeds is not None]
    shown = sum(cell.shown for cell in told)
    return by_chance(shown, len(told), "0", "nothing differed from anything")


def arms_of(seeds: Mapping[int, Sequence[Measured]]) -> list[str]:
    """The arms that were measured, without the untrained checkpoint."""
    return [arm for arm in dict.fromkeys(row.arm for rows in seeds.values() for row in rows) if arm != BARE]
