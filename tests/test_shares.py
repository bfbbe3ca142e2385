"""Shares and their differences: nominal cover, and no false certainty where all came out alike."""

import random

import pytest

from arena.calibration.shares import less, mean, share
from arena.stats.intervals import wilson
from arena.stats.resampling import Interval


def test_without_values_there_is_no_share() -> None:
    """Nor a mean."""
    assert share([], []) is None
    assert mean([], []) is None


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.161), (1.0, 0.839, 1.0)])
def test_twenty_questions_of_one_kind_do_not_make_it_certain(value: float, low: float, high: float) -> None:
    """The interval of Wilson, with the questions as trials and not the values."""
    found = share([value] * 40, [place // 2 for place in range(40)])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-3)
    assert found.n == 40 and found.clusters == 20


def test_a_difference_that_is_always_zero_may_be_otherwise_both_ways() -> None:
    """As far as the questions that were not seen allow."""
    found = mean([0.0] * 60, range(60), low=-1.0, high=1.0)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((-wilson(0, 60)[1], wilson(0, 60)[1]))


def test_on_a_scale_without_ends_a_constant_is_not_known() -> None:
    """Nothing bounds what was not seen."""
    found = mean([2.0] * 10, range(10))
    assert found is not None and found.value == 2.0
    assert not found.known


def test_one_question_says_nothing_of_others() -> None:
    """However many values it has."""
    found = share([0.0, 1.0, 1.0], ["a", "a", "a"])
    assert found is not None and not found.known


@pytest.mark.slow
def test_the_interval_of_a_clustered_share_covers_it() -> None:
    """95 in 100 times, within what 200 draws allow, though the values of a question are all alike."""
    draw, hits = random.Random(5), 0
    for seed in range(200):
        drawn = [float(draw.random() < 0.3) for _ in range(40)]
        values = [value for value in drawn for _ in range(3)]
        found = share(values, [place // 3 for place in range(120)], seed)
        assert found is not None
        hits += found.low <= 0.3 <= found.high
    assert 180 <= hits <= 200


def test_a_difference_is_as_wide_as_both_together() -> None:
    """By Pythagoras, each side with the ends that it is made of."""
    one, other = Interval(0.7, 0.6, 0.9, 50, 30), Interval(0.2, 0.1, 0.6, 40, 20)
    found = less(one, other)
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5 - (0.1**2 + 0.4**2) ** 0.5)
    assert found.high == pytest.approx(0.5 + (0.2**2 + 0.1**2) ** 0.5)
    assert (found.n, found.clusters) == (40, 20)


def test_a_difference_from_nothing_is_not_defined() -> None:
    """Either way."""
    known = Interval(0.7, 0.6, 0.9, 50, 30)
    assert less(known, None) is None and less(None, known) is None
