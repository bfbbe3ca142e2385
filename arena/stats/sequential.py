"""Stop as soon as the data say enough: an interval that holds at every time at once.

Whoever looks at a 95 % interval after each question and stops when it excludes 1/2 will find a winner between
equals far more often than in 5 of 100 cases. A confidence sequence allows just that.
"""

import math
from dataclasses import dataclass

import numpy as np

from arena.stats.resampling import Interval

STEPS = 1000
"""Of the grid of means; the ends of the interval are on it, rounded outwards."""
TRUNCATION = 0.5
"""The largest share of the capital that a bet may lose (c in the paper)."""


@dataclass
class ConfidenceSequence:
    """Intervals of a mean that hold the true mean all at once, with probability 1 - `level`.

    The hedged capital process of Waudby-Smith and Ramdas (2024, "Estimating means of bounded random variables
    by betting", JRSS-B, section 4): a bet that the mean is above m and one that it is below, for every m,
    with their predictable plug-in stakes. If m is the mean, half of the capital of either bet ever reaches
    1 / level with probability `level` / 2 at most (Ville's inequality); the interval is all other m.

    The values must be independent: one per question (the mean over orders and samples), of questions in an
    order that has nothing to do with them, so shuffle the questions before.

    Args:
        level: the probability in (0, 1) that the mean is ever outside.
    """

    level: float = 0.05

    def __post_init__(self) -> None:
        """Start with no values."""
        if not 0 < self.level < 1:
            raise ValueError(f"a level is between 0 and 1, not {self.level}")
        self._means = np.linspace(0, 1, STEPS + 1)
        self._above, self._below = np.zeros(STEPS + 1), np.zeros(STEPS + 1)
        # No m needs a limit where a bet cannot lose.
        with np.errstate(divide="ignore"):
            self._most_above, self._most_below = TRUNCATION / self._means, TRUNCATION / (1 - self._means)
        self._n, self._sum, self._squares = 0, 0.0, 0.25

    def add(self, value: float) -> None:
        """Take in the value of one more question.

        Args:
            value: in [0, 1], such as a score; rescale other measures by bounds that are known before.

        Raises:
            ValueError: if it is outside of [0, 1] or no number: what was not judged has no value.
        """
        if not 0 <= value <= 1:
            raise ValueError(f"a value is in [0, 1], not {value}; leave out what was not judged")
        self._n += 1
        # Before this value is known to them: estimates of the values until now.
        variance = self._squares / self._n
        stake = math.sqrt(2 * math.log(2 / self.level) / (variance * self._n * math.log(1 + self._n)))
        self._above += np.log1p(np.minimum(stake, self._most_above) * (value - self._means))
        self._below += np.log1p(np.minimum(stake, self._most_below) * (self._means - value))
        self._sum += value
        self._squares += (value - (0.5 + self._sum) / (self._n + 1)) ** 2

    @property
    def interval(self) -> Interval:
        """The mean of the values so far (nan without any), and the interval, [0, 1] at first.

        Its ends are not known (infinite) where it does not hold the mean of the values: then they drift, and
        are not of one distribution.
        """
        if not self._n:
            return Interval(math.nan, 0.0, 1.0, 0, 0)
        value, capital = self._sum / self._n, np.maximum(self._above, self._below)
        kept = self._means[np.flatnonzero(capital < math.log(2 / self.level))]
        low, high = (kept[0] - 1 / STEPS, kept[-1] + 1 / STEPS) if len(kept) else (math.inf, -math.inf)
        if not low <= value <= high:
            return Interval(value, -math.inf, math.inf, self._n, self._n)
        return Interval(value, max(float(low), 0.0), min(float(high), 1.0), self._n, self._n)
