"""Length: whether better only means longer.

Judges prefer long answers, and revisions are longer than what they revise. So pairs say how much longer their
chosen side is, and a gain is told at equal length too.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.dialogue import Message
from arena.stats.intervals import Estimate, clustered_intercept, wilson

Row = Mapping[str, Any]

RESAMPLES = 1000
NEAR = 0.1
"""Texts whose lengths differ by at most this share of the shorter one are equally long."""


@dataclass(frozen=True)
class LengthBias:
    """How much longer the chosen side of pairs is."""

    pairs: int
    chosen: float
    """Mean words of what was chosen."""
    rejected: float
    """Mean words of what was rejected."""
    interval: tuple[float, float]
    """95 % of the ratio, by a bootstrap of whole problems; 0 to infinity with one problem."""
    longer: float
    """Share of pairs whose chosen side has more words, in [0, 1]."""

    @property
    def ratio(self) -> float:
        """Words chosen for one word rejected; infinite where nothing rejected has a word."""
        return self.chosen / self.rejected if self.rejected else math.inf

    @property
    def longer_interval(self) -> tuple[float, float]:
        """95 % of the share (Wilson)."""
        return wilson(self.longer, self.pairs)


def words(messages: Sequence[Message]) -> int:
    """Words of what messages say."""
    return sum(len(message["content"].split()) for message in messages)


def log_ratio(words: int, others: int) -> float:
    """ln(words / others); a text without words counts as one word.

    Opposite pairs give opposite numbers to the last bit, so that balanced pairs sum to 0.
    """
    return math.log(max(1, words)) - math.log(max(1, others))


def length_bias(preferences: Sequence[Row], seed: int = 0) -> LengthBias:
    """The length bias of rows of `preferences.jsonl`, at least one of them."""
    counts = np.array([(words(row["chosen"]), words(row["rejected"])) for row in preferences], float)
    chosen, rejected = counts.mean(0)
    return LengthBias(
        len(preferences),
        float(chosen),
        float(rejected),
        _ratio_interval(counts, [row["dialogue"] for row in preferences], seed),
        float((counts[:, 0] > counts[:, 1]).mean()),
    )


def _ratio_interval(counts: np.ndarray, clusters: Sequence[str], seed: int) -> tuple[float, float]:
    """95 % of sum(chosen) / sum(rejected), from percentiles of resampled clusters; counts is (n, 2)."""
    names, groups = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        return 0.0, math.inf
    sums = np.zeros((len(names), 2))
    np.add.at(sums, groups, counts)
    draw = np.random.default_rng(seed)
    drawn = [sums[draw.integers(len(names), size=len(names))].sum(0) for _ in range(RESAMPLES)]
    ratios = [chosen / rejected if rejected else math.inf for chosen, rejected in drawn]
    low, high = np.percentile(ratios, [2.5, 97.5], method="closest_observation")
    return float(low), float(high)


def equal_length(
    changes: Sequence[float], log_length_ratios: Sequence[float], clusters: Sequence[Hashable]
) -> Estimate | None:
    """The change of a rating between two texts of equal length, where the change is linear in ln length.

    Least squares of the change on the log length ratio; its intercept is the change at ratio 1, with an
    interval clustered by question.

    Args:
        changes: rating of the second text less that of the first.
        log_length_ratios: `log_ratio` of the second text to the first.
        clusters: the question of each pair of texts.

    Returns:
        None where the lengths do not tell: fewer than two pairs, or all ratios alike.
    """
    ratios = np.asarray(log_length_ratios, float)
    return clustered_intercept(changes, ratios[:, None], clusters)


def about_equal(words: int, others: int) -> bool:
    """Whether two texts are within `NEAR` of each other's length."""
    shorter, longer = sorted((words, others))
    return longer <= (1 + NEAR) * shorter
