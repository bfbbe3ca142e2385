"""How near predicted ratings come to true ones: pure functions of two columns of equal length."""

import numpy as np
from numpy.typing import ArrayLike


def mse(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean squared error, at least 0."""
    return float(np.mean((np.asarray(predicted, float) - np.asarray(true, float)) ** 2))


def mae(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean absolute error, at least 0."""
    return float(np.mean(np.abs(np.asarray(predicted, float) - np.asarray(true, float))))


def smape(predicted: ArrayLike, true: ArrayLike) -> float:
    """Symmetric mean absolute percentage error in per cent, in [0, 200].

    100 mean(2 |p - t| / (|p| + |t|)), as Critic-IdeaKing's `Eval` computes it. Both columns are above 0.
    """
    p, t = np.asarray(predicted, float), np.asarray(true, float)
    return float(100 * np.mean(2 * np.abs(p - t) / (np.abs(p) + np.abs(t))))


def inflation(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean predicted minus mean true: above 0 the ratings are too kind."""
    return float(np.mean(np.asarray(predicted, float)) - np.mean(np.asarray(true, float)))
