"""The Bayesian bootstrap: how far out its percentiles are."""

import numpy as np
import pytest

from arena.stats.weighing import percentiles


def test_many_questions_take_the_usual_percentiles() -> None:
    """2.5 and 97.5."""
    assert percentiles(10**6) == pytest.approx((2.5, 97.5), abs=1e-3)


def test_few_questions_take_wider_ones() -> None:
    """Of 6: sqrt(7 / 5) times Student's 2.5706, which is 3.0416, and 0.1177 % of a normal are beyond."""
    assert percentiles(6) == pytest.approx((0.1177, 99.8823), abs=1e-3)


@pytest.mark.parametrize("questions", [6, 20])
def test_the_draws_of_a_mean_then_hold_the_true_one(questions: int) -> None:
    """95 of 100 normal samples; the plain percentiles of the draws hold it less often."""
    random, held = np.random.default_rng(0), np.zeros((400, 2))
    for i in range(400):
        values = random.normal(size=questions)
        weights = random.exponential(size=(4000, questions))
        draws = weights @ values / weights.sum(1)
        for j, level in enumerate((percentiles(questions), (2.5, 97.5))):
            low, high = np.percentile(draws, level)
            held[i, j] = low <= 0 <= high
    assert held[:, 0].mean() == pytest.approx(0.95, abs=0.03)
    assert held[:, 1].mean() < held[:, 0].mean() - 0.015
