"""Intervals: shares by Wilson, means of clustered values by a jackknife."""

import math

import numpy as np
import pytest

from arena.stats.intervals import clustered_intercept, clustered_mean, wilson


@pytest.mark.parametrize(
    ("share", "n", "interval"),
    [(0.5, 10, (0.2366, 0.7634)), (0.0, 10, (0.0, 0.2775)), (1.0, 10, (0.7225, 1.0))],
)
def test_a_share_has_the_interval_of_wilson(share: float, n: int, interval: tuple[float, float]) -> None:
    """As tabled; it stays within [0, 1] where all or none succeed."""
    assert wilson(share, n) == pytest.approx(interval, abs=1e-4)


def test_a_share_of_nothing_may_be_any() -> None:
    """Without a trial."""
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_a_mean_of_single_values_has_the_usual_interval() -> None:
    """4, 5, 6: standard error 1 / sqrt 3, Student's t with 2 degrees of freedom 4.3027: 2.4841."""
    found = clustered_mean([4.0, 5.0, 6.0], ["a", "b", "c"])
    assert found is not None
    assert (found.value, found.half) == (pytest.approx(5.0), pytest.approx(2.4841, abs=1e-4))
    assert (found.n, found.clusters) == (3, 3)
    assert found.interval == pytest.approx((2.5159, 7.4841), abs=1e-4)


def test_repeated_values_of_a_question_do_not_narrow_the_interval() -> None:
    """Each value ten times over is not more questions."""
    once = clustered_mean([4.0, 5.0, 6.0], ["a", "b", "c"])
    often = clustered_mean([4.0, 5.0, 6.0] * 10, ["a", "b", "c"] * 10)
    assert once is not None and often is not None
    assert often.half == pytest.approx(once.half)
    assert often.n == 30


def test_one_question_has_a_mean_and_no_interval() -> None:
    """However many values it has."""
    found = clustered_mean([4.0, 6.0], ["a", "a"])
    assert found is not None
    assert (found.value, found.half) == (5.0, math.inf)


def test_no_values_have_no_mean() -> None:
    """None, and no number."""
    assert clustered_mean([], []) is None


def test_the_intercept_is_that_of_the_line() -> None:
    """The line y = 2 + 3x, exactly."""
    x = np.array([[0.5], [1.0], [2.0], [4.0]])
    found = clustered_intercept(list(2 + 3 * x[:, 0]), x, "abcd")
    assert found is not None
    assert (found.value, found.half) == (pytest.approx(2.0), pytest.approx(0.0, abs=1e-9))


def test_covariates_that_do_not_differ_leave_the_intercept_undefined() -> None:
    """Any line through one point will do."""
    assert clustered_intercept([1.0, 2.0, 3.0], [[0.3]] * 3, "abc") is None


def test_a_line_that_hangs_on_one_question_has_no_interval() -> None:
    """Without question c the covariates are all alike."""
    found = clustered_intercept([1.0, 2.0, 3.0], [[0.0], [0.0], [1.0]], "abc")
    assert found is not None
    assert (found.value, found.half) == (pytest.approx(1.5), math.inf)
