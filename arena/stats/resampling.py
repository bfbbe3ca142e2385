"""95 % intervals of any statistic of items that come in clusters, and of differences on the same items.

Several reviews of one paper are not several papers: whole clusters are drawn or left out. Two ways of doing
a thing are compared on the same draws, so that what is common to both cancels (paired intervals).
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.intp]
Statistic = Callable[[Places], float]
"""A number of the items at these places; not finite where it is not defined."""

RESAMPLES = 2000
FEWEST = 6
"""Clusters for an interval of draws, which reach no further than the clusters do: of fewer, all are on one
side of the truth in 6 % of cases or more (sign test)."""
ROUNDING = 1e-12
"""Draws that differ by less than this part of the value are alike."""


@dataclass(frozen=True)
class Interval:
    """A number and its 95 % interval."""

    value: float
    low: float
    """Minus infinity where the clusters are too few to tell."""
    high: float
    n: int
    """Items behind it."""
    clusters: int

    @property
    def known(self) -> bool:
        """Whether the interval has two ends."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is above or below 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def numbers(self) -> dict[str, float | int | None]:
        """The same for JSON, which has no infinity: null is an end that is not known."""
        low, high = (end if math.isfinite(end) else None for end in (self.low, self.high))
        return {"value": self.value, "low": low, "high": high, "n": self.n, "clusters": self.clusters}


@dataclass(frozen=True)
class Items:
    """Items by their clusters.

    Args:
        clusters: (n,) what each item belongs to, one or more.
        seed: of the draws: equal seeds give equal draws, so that intervals of one object are paired.
    """

    clusters: Sequence[Hashable]
    seed: int = 0

    @cached_property
    def groups(self) -> list[Places]:
        """The places of each cluster's items."""
        found: dict[Hashable, list[int]] = {}
        for place, cluster in enumerate(self.clusters):
            found.setdefault(cluster, []).append(place)
        return [np.array(places, dtype=np.intp) for places in found.values()]

    @cached_property
    def draws(self) -> list[Places]:
        """The places of `RESAMPLES` draws of as many clusters as there are, with replacement."""
        random, count = np.random.default_rng(self.seed), len(self.groups)
        drawn = random.integers(count, size=(RESAMPLES, count))
        return [np.concatenate([self.groups[i] for i in row]) for row in drawn]

    def bootstrap(self, statistic: Statistic) -> Interval | None:
        """The statistic with its percentile interval (Efron and Tibshirani 1993, chapter 13).

        The percentiles are expanded for few clusters (`percentiles`). The interval is not known with fewer
        than `FEWEST` clusters, where the statistic is not defined in some draws, and where it is the same in
        all: that nothing was seen to differ does not mean that nothing does. Shares and means have an
        interval then, too: `arena.stats.shares`.

        Returns:
            None where it is not defined for the items themselves.
        """
        value = statistic(np.arange(len(self.clusters)))
        if not math.isfinite(value):
            return None
        ends, count = (-math.inf, math.inf), len(self.groups)
        if count >= FEWEST:
            values = np.array([statistic(places) for places in self.draws])
            if np.isfinite(values).all():
                low, high = (float(end) for end in np.percentile(values, percentiles(count)))
                ends = (low, high) if high - low > ROUNDING * max(abs(low), abs(high)) else ends
        return Interval(float(value), *ends, len(self.clusters), count)

    def jackknife(self, statistic: Statistic) -> Interval | None:
        """The statistic, its interval from leaving out one cluster at a time, with Student's t (Miller 1974).

        For what depends on repetition, such as distinct-n: a draw with replacement repeats texts.

        Returns:
            None where it is not defined for the items themselves.
        """
        from scipy.special import stdtrit

        value, count = statistic(np.arange(len(self.clusters))), len(self.groups)
        if not math.isfinite(value):
            return None
        half = math.inf
        if count > 1:
            everything = np.arange(len(self.clusters))
            values = np.array([statistic(np.setdiff1d(everything, group)) for group in self.groups])
            error = math.sqrt((count - 1) / count * float(np.sum((values - values.mean()) ** 2)))
            half = float(stdtrit(count - 1, 0.975)) * error
            half = half if math.isfinite(half) else math.inf
        return Interval(float(value), value - half, value + half, len(self.clusters), count)


def percentiles(clusters: int, shrinkage: float | None = None) -> tuple[float, float]:
    """Those of the draws that make a 95 % interval.

    With few clusters they are further out than 2.5 and 97.5: the draws vary less than an estimate does, and
    how much that varies is itself estimated (expanded percentiles: Hesterberg 2015, arXiv 1411.5279).

    Args:
        clusters: n, at least 2.
        shrinkage: variance of the draws as a part of that of an estimate; (n - 1) / n where clusters are
            drawn with replacement, which is the default.
    """
    from scipy.special import ndtr, stdtrit

    part = (clusters - 1) / clusters if shrinkage is None else shrinkage
    tail = 100 * float(ndtr(-float(stdtrit(clusters - 1, 0.975)) / math.sqrt(part)))
    return tail, 100 - tail


def mean_of(values: Sequence[float]) -> Statistic:
    """The mean of the values at some places."""
    column = np.asarray(values, float)
    return lambda places: float(column[places].mean()) if len(places) else math.nan
