"""How many questions it takes to see a difference (Cohen 1988, chapter 2; Miller 2024, arXiv 2411.00640).

All of it is about means of paired differences, one per question: of two models' scores on the same questions,
or of a win-rate less 1/2. The test is Student's at a two-sided level; sizes are those of the normal
approximation plus Guenther's (1981) correction for an unknown spread.
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np

from arena.stats.resampling import Interval


def spread_of(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """The standard deviation between questions of their mean values; nan with fewer than two questions.

    Args:
        values: (n,) differences.
        clusters: (n,) the question of each.
    """
    questions: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        questions.setdefault(cluster, []).append(value)
    means = [float(np.mean(own)) for own in questions.values()]
    if len(set(means)) == 1 < len(means):
        return 0.0  # exactly: rounding would make it a spread
    return float(np.std(means, ddof=1)) if len(means) > 1 else math.nan


def pairs_needed(difference: float, spread: float, power: float = 0.8, level: float = 0.05) -> int:
    """How many independent questions show `difference` with probability `power`.

    Args:
        difference: the true mean difference, in the units of the measure; its sign does not matter.
        spread: the standard deviation of the differences between questions (`spread_of`), above 0.
        power: probability in (0, 1) of seeing it.
        level: two-sided, in (0, 1): how often a difference is seen where there is none.

    Raises:
        ValueError: if the difference is 0, which no number of questions shows, or another is out of range.
    """
    if not (math.isfinite(difference) and difference):
        raise ValueError(f"questions can be counted for a difference other than 0, not for {difference}")
    test, both = _quantiles(spread, power, level)
    return math.ceil((both * spread / difference) ** 2 + test**2 / 2)


def detectable(n: int, spread: float, power: float = 0.8, level: float = 0.05) -> float:
    """The smallest true difference that n independent questions show with probability `power`.

    The same terms as `pairs_needed`, whose inverse it is.

    Returns:
        Infinite where n questions are too few to estimate the spread.

    Raises:
        ValueError: if the spread, the power or the level is out of range.
    """
    test, both = _quantiles(spread, power, level)
    left = n - test**2 / 2
    return both * spread / math.sqrt(left) if left > 0 else math.inf


def advice(found: Interval, spread: float, least: float) -> str:
    """What the questions so far can show, and how many more are needed, in one sentence.

    Args:
        found: the mean difference, 0 where there is none (of a win-rate, the win-rate less 1/2).
        spread: of the differences between questions, by `spread_of`.
        least: the smallest difference that matters, above 0, in the units of the measure, such as 0.03.

    Raises:
        ValueError: if `least` is not above 0.
    """
    if not least > 0:
        raise ValueError(f"the smallest difference that matters is above 0, not {least}")
    n = _questions(found.clusters)
    if not (spread > 0 and math.isfinite(spread)):
        few = "is too few" if found.clusters == 1 else "are too few"
        why = few if found.clusters < 2 else "all gave the same difference"
        return f"{n} {why}: how many more it takes to see a difference of {least:g} cannot be told."
    shows = detectable(found.clusters, spread)
    more = pairs_needed(least, spread) - found.clusters
    if found.sign:
        first = f"The difference of {found.value:.2g} is more than chance gives with {n}"
    elif abs(found.value) < shows:
        able = f"can show ({shows:.2g})" if math.isfinite(shows) else "can show"
        first = f"The difference of {found.value:.2g} is smaller than what {n} {able}"
    else:
        first = f"The difference of {found.value:.2g} may be chance with {n}"
    if more > 0:
        return f"{first}; it takes about {_about(more)} more to see one of {least:g}."
    return f"{first}; they are enough to see one of {least:g}."


def _quantiles(spread: float, power: float, level: float) -> tuple[float, float]:
    """The normal quantile of the test, and its sum with that of the power."""
    from scipy.special import ndtri

    if not (spread > 0 and math.isfinite(spread)):
        raise ValueError(f"a spread is above 0, not {spread}: it takes questions that differ to know it")
    if not (0 < power < 1 and 0 < level < 1):
        raise ValueError(f"power and level are between 0 and 1, not {power} and {level}")
    test = float(ndtri(1 - level / 2))
    return test, test + float(ndtri(power))


def _questions(n: int) -> str:
    return f"{n} question{'s' * (n != 1)}"


def _about(n: int) -> str:
    """Two digits, rounded up."""
    unit = 10 ** max(len(str(n)) - 2, 0)
    return str(-(-n // unit) * unit)
