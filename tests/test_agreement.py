"""Agreement of two judges: Cohen's kappa and Spearman's rank correlation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.stats.agreement import flip, kappa, rank_correlation
from arena.stats.resampling import Items

NUMBERS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12)


@pytest.mark.parametrize(
    ("one", "other", "turned"),
    [("a", "b", 1.0), ("b", "b", 0.0), ("", "b", None), ("a", "", None), ("", "", None)],
)
def test_a_flip_takes_two_preferences(one: str, other: str, turned: float | None) -> None:
    """A tie or an abstention of either look is neither a flip nor the lack of one."""
    assert flip(one, other) == turned


def test_kappa_is_computed_by_hand() -> None:
    """Both say yes 20 times, both no 15, one alone 5, the other alone 10 (the example of many textbooks).

    Observed 35 / 50 = 0.7; by chance 0.5 0.6 + 0.5 0.4 = 0.5; kappa (0.7 - 0.5) / (1 - 0.5) = 0.4.
    """
    ours = ["yes"] * 20 + ["no"] * 15 + ["yes"] * 5 + ["no"] * 10
    theirs = ["yes"] * 20 + ["no"] * 15 + ["no"] * 5 + ["yes"] * 10
    assert kappa(ours, theirs) == pytest.approx(0.4)


def test_kappa_of_three_labels_is_computed_by_hand() -> None:
    """A a b c against a b b c: observed 3/4; by chance (2 1 + 1 2 + 1 1) / 16 = 5/16; (7/16) / (11/16)."""
    assert kappa(["a", "a", "b", "c"], ["a", "b", "b", "c"]) == pytest.approx(7 / 11)


def test_equal_labels_have_kappa_one_and_opposite_ones_minus_one() -> None:
    """Two labels, half each."""
    assert kappa(["a", "b"], ["a", "b"]) == 1.0
    assert kappa(["a", "b"], ["b", "a"]) == -1.0


def test_a_judge_at_random_agrees_often_and_has_no_kappa() -> None:
    """9 of 10 pairs are won by a: a random judge with that habit agrees in 82 %, by chance."""
    random = np.random.default_rng(0)
    ours, theirs = (np.where(random.random(20000) < 0.9, "a", "b") for _ in range(2))
    assert (ours == theirs).mean() > 0.8
    assert kappa(ours, theirs) == pytest.approx(0, abs=0.03)


def test_the_interval_of_a_random_judge_holds_zero() -> None:
    """As commands compute it: in draws of clusters."""
    random = np.random.default_rng(1)
    ours, theirs = (np.where(random.random(120) < 0.5, "a", "b") for _ in range(2))
    found = Items(np.repeat(np.arange(40), 3).tolist()).bootstrap(
        lambda places: kappa(ours[places], theirs[places])
    )
    assert found is not None and found.low < 0 < found.high and found.clusters == 40


@pytest.mark.parametrize(("ours", "theirs"), [([], []), (["a"], ["a"]), (["a"] * 9, ["a"] * 9)])
def test_kappa_is_not_defined_where_chance_explains_all(ours: list[str], theirs: list[str]) -> None:
    """No items, or one label for all."""
    assert math.isnan(kappa(ours, theirs))


def test_rank_correlation_is_scipys_with_ties() -> None:
    """Equal values share the mean of their ranks."""
    from scipy.stats import spearmanr

    x, y = [1.0, 2.0, 2.0, 5.0, 3.0], [2.0, 1.0, 4.0, 9.0, 4.0]
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)


def test_rank_correlation_is_computed_by_hand() -> None:
    """Ranks 1 2 3 4 and 1 3 2 4: 1 - 6 (0 + 1 + 1 + 0) / (4 (16 - 1)) = 0.8."""
    assert rank_correlation([10, 20, 30, 40], [1, 3, 2, 9]) == pytest.approx(0.8)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [2.0]), ([5.0] * 3, [1.0, 2.0, 3.0])])
def test_what_does_not_vary_has_no_rank_correlation(x: list[float], y: list[float]) -> None:
    """Nor has nothing."""
    assert math.isnan(rank_correlation(x, y))


def test_a_rating_that_is_none_has_no_rank() -> None:
    """An abstention is no number."""
    with pytest.raises(ValueError, match="leave such items out"):
        rank_correlation([1.0, math.nan], [1.0, 2.0])


@pytest.mark.parametrize("measure", [kappa, rank_correlation])
def test_columns_of_unequal_length_are_refused(measure: Callable[..., float]) -> None:
    """Rather than paired as far as they go."""
    with pytest.raises(ValueError, match="equal length"):
        measure([1, 2, 3], [1, 2])


@settings(max_examples=60, deadline=None)
@given(NUMBERS)
def test_both_are_symmetric_and_on_their_scale(rows: list[tuple[int, int]]) -> None:
    """Whoever is called the first judge."""
    x, y = [row[0] for row in rows], [row[1] for row in rows]
    for measure in (kappa, rank_correlation):
        found = measure(x, y)
        assert math.isnan(found) == math.isnan(measure(y, x))
        assert math.isnan(found) or -1 <= found <= 1 and measure(y, x) == pytest.approx(found)
