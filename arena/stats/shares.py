"""Intervals of shares and means that stay honest with few questions, and where all of them came out alike.

A percentile interval of 8 questions holds a mean in 83 to 90 of 100 cases, and of answers that all came out
alike it is a point. These need no draws: the spread is a jackknife over clusters, the quantile Student's.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

from arena.stats.intervals import clustered_mean, wilson
from arena.stats.resampling import Interval

ROUNDING = 1e-12
"""A standard error below this part of the largest value is none."""
SLACK = 1e-6
"""How far a value may be off its scale: cosines in single precision exceed 1 in their last digits."""


def share(values: Sequence[float], clusters: Sequence[Hashable]) -> Interval | None:
    """The mean of values in [0, 1], such as 1 for a success, 0.5 for a tie, with its 95 % interval.

    The interval of Wilson for as many independent trials as would be known as well: p (1 - p) over the
    variance of a jackknife over clusters, no more than there are values, with Student's t of (clusters - 1)
    degrees of freedom (Korn and Graubard 1998, Survey Methodology 24; Dean and Pagano 2015, JSSAM 3).
    Where no cluster differs from the others there is no variance to go by, and each counts as one trial, so
    that the interval is never a point.

    Args:
        values: (n,) each in [0, 1].
        clusters: (n,) the question of each value.

    Returns:
        None without values; an interval without ends for a single cluster.

    Raises:
        ValueError: a value is outside of [0, 1], or the columns differ in length.
    """
    found = _spread(values, clusters, 0.0, 1.0)
    if found is None:
        return None
    interval, error = found
    if interval.clusters < 2:
        return interval
    p = interval.value
    trials = min(p * (1 - p) / error**2, interval.n) if error else interval.clusters
    low, high = wilson(p, trials, _student(interval.clusters))
    return replace(interval, low=low, high=high)


def mean(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    low: float = -math.inf,
    high: float = math.inf,
) -> Interval | None:
    """The mean of `values` with its 95 % interval: a jackknife over clusters, with Student's t.

    Where no cluster differs from the others, that would claim to know it exactly. Then the interval allows
    for what n clusters of one kind may have missed: a share q of others, at most the upper end of
    `share` of n zeros, anywhere between `low` and `high`. On a scale without ends it is not known.

    Args:
        values: (n,) each between `low` and `high`.
        clusters: (n,) the question of each value.
        low: least value that there can be.
        high: greatest value that there can be.

    Returns:
        None without values; an interval without ends for a single cluster.

    Raises:
        ValueError: a value is outside of the scale, or the columns differ in length.
    """
    found = _spread(values, clusters, low, high)
    if found is None:
        return None
    interval, error = found
    if interval.clusters < 2:
        return interval
    value, student = interval.value, _student(interval.clusters)
    if error:
        half = student * error
        return replace(interval, low=max(value - half, low), high=min(value + half, high))
    missed = wilson(0.0, interval.clusters, student)[1]
    return replace(interval, low=value - missed * (value - low), high=value + missed * (high - value))


def less(one: Interval | None, other: Interval | None) -> Interval | None:
    """The difference of two estimates from their own intervals (MOVER: Zou and Donner 2008).

    It takes them for independent. Estimates of the same questions rise and fall together, so that the
    interval is rather too wide than too narrow.

    Returns:
        None where one of them is not defined; n and clusters are the smaller ones.
    """
    if one is None or other is None:
        return None
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, low, high, min(one.n, other.n), min(one.clusters, other.clusters))


def _spread(
    values: Sequence[float], clusters: Sequence[Hashable], low: float, high: float
) -> tuple[Interval, float] | None:
    """The mean as an interval without ends, and its standard error: 0 where all clusters are alike."""
    if len(values) != len(clusters):
        raise ValueError(f"each value has a cluster, but there are {len(values)} and {len(clusters)}")
    wrong = [value for value in values if not low - SLACK <= value <= high + SLACK]
    if wrong:
        raise ValueError(f"values on this scale are between {low:g} and {high:g}, but one is {wrong[0]}")
    found = clustered_mean(values, clusters)
    if found is None:
        return None
    value = min(max(found.value, low), high)  # rounding may leave the scale
    interval = Interval(value, -math.inf, math.inf, found.n, found.clusters)
    if found.clusters < 2:
        return interval, math.inf
    error = found.half / _student(found.clusters)
    return interval, error if error > ROUNDING * max(map(abs, values)) else 0.0


def _student(clusters: int) -> float:
    """The quantile of Student's t for a 95 % interval."""
    from scipy.special import stdtrit

    return float(stdtrit(clusters - 1, 0.975))
