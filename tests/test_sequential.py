"""Stopping as soon as the data say enough, without finding what is not there."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from arena.stats.sequential import ConfidenceSequence

Array = NDArray[np.float64]
RUNS, STEPS = 200, 200


def scores(random: np.random.Generator, mean: float) -> Array:
    """Wins, ties and losses, a fifth of them ties."""
    drawn = random.random(STEPS)
    return np.where(drawn < 0.2, 0.5, drawn < mean + 0.1)


def shares(random: np.random.Generator, mean: float) -> Array:
    """Small differences around the mean."""
    return np.clip(random.normal(mean, 0.05, STEPS), 0, 1)


def ever_outside(values: Array, mean: float, level: float) -> bool:
    """Whether the interval excludes the mean after any of the values."""
    sequence = ConfidenceSequence(level)
    for value in values:
        sequence.add(float(value))
        if not sequence.interval.low <= mean <= sequence.interval.high:
            return True
    return False


@pytest.mark.parametrize("draw", [scores, shares])
def test_peeking_at_every_step_keeps_the_level(draw: Callable[..., Array]) -> None:
    """Equals: at level 0.1 at most a tenth of 200 runs ever say otherwise, within three standard errors."""
    random = np.random.default_rng(0)
    alarms = np.mean([ever_outside(draw(random, 0.5), 0.5, 0.1) for _ in range(RUNS)])
    assert alarms <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / RUNS)


def test_a_means_usual_interval_does_not_survive_peeking() -> None:
    """The same runs: a 95 % interval at every step excludes 1/2 in far more than 5 % of them."""
    random = np.random.default_rng(0)
    values = np.array([scores(random, 0.5) for _ in range(RUNS)])
    n = np.arange(1, STEPS + 1)
    mean = values.cumsum(1) / n
    error = np.sqrt(((values**2).cumsum(1) / n - mean**2) / n)
    excludes = (abs(mean - 0.5) > 1.96 * error)[:, 9:]
    assert excludes[:, -1].mean() < 0.1
    assert excludes.any(1).mean() > 0.2
    peeked = np.mean([ever_outside(row, 0.5, 0.05) for row in values])
    assert peeked <= 0.05


def test_it_is_the_hedged_capital_of_the_paper() -> None:
    """Its formulas, written out for a mean m: stakes by all earlier values, half the capital on each side."""
    values, level = scores(np.random.default_rng(5), 0.7)[:60], 0.05
    sequence = ConfidenceSequence(level)
    for value in values:
        sequence.add(float(value))

    def kept(m: float) -> bool:
        above = below = 1.0
        for t, value in enumerate(values, start=1):
            means = [(0.5 + values[: i + 1].sum()) / (i + 2) for i in range(t - 1)]
            variance = (0.25 + sum((x - mean) ** 2 for x, mean in zip(values, means, strict=False))) / t
            stake = math.sqrt(2 * math.log(2 / level) / (variance * t * math.log(t + 1)))
            above *= 1 + min(stake, 0.5 / m) * (value - m)
            below *= 1 - min(stake, 0.5 / (1 - m)) * (value - m)
        return max(above, below) / 2 < 1 / level

    found = sequence.interval
    inside, outside = (found.low + 0.0011, found.high - 0.0011), (found.low - 1e-6, found.high + 1e-6)
    assert all(map(kept, inside)) and not any(map(kept, outside))


@pytest.mark.parametrize("mean", [0.15, 0.7, 0.9])
def test_the_true_mean_is_inside_at_all_times(mean: float) -> None:
    """Away from 1/2 too."""
    random = np.random.default_rng(1)
    alarms = np.mean([ever_outside(scores(random, mean), mean, 0.1) for _ in range(RUNS)])
    assert alarms <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / RUNS)


def test_a_clear_winner_is_found_early() -> None:
    """9 of 10 won: half of the runs are over within 25 questions; 6 of 10 takes longer."""

    def needed(mean: float) -> float:
        random, taken = np.random.default_rng(2), []
        for _ in range(40):
            sequence = ConfidenceSequence()
            for value in scores(random, mean):
                sequence.add(float(value))
                if sequence.interval.low > 0.5:
                    break
            taken.append(sequence.interval.n)
        return float(np.median(taken))

    assert needed(0.9) <= 25 < 60 < needed(0.6)


def test_small_spread_makes_a_narrow_interval() -> None:
    """The bets learn the variance; where only the scale [0, 1] is known, 200 values give a width of 0.19."""
    sequence = ConfidenceSequence()
    for value in shares(np.random.default_rng(3), 0.6):
        sequence.add(float(value))
    found = sequence.interval
    assert found.low < 0.6 < found.high and found.high - found.low < 0.08
    assert (found.n, found.clusters) == (STEPS, STEPS)


def test_its_mirror_image_is_its_mirror_image() -> None:
    """Whoever is called a."""
    one, other = ConfidenceSequence(), ConfidenceSequence()
    for value in scores(np.random.default_rng(4), 0.7):
        one.add(float(value))
        other.add(1 - float(value))
    assert other.interval.low == pytest.approx(1 - one.interval.high)
    assert other.interval.high == pytest.approx(1 - one.interval.low)


def test_nothing_is_known_before_the_first_value() -> None:
    """All of the scale, and no mean."""
    found = ConfidenceSequence().interval
    assert math.isnan(found.value) and (found.low, found.high, found.n) == (0.0, 1.0, 0)


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.9, 1.0), (0.0, 0.0, 0.1), (0.5, 0.45, 0.55)])
def test_a_constant_is_found_without_a_warning(value: float, low: float, high: float) -> None:
    """All won, all lost, all tied, 500 times."""
    sequence = ConfidenceSequence()
    for _ in range(500):
        sequence.add(value)
    found = sequence.interval
    assert low <= found.low <= value <= found.high <= high


def test_values_that_drift_have_no_interval() -> None:
    """First all lost, then all won: no one mean explains them."""
    sequence = ConfidenceSequence()
    for value in [0.0] * 300 + [1.0] * 3000:
        sequence.add(value)
    assert not sequence.interval.known


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_a_value_off_the_scale_is_refused(value: float) -> None:
    """A failure is no number."""
    with pytest.raises(ValueError, match="leave out what was not judged"):
        ConfidenceSequence().add(value)


@pytest.mark.parametrize("level", [0.0, 1.0, 5.0])
def test_a_level_is_a_probability(level: float) -> None:
    """Of being wrong."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        ConfidenceSequence(level)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=40))
def test_an_interval_is_within_the_scale(values: list[float]) -> None:
    """Whatever the values."""
    sequence = ConfidenceSequence()
    for value in values:
        sequence.add(value)
    found = sequence.interval
    assert found.n == len(values)
    assert not found.known or 0 <= found.low < found.high <= 1
