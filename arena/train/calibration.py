"""How well predicted ratings agree with those of people, beside predictions that look at nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

import numpy as np

from arena.evaluation.accuracy import mae, mse
from arena.stats.intervals import Z, clustered_mean


@dataclass(frozen=True)
class Calibration:
    """Errors on the 1..10 scale. Each `_half` is the half width of a 95 % interval over papers."""

    rated: int
    """Papers that got a rating, and have one; all numbers are of these."""
    abstained: int
    """Papers that got none."""
    mae: float
    """Mean absolute error."""
    mae_half: float
    mse: float
    """Mean squared error."""
    mse_half: float
    mae_mean: float
    """Control: the same for the mean of the ratings in training, whatever the paper."""
    mse_mean: float
    mae_median: float
    """Control: the same for their median."""
    mse_median: float
    mae_gain: float
    """How much smaller the absolute error is than the median's, paper by paper."""
    mae_gain_half: float
    mse_gain: float
    """How much smaller the squared error is than the mean's, paper by paper."""
    mse_gain_half: float
    concordance: float
    """Of two papers with different ratings, how often the better one is predicted so; 0.5 is a coin."""
    concordance_half: float


def calibrate(
    predicted: Sequence[float | None], rated: Sequence[float], trained: Sequence[float]
) -> Calibration | None:
    """Compare predictions with ratings.

    Args:
        predicted: one per paper; None where the critic abstained.
        rated: (papers,) what people said.
        trained: the ratings of the training set, not empty; the controls know them and nothing else.

    Returns:
        None where fewer than three papers got a rating, or no two of them differ in people's.
    """
    pairs = [(p, r) for p, r in zip(predicted, rated, strict=True) if p is not None]
    order = concordance([p for p, _ in pairs], [r for _, r in pairs])
    if order is None:
        return None
    errors = np.array([p - r for p, r in pairs])
    people = np.array([r for _, r in pairs])
    means, medians = (np.full_like(people, of(trained)) for of in (mean, median))
    found: dict[str, float] = {}
    for name, values in (
        ("mae", np.abs(errors)),
        ("mse", errors**2),
        ("mae_gain", np.abs(medians - people) - np.abs(errors)),
        ("mse_gain", (means - people) ** 2 - errors**2),
    ):
        estimate = clustered_mean(values.tolist(), range(len(pairs)))
        assert estimate is not None
        found |= {name: estimate.value, f"{name}_half": estimate.half}
    return Calibration(
        rated=len(pairs),
        abstained=len(predicted) - len(pairs),
        mae_mean=mae(means, people),
        mse_mean=mse(means, people),
        mae_median=mae(medians, people),
        mse_median=mse(medians, people),
        concordance=order[0],
        concordance_half=order[1],
        **found,
    )


def concordance(predicted: Sequence[float], rated: Sequence[float]) -> tuple[float, float] | None:
    """(share of pairs in the right order, half width of its 95 % interval); equal predictions count a half.

    Pairs of one rating say nothing. A paper is in many pairs, so the interval is a jackknife over papers.

    Returns:
        None for fewer than three papers, or where leaving one out leaves no pair that differs.
    """
    p, r = np.asarray(predicted, float), np.asarray(rated, float)
    if len(p) < 3:
        return None
    by_rating = np.sign(r[:, None] - r)
    right = np.where(by_rating == 0, 0.0, (1 + by_rating * np.sign(p[:, None] - p)) / 2)
    counted = np.abs(by_rating)
    left = counted.sum() - 2 * counted.sum(1)
    if not left.all():
        return None
    without = (right.sum() - 2 * right.sum(1)) / left
    n = len(p)
    error = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    return float(right.sum() / counted.sum()), Z * error
