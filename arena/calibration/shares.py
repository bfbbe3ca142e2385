"""Intervals of shares and of their differences that stay honest where every item came out alike."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

from arena.stats.intervals import wilson
from arena.stats.resampling import Interval, Items, mean_of


def mean(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    seed: int = 0,
    low: float = -math.inf,
    high: float = math.inf,
) -> Interval | None:
    """The mean of `values` with a bootstrap interval over clusters; None without any.

    Where every draw has the same mean, a bootstrap would claim to know it exactly. Then the interval
    allows for what n clusters of one kind may have missed: a share q of others, at most the upper end of
    `wilson(0, n)`, anywhere between `low` and `high`. On a scale without ends it is not known.

    Args:
        values: (n,) each between `low` and `high`.
        clusters: (n,) the question of each value.
        seed: of the draws.
        low: least value that there can be.
        high: greatest value that there can be.
    """
    if not values:
        return None
    found = Items(clusters, seed).bootstrap(mean_of(values))
    if found is None or found.low < found.high:
        return found
    missed = wilson(0.0, found.clusters)[1]
    below, above = found.value - low, high - found.value
    return replace(found, low=found.value - missed * below, high=found.value + missed * above)


def share(values: Sequence[float], clusters: Sequence[Hashable], seed: int = 0) -> Interval | None:
    """The mean of values in [0, 1], such as 1 for a success, 0.5 for a tie, with its interval."""
    return mean(values, clusters, seed, 0.0, 1.0)


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
