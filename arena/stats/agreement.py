"""How far two judges agree, or one with itself: in preferences, in labels, in the order of their numbers.

Kappa and the rank correlation are statistics for `arena.stats.resampling.Items.bootstrap`, which gives them
their intervals; a flip is 1 or 0 of each pair, and a flip rate is their `arena.stats.shares.share`.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def flip(one: str, other: str) -> float | None:
    """Whether two looks at one pair prefer different answers: the one definition of a flip.

    Looks are the two orders in which a judge is shown a pair, or two judges, embeddings or weights on it. A
    flip rate is the mean over the pairs that both looks decide: a tie or an abstention of either is neither a
    flip nor the lack of one, so that it is not in the denominator either. 1/2 is what a coin for each look
    gives.

    >>> flip("a", "b"), flip("a", "a"), flip("a", "")
    (1.0, 0.0, None)

    Args:
        one: the answer that the one look prefers, and not the place in which it stood; `""` for none of them.
        other: the same of the other look.

    Returns:
        1 or 0; None where one of them prefers neither.
    """
    return float(one != other) if one and other else None


def kappa(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Agreement beyond chance (Cohen 1960): 1 for the same labels, 0 for what chance gives, in [-1, 1].

    Args:
        ours: (n,) labels of one kind, such as strings; what has no label (an abstention) is left out before.
        theirs: (n,) the other judge's labels of the same items.

    Returns:
        (observed - chance) / (1 - chance); nan where that is not defined: without items, or where both
        give one and the same label to all.

    Raises:
        ValueError: if the columns differ in length.
    """
    one, other = _columns(ours, theirs)
    if not len(one):
        return math.nan
    _, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    ours_coded, theirs_coded = codes[: len(one)], codes[len(one) :]
    counts = [np.bincount(column, minlength=int(codes.max()) + 1) for column in (ours_coded, theirs_coded)]
    # In whole numbers, so that chance agreement of 1 is found exactly.
    agreed, chance, n = int((ours_coded == theirs_coded).sum()), int(counts[0] @ counts[1]), len(one)
    return (agreed * n - chance) / (n * n - chance) if chance < n * n else math.nan


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Rank correlation (Spearman 1904) in [-1, 1]; equal values share the mean of their ranks.

    Args:
        x: (n,) numbers.
        y: (n,) numbers of the same items.

    Returns:
        nan where one column does not vary, and without items.

    Raises:
        ValueError: if the columns differ in length, or hold what is not a number.
    """
    one, other = (np.asarray(column, float) for column in _columns(x, y))
    if np.isnan(one).any() or np.isnan(other).any():
        raise ValueError("a rank correlation needs numbers, but there is a nan; leave such items out")
    if not len(one):
        return math.nan
    a, b = (_ranks(column) - (len(column) + 1) / 2 for column in (one, other))
    scale = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return min(max(float((a * b).sum()) / scale, -1.0), 1.0) if scale else math.nan


def _columns(one: ArrayLike, other: ArrayLike) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"two columns of equal length are compared, not {a.shape} and {b.shape}")
    return a, b


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values share the mean of theirs; scipy's `rankdata` takes five times as long."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])
