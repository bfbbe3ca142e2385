"""The highest points of many concave functions at once, by Newton's method."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.errors import ArenaError

Array = NDArray[np.float64]
Slopes = Callable[[Array], tuple[Array, Array]]
"""From points (b, k) to the gradients (b, k) and the curvatures (b, k, k) there: minus the Hessians."""

LONGEST = 0.5
"""Of a step, in any coordinate: with it, log-likelihoods of choices always climb (Bach 2010, section 2)."""
CLOSE = 1e-8
MOST_STEPS = 200


def climb(slopes: Slopes, start: ArrayLike) -> Array:
    """The highest points of b functions of k coordinates.

    Args:
        slopes: of all b functions; their curvatures are positive definite.
        start: (b, k) where to start.

    Returns:
        (b, k), each coordinate to about 1e-8.

    Raises:
        ArenaError: if a function is still climbing after `MOST_STEPS` steps.
    """
    at = np.array(start, float)
    for _ in range(MOST_STEPS):
        gradient, curvature = slopes(at)
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        at += step / np.maximum(longest / LONGEST, 1)
        if longest.max(initial=0.0) < CLOSE:
            return at
    raise ArenaError(
        f"A fit of strengths or lengths still moves by {longest.max():.2g} after {MOST_STEPS} steps; "
        "please report the games that do this."
    )
