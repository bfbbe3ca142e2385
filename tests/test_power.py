"""How many questions it takes."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from arena.stats.power import advice, detectable, pairs_needed, spread_of
from arena.stats.resampling import Interval


@pytest.mark.parametrize(
    ("difference", "spread", "needed"), [(0.03, 0.5, 2183), (0.5, 1.0, 34), (-0.5, 1.0, 34)]
)
def test_the_number_is_computed_by_hand(difference: float, spread: float, needed: int) -> None:
    """((1.95996 + 0.84162) spread / difference)^2 + 1.95996^2 / 2, up: 2180.2 + 1.9; 31.4 + 1.9.

    34 for half a standard deviation is also what the noncentral t distribution gives.
    """
    assert pairs_needed(difference, spread) == needed


@pytest.mark.parametrize(("difference", "spread"), [(0.1, 0.5), (0.5, 0.5), (1.0, 1.2)])
def test_so_many_questions_show_the_difference_in_four_of_five_cases(
    difference: float, spread: float
) -> None:
    """Student's test of planted differences; with half of the questions it shows it far less often."""
    from scipy.special import stdtrit

    random, needed = np.random.default_rng(0), pairs_needed(difference, spread)
    power = []
    for n in (needed, needed // 2):
        values = random.normal(difference, spread, (4000, n))
        t = values.mean(1) / (values.std(1, ddof=1) / math.sqrt(n))
        power.append((t > stdtrit(n - 1, 0.975)).mean())
    assert power[0] == pytest.approx(0.8, abs=0.03)
    assert power[1] < 0.6


@pytest.mark.parametrize("n", [4, 30, 500])
def test_what_n_can_show_takes_n(n: int) -> None:
    """The two are each other's inverse."""
    assert pairs_needed(detectable(n, 0.4) * 1.000001, 0.4) == n


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_questions_show_nothing(n: int) -> None:
    """A spread is not known from one."""
    assert detectable(n, 0.5) == math.inf


def test_the_spread_is_that_of_questions_not_of_samples() -> None:
    """Means 1, 2, 3 of three questions, however often each was answered."""
    assert spread_of([1.0, 1.0, 1.0, 1.0, 3.0, 3.0], list("aabbcc")) == pytest.approx(math.sqrt(4 / 3))
    assert spread_of([0.0, 2.0, 2.0, 3.0], ["a", "a", "b", "c"]) == pytest.approx(1.0)
    assert math.isnan(spread_of([1.0, 2.0], ["a", "a"])) and math.isnan(spread_of([], []))
    assert spread_of([0.1] * 9, list(range(9))) == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: pairs_needed(0.0, 0.5),
        lambda: pairs_needed(math.nan, 0.5),
        lambda: pairs_needed(0.1, 0.0),
        lambda: pairs_needed(0.1, math.nan),
        lambda: pairs_needed(0.1, 0.5, power=1.0),
        lambda: detectable(10, -1.0),
        lambda: detectable(10, 0.5, level=0.0),
        lambda: advice(Interval(0.0, -1.0, 1.0, 5, 5), 0.5, 0.0),
    ],
)
def test_what_cannot_be_counted_is_refused(call: Callable[[], object]) -> None:
    """A difference of nothing, a spread of nothing, certainty."""
    with pytest.raises(ValueError, match="not"):
        call()


@pytest.mark.parametrize(
    ("found", "spread", "says"),
    [
        (
            Interval(0.012, -0.05, 0.07, 160, 80),
            0.5,
            "The difference of 0.012 is smaller than what 80 questions can show (0.16); "
            "it takes about 2200 more to see one of 0.03.",
        ),
        (
            Interval(-0.2, -0.3, -0.1, 80, 80),
            0.15,
            "The difference of -0.2 is more than chance gives with 80 questions; "
            "it takes about 120 more to see one of 0.03.",
        ),
        (
            Interval(0.01, -0.01, 0.03, 3000, 3000),
            0.5,
            "The difference of 0.01 is smaller than what 3000 questions can show (0.026); "
            "they are enough to see one of 0.03.",
        ),
        (
            Interval(0.16, -0.01, 0.33, 80, 80),
            0.5,
            "The difference of 0.16 may be chance with 80 questions; "
            "it takes about 2200 more to see one of 0.03.",
        ),
        (
            Interval(0.0, 0.0, 0.0, 9, 9),
            0.0,
            "9 questions all gave the same difference: "
            "how many more it takes to see a difference of 0.03 cannot be told.",
        ),
        (
            Interval(0.4, -math.inf, math.inf, 4, 1),
            math.nan,
            "1 question is too few: how many more it takes to see a difference of 0.03 cannot be told.",
        ),
    ],
)
def test_the_advice_is_one_plain_sentence(found: Interval, spread: float, says: str) -> None:
    """What was seen, what can be seen, how many more."""
    assert advice(found, spread, 0.03) == says


def test_following_the_advice_ends_it() -> None:
    """With so many more questions it says that they are enough."""
    more = pairs_needed(0.03, 0.5) - 80
    found = Interval(0.0, -0.01, 0.01, 80 + more, 80 + more)
    assert advice(found, 0.5, 0.03).endswith("they are enough to see one of 0.03.")
