"""Win-rates at equal length, on planted biases and planted effects."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from arena.stats import length_control
from arena.stats.length_control import length_controlled
from arena.stats.resampling import Interval

Array = NDArray[np.float64]
QUESTIONS = 120
B = np.full(QUESTIONS, 200.0)


def longer_answers(seed: int) -> Array:
    """Lengths of a, longer than b's 200 in 4 of 5 cases."""
    return 200 + np.random.default_rng(seed).normal(50, 60, QUESTIONS)


def controlled(scores: Array, own: Array, other: Array = B) -> Interval:
    """One game a question."""
    found = length_controlled(scores.tolist(), own.tolist(), other.tolist(), list(range(len(scores))), seed=0)
    assert found is not None
    return found


def test_a_judge_that_counts_words_prefers_nobody_at_equal_length() -> None:
    """It lets a win in 8 of 10, because a talks more; of that, 30 studies leave 1/2."""
    raw, values, held = [], [], []
    for seed in range(30):
        lengths = longer_answers(seed)
        scores = (lengths > B).astype(float)
        found = controlled(scores, lengths)
        raw.append(scores.mean())
        values.append(found.value)
        held.append(found.low < 0.5 < found.high)
    assert np.mean(raw) == pytest.approx(0.8, abs=0.02)
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)
    assert np.mean(held) > 0.85


def test_a_true_effect_stays() -> None:
    """A wins 7 of 10 whatever the lengths: so it does at equal length."""
    scores = (np.random.default_rng(1).random(QUESTIONS) < 0.7).astype(float)
    found = controlled(scores, longer_answers(2))
    assert found.value == pytest.approx(scores.mean(), abs=0.1)
    assert found.low > 0.5


def test_a_short_and_better_answer_is_given_back_what_length_took() -> None:
    """The judge likes length, a is shorter: it wins half of the games and would win more."""
    random = np.random.default_rng(3)
    lengths = 200 - (longer_answers(3) - 200)
    logit = 1.2 + 2 * np.tanh((lengths - B) / (lengths - B).std())
    scores = (random.random(QUESTIONS) < 1 / (1 + np.exp(-logit))).astype(float)
    found = controlled(scores, lengths)
    assert scores.mean() < 0.6 < found.low < 1 / (1 + math.exp(-1.2)) < found.high


def test_the_interval_covers_at_about_its_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 studies of a planted bias and a planted win-rate at equal length; the raw rate is another."""
    monkeypatch.setattr(length_control, "RESAMPLES", 500)
    random, held, raw = np.random.default_rng(4), [], []
    truth = 1 / (1 + math.exp(-0.4))
    for _ in range(200):
        difference = random.normal(0.8, 1, 40)
        logit = 0.4 + 2 * np.tanh(difference / difference.std())
        scores = (random.random(40) < 1 / (1 + np.exp(-logit))).astype(float)
        found = controlled(scores, difference, np.zeros(40))
        held.append(found.low <= truth <= found.high)
        raw.append(scores.mean())
    assert 0.9 <= np.mean(held) <= 0.99
    assert np.mean(raw) > truth + 0.1


def test_repeated_games_of_a_question_do_not_narrow_the_interval() -> None:
    """Each game ten times over is not more questions; taken for independent, it seems known far better."""
    scores = (np.random.default_rng(5).random(40) < 0.6).astype(float)
    once = [column.tolist() for column in (scores, longer_answers(5)[:40], B[:40])]
    often = [np.repeat(column, 10).tolist() for column in once]
    clustered = length_controlled(*often, np.repeat(np.arange(40), 10).tolist(), seed=0)
    naive = length_controlled(*often, list(range(400)), seed=0)
    single = length_controlled(*once, list(range(40)), seed=0)
    assert clustered is not None and naive is not None and single is not None
    assert clustered.high - clustered.low == pytest.approx(single.high - single.low, rel=0.15)
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)
    assert (clustered.n, clustered.clusters) == (400, 40)


def test_swapping_the_two_sides_mirrors_the_win_rate() -> None:
    """Whoever is called a."""
    lengths, random = longer_answers(6), np.random.default_rng(6)
    scores = random.choice([0.0, 0.5, 1.0], QUESTIONS)
    one = controlled(scores, lengths)
    other = controlled(1 - scores, B, lengths)
    assert other.value == pytest.approx(1 - one.value)


def test_the_unit_of_length_does_not_matter() -> None:
    """Words or letters."""
    lengths = longer_answers(7)
    scores = (np.random.default_rng(7).random(QUESTIONS) < 0.6).astype(float)
    assert controlled(scores, 5 * lengths, 5 * B).value == pytest.approx(controlled(scores, lengths).value)


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_a_judge_that_always_says_the_same_has_a_finite_win_rate(score: float) -> None:
    """All won, all tied, all lost: near that, and the interval is not a point."""
    found = controlled(np.full(QUESTIONS, score), longer_answers(8))
    assert found.value == pytest.approx(score, abs=0.02)
    assert 0 < found.low < found.high - 0.005 < 1


@pytest.mark.parametrize("difference", [0.0, 30.0])
def test_lengths_that_do_not_differ_tell_nothing(difference: float) -> None:
    """Nor do those that always differ by the same."""
    lengths = longer_answers(9).round()
    columns = [1.0, 0.0] * 60, (lengths + difference).tolist(), lengths.tolist()
    assert length_controlled(*columns, list(range(QUESTIONS)), seed=0) is None


@pytest.mark.parametrize("clusters", [[], ["a"] * 9, list("abcdeabc")])
def test_few_questions_tell_nothing(clusters: list[str]) -> None:
    """However many games they have."""
    n = len(clusters)
    assert length_controlled([1.0] * n, list(range(n)), [0.0] * n, clusters, seed=0) is None


@pytest.mark.parametrize(
    ("scores", "lengths"),
    [
        ([math.nan] * 8, [1.0] * 8),
        ([1.5] * 8, [1.0] * 8),
        ([1.0] * 8, [math.nan] * 8),
        ([1.0] * 7, [1.0] * 8),
    ],
)
def test_what_is_no_score_or_no_length_is_refused(scores: list[float], lengths: list[float]) -> None:
    """An abstention is not a game."""
    with pytest.raises(ValueError, match="leave out|7 scores"):
        length_controlled(scores, lengths, list(range(8)), list(range(8)), seed=0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 500), st.integers(0, 500), st.integers(0, 9)), max_size=30
    )
)
def test_it_is_a_rate_or_nothing(games: list[tuple[float, int, int, int]]) -> None:
    """Whatever the games, and without a warning."""
    scores, own, other, clusters = zip(*games, strict=True) if games else ((), (), (), ())
    found = length_controlled(scores, own, other, clusters, seed=0)
    assert found is None or 0 < found.low <= found.value <= found.high < 1
