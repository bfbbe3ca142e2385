"""Shares, means and their differences: nominal cover, and no false certainty where all came out alike."""

from collections.abc import Callable

import numpy as np
import pytest

from arena.stats.intervals import wilson
from arena.stats.resampling import Interval
from arena.stats.shares import less, mean, share


def test_without_values_there_is_no_share() -> None:
    """Nor a mean."""
    assert share([], []) is None
    assert mean([], []) is None


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.180), (1.0, 0.820, 1.0)])
def test_twenty_questions_of_one_kind_do_not_make_it_certain(value: float, low: float, high: float) -> None:
    """The interval of Wilson with Student's t, with the questions as trials and not the values."""
    found = share([value] * 40, [place // 2 for place in range(40)])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-3)
    assert found.n == 40 and found.clusters == 20


def test_a_difference_that_is_always_zero_may_be_otherwise_both_ways() -> None:
    """As far as the questions that were not seen allow."""
    found, never = mean([0.0] * 60, range(60), low=-1.0, high=1.0), share([0.0] * 60, range(60))
    assert found is not None and never is not None and never.high > wilson(0, 60)[1]
    assert (found.low, found.high) == pytest.approx((-never.high, never.high))


def test_on_a_scale_without_ends_a_constant_is_not_known() -> None:
    """Nothing bounds what was not seen."""
    found = mean([2.0] * 10, range(10))
    assert found is not None and found.value == 2.0
    assert not found.known


@pytest.mark.parametrize("measure", [share, mean])
def test_one_question_says_nothing_of_others(measure: Callable[..., Interval | None]) -> None:
    """However many values it has."""
    found = measure([0.0, 1.0, 1.0], ["a", "a", "a"])
    assert found is not None and not found.known


def test_independent_values_have_the_interval_of_wilson_with_students_t() -> None:
    """One value per question: 6 of 20, by hand. The jackknife variance is p (1 - p) / 19, so 19 trials."""
    found = share([1.0] * 6 + [0.0] * 14, range(20))
    assert found is not None
    assert (found.low, found.high) == pytest.approx(wilson(0.3, 19, 2.0930), abs=1e-4)


def test_values_of_one_question_that_are_alike_count_once() -> None:
    """Ten copies of each answer leave the interval as it was."""
    scores = [1.0] * 6 + [0.0] * 14
    once, often = share(scores, range(20)), share(scores * 10, list(range(20)) * 10)
    assert once is not None and often is not None
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert (often.n, often.clusters) == (200, 20)


@pytest.mark.parametrize("values", [[1.0, 0.0], [0.5, 0.5]])
def test_questions_that_all_come_to_a_half_do_not_make_it_certain(values: list[float]) -> None:
    """A judge that takes the first place always: each question is won once and lost once."""
    found = share(values * 12, [place // 2 for place in range(24)])
    assert found is not None and found.value == 0.5
    assert found.low < 0.3 and found.high > 0.7


def test_rounding_is_no_spread() -> None:
    """Means of 0.1 differ in their last digits by who is left out."""
    found = mean([0.1] * 7, range(7), 0.0, 1.0)
    assert found is not None and found.low < 0.09 and found.high > 0.3


def test_a_mean_stays_on_its_scale() -> None:
    """Three answers of 1 and one of 0 by Student's t would reach beyond 1."""
    found, free = mean([1.0, 1.0, 1.0, 0.0], range(4), 0.0, 1.0), mean([1.0, 1.0, 1.0, 0.0], range(4))
    assert found is not None and free is not None
    assert found.high == 1.0 < free.high
    assert (free.low, free.high) == pytest.approx((0.75 - 3.1824 * 0.25, 0.75 + 3.1824 * 0.25), abs=1e-4)


def test_what_is_not_on_the_scale_is_refused() -> None:
    """And what is no number; the last digits of a cosine are let pass."""
    for values in ([0.5, 1.5], [0.5, float("nan")]):
        with pytest.raises(ValueError, match="on this scale"):
            share(values, range(2))
    with pytest.raises(ValueError, match="on this scale"):
        mean([-2.0, 0.0], range(2), -1.0, 1.0)
    found = share([1.0 + 1e-7] * 2, range(2))
    assert found is not None and found.value == 1.0
    with pytest.raises(ValueError, match="each value has a cluster"):
        share([1.0], range(2))


@pytest.mark.parametrize(("questions", "draws"), [(5, 400), (12, 400), (60, 200)])
@pytest.mark.parametrize(("p", "alike"), [(0.1, 0.5), (0.5, 0.5), (0.3, 1.0)])
def test_the_interval_of_a_clustered_share_covers_it(
    questions: int, draws: int, p: float, alike: float
) -> None:
    """95 in 100 times or more, less what the draws allow, with 5 questions as with 60; never a point.

    Four values of a question, whose own share is from a beta distribution with this correlation (1: all are
    alike).
    """
    random, odds = np.random.default_rng(questions), (1 - alike) / alike
    own = random.beta(p * odds, (1 - p) * odds, (draws, questions)) if alike < 1 else None
    chance = (random.random((draws, questions)) < p).astype(float) if own is None else own
    scores = (random.random((draws, questions, 4)) < chance[:, :, None]).astype(float)
    clusters = np.repeat(np.arange(questions), 4).tolist()
    found = [interval for row in scores if (interval := share(row.ravel().tolist(), clusters))]
    assert len(found) == draws and all(one.low < one.high for one in found)
    assert sum(one.low <= p <= one.high for one in found) >= 0.925 * draws


def test_the_interval_of_a_mean_of_few_questions_covers_it() -> None:
    """8 questions of three answers each that share most of their spread; 95 in 100 times."""
    random = np.random.default_rng(3)
    values = random.normal(size=(600, 8, 1)) + 0.3 * random.normal(size=(600, 8, 3))
    clusters = np.repeat(np.arange(8), 3).tolist()
    found = [interval for row in values if (interval := mean(row.ravel().tolist(), clusters))]
    hits = sum(one.low <= 0 <= one.high for one in found)
    assert len(found) == 600 and 555 <= hits <= 585


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
