"""95 % intervals of shares, and of estimates whose values come in clusters.

Several values of one question are not several questions: they rise and fall together, and an interval that
takes them for independent is too narrow (Miller 2024, https://arxiv.org/abs/2411.00640).
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z = 1.96
SINGULAR = 1e12
"""Condition number from which a design cannot be solved."""


@dataclass(frozen=True)
class Estimate:
    """A number and how well it is known."""

    value: float
    half: float
    """Half width of the 95 % interval; infinite where the clusters are too few to tell."""
    n: int
    """Values behind it."""
    clusters: int
    """Independent questions behind it."""

    @property
    def interval(self) -> tuple[float, float]:
        """Its two ends."""
        return self.value - self.half, self.value + self.half


def wilson(share: float, n: float, z: float = Z) -> tuple[float, float]:
    """The 95 % interval of a share in [0, 1] of n trials (Wilson 1927); all of [0, 1] without a trial.

    Args:
        share: what was found.
        n: trials; an effective number need not be whole.
        z: quantile of the interval: of the normal distribution, or of Student's t where n is an estimate.
    """
    if not n:
        return 0.0, 1.0
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)  # rounding may leave the scale


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> Estimate | None:
    """The mean of `values`; None without any. Its interval is that of `clustered_intercept`."""
    return clustered_intercept(values, np.empty((len(values), 0)), clusters)


def clustered_intercept(
    values: Sequence[float], covariates: ArrayLike, clusters: Sequence[Hashable]
) -> Estimate | None:
    """The mean that `values` have where all covariates are 0, by least squares.

    The interval is a jackknife over clusters with Student's t of (clusters - 1) degrees of freedom ("CV3" of
    MacKinnon, Nielsen and Webb 2023, https://arxiv.org/abs/2205.03288), which keeps its level with few
    clusters and with clusters of unequal size.

    Args:
        values: (n,) what is explained.
        covariates: (n, k) what explains it, without the column of ones; k may be 0.
        clusters: (n,) the question of each value.

    Returns:
        None where the covariates leave the intercept undefined: too few values, or none that differ.
    """
    from scipy.special import stdtrit  # a third of a second, which shares need not wait for

    y = np.asarray(values, float)
    design = np.column_stack([np.ones(len(y)), np.asarray(covariates, float)])
    _, groups = np.unique([str(cluster) for cluster in clusters], return_inverse=True)
    count = int(groups.max()) + 1 if len(y) else 0
    squares, products = np.zeros((count, *design.shape[1:] * 2)), np.zeros((count, design.shape[1]))
    np.add.at(squares, groups, design[:, :, None] * design[:, None, :])
    np.add.at(products, groups, design * y[:, None])
    whole = _intercepts(squares.sum(0, keepdims=True), products.sum(0, keepdims=True))
    if whole is None:
        return None
    without = _intercepts(squares.sum(0) - squares, products.sum(0) - products) if count > 1 else None
    if without is None:
        return Estimate(float(whole[0]), math.inf, len(y), count)
    error = math.sqrt((count - 1) / count * float(np.sum((without - whole[0]) ** 2)))
    return Estimate(float(whole[0]), float(stdtrit(count - 1, 0.975)) * error, len(y), count)


def _intercepts(squares: NDArray[np.float64], products: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(m,) intercepts of m systems (m, k, k) and (m, k); None if one of them cannot be solved."""
    if not squares.any() or np.linalg.cond(squares).max() > SINGULAR:
        return None
    return np.asarray(np.linalg.solve(squares, products[:, :, None])[:, 0, 0])
