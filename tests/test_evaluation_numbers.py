"""The measures of evaluations, as arithmetic."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.evaluation import accuracy, diversity
from arena.evaluation.overlap import rouge

PREDICTED, TRUE = [6.0, 4.0], [4.0, 4.0]


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        (accuracy.mse, (2**2 + 0) / 2),
        (accuracy.mae, (2 + 0) / 2),
        (accuracy.smape, 100 * (2 * 2 / (6 + 4) + 0) / 2),
        (accuracy.inflation, 5.0 - 4.0),
    ],
)
def test_errors_are_computed_by_hand(measure: Callable[..., float], value: float) -> None:
    """Predicted 6 and 4, true 4 and 4."""
    assert measure(PREDICTED, TRUE) == pytest.approx(value)


def test_the_symmetric_error_is_that_of_the_ancestor() -> None:
    """np.mean(2 |t - p| / (|t| + |p|)) 100: the same from both sides."""
    assert accuracy.smape([1.0], [3.0]) == accuracy.smape([3.0], [1.0]) == pytest.approx(100.0)


def test_distinct_n_counts_different_runs_of_words() -> None:
    """A b a b: 2 of 4 words, 2 of 3 pairs (a b, b a, a b); three more words c a b add c, c a."""
    texts = [["a", "b", "a", "b"]]
    assert diversity.distinct(texts, 1) == pytest.approx(2 / 4)
    assert diversity.distinct(texts, 2) == pytest.approx(2 / 3)
    assert diversity.distinct([*texts, ["c", "a", "b"]], 1) == pytest.approx(3 / 7)
    assert diversity.distinct([*texts, ["c", "a", "b"]], 2) == pytest.approx(3 / 5)
    assert math.isnan(diversity.distinct([["a"]], 2))


def test_self_bleu_is_one_for_copies_and_near_none_for_strangers() -> None:
    """Smoothing keeps a little."""
    same = [["a", "b", "c", "d", "e"]] * 3
    assert diversity.self_bleu(same) == pytest.approx([1.0] * 3)
    strangers = [["a", "b", "c", "d"], ["e", "f", "g", "h"]]
    assert max(diversity.self_bleu(strangers)) < 0.1
    assert diversity.self_bleu([[], ["a"]]) == [0.0, 0.0]


def test_self_bleu_is_bleu_4_with_smoothing_by_hand() -> None:
    """A b c d against a b c e: 3/4, 2/3, 1/2 and, in place of none, 0.1/1."""
    expected = (3 / 4 * 2 / 3 * 1 / 2 * 0.1 / 1) ** (1 / 4)
    found = diversity.self_bleu([["a", "b", "c", "d"], ["a", "b", "c", "e"]])
    assert found == pytest.approx([expected, expected])


def test_novelty_is_the_distance_from_the_nearest_known_text() -> None:
    """60 degrees from one, 30 from the other."""
    known = np.array([[1.0, 0.0], [math.cos(math.pi / 2), math.sin(math.pi / 2)]], dtype=np.float32)
    text = np.array([[math.cos(math.pi / 3), math.sin(math.pi / 3)], [1.0, 0.0]], dtype=np.float32)
    assert diversity.novelty(text, known) == pytest.approx([1 - math.cos(math.pi / 6), 0.0], abs=1e-6)


@pytest.mark.parametrize(
    ("said", "share"), [("x the big dog y", 3 / 5), ("dog big the", 1 / 3), ("none", 0.0), ("", 0.0)]
)
def test_copied_is_the_longest_run_that_stands_in_the_source(said: str, share: float) -> None:
    """The source: see the big dog run."""
    assert diversity.copied(said.split(), "see the big dog run".split()) == pytest.approx(share)


def test_a_long_text_is_compared_word_by_word_however_often_a_word_comes() -> None:
    """Python's matcher leaves out what is frequent in long texts, unless it is told not to."""
    source = ["the"] * 300
    assert diversity.copied(["the"] * 10, source) == 1.0


def test_rouge_is_computed_by_hand() -> None:
    """The cat sat / the cats sat down: stemmed 3 common words of 3 and 4, pairs 2 of 2 and 3."""
    found = rouge(["the cat sat"], ["the cats sat down"])
    assert found["rouge1"] == pytest.approx([2 * (3 / 3) * (3 / 4) / (3 / 3 + 3 / 4)])
    assert found["rouge2"] == pytest.approx([2 * (2 / 2) * (2 / 3) / (2 / 2 + 2 / 3)])
    assert found["rougeL"] == found["rouge1"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(1, 10), st.floats(1, 10)), min_size=1, max_size=20))
def test_errors_stay_in_their_ranges(pairs: list[tuple[float, float]]) -> None:
    """Of ratings in 1 to 10."""
    predicted, true = zip(*pairs, strict=True)
    assert 0 <= accuracy.mae(predicted, true) <= 9
    assert 0 <= accuracy.mse(predicted, true) <= 81
    assert 0 <= accuracy.smape(predicted, true) <= 200
    assert accuracy.mae(predicted, true) ** 2 <= accuracy.mse(predicted, true) + 1e-9
