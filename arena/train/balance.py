"""Ratings as classes: which labels a rating stands for, and how much each label weighs."""

import math
from collections.abc import Sequence

CLASSES = tuple(range(1, 11))
"""The ratings that a critic can write."""


def shares(rating: float) -> dict[int, float]:
    """The whole ratings beside `rating`, each with its share; their weighted mean is `rating`.

    A mean of several reviewers, such as 6.25, is 6 for three quarters and 7 for one. A critic fitted to
    these shares expects 6.25, which it would not after rounding; a whole rating is one class.

    Args:
        rating: in [1, 10].

    Raises:
        ValueError: it is not.
    """
    if not CLASSES[0] <= rating <= CLASSES[-1]:
        raise ValueError(f"a rating must be in {CLASSES[0]}..{CLASSES[-1]}, got {rating!r}")
    low = math.floor(rating)
    above = rating - low
    return {low: 1 - above, low + 1: above} if above else {low: 1.0}


def class_counts(ratings: Sequence[float]) -> list[float]:
    """(10,) how many of `ratings` each class has, by their shares."""
    counts = [0.0] * len(CLASSES)
    for rating in ratings:
        for label, share in shares(rating).items():
            counts[label - CLASSES[0]] += share
    return counts


def inverse_frequency(counts: Sequence[float], smoothing: float) -> list[float]:
    """(10,) weights w(y) = c / (n(y) + smoothing), with c such that the records' mean weight is 1.

    The mean is over the records that were counted: sum n(y) w(y) = sum n(y). With no smoothing every class
    that occurs weighs the same in sum; the more smoothing, the nearer all weights are to 1. A class that does
    not occur has nothing to weigh, and 0.

    Args:
        counts: (10,) n(y), not all 0.
        smoothing: records added to each class, at least 0.
    """
    raw = [1 / (count + smoothing) if count else 0.0 for count in counts]
    scale = sum(counts) / sum(count * weight for count, weight in zip(counts, raw, strict=True))
    return [scale * weight for weight in raw]
