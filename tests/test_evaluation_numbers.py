"""The measures of evaluations, as arithmetic, and intervals of items that come in clusters."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena.evaluation import accuracy, diversity
from arena.evaluation.overlap import rouge
from arena.stats.agreement import rank_correlation
from arena.stats.resampling import RESAMPLES, Items, mean_of

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


def test_a_bootstrap_interval_is_near_the_normal_one_where_items_are_many() -> None:
    """400 numbers of spread 1: 1.96 / 20 on either side."""
    values = np.random.default_rng(3).normal(5.0, 1.0, 400)
    found = Items(range(400)).bootstrap(mean_of(values.tolist()))
    assert found is not None and found.known
    half = 1.96 * float(values.std()) / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.02)


def test_copies_of_an_item_do_not_make_its_interval_narrower() -> None:
    """Four reviews of one paper that all say the same are one."""
    values = np.random.default_rng(3).normal(5.0, 1.0, 40)
    one = Items(range(40), seed=1).bootstrap(mean_of(values.tolist()))
    four = Items(np.repeat(range(40), 4).tolist(), seed=1).bootstrap(mean_of(np.repeat(values, 4).tolist()))
    assert one is not None and four is not None
    assert (four.low, four.high) == pytest.approx((one.low, one.high))
    assert (four.n, four.clusters) == (160, 40)


def test_a_difference_on_the_same_draws_has_no_interval_where_it_is_constant() -> None:
    """Two columns that differ by 1 everywhere: what is common cancels."""
    base = np.random.default_rng(3).normal(0.0, 10.0, 30)
    one, other = mean_of((base + 1).tolist()), mean_of(base.tolist())
    found = Items(range(30)).bootstrap(lambda places: one(places) - other(places))
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))
    assert found.sign == 1


def test_equal_seeds_draw_equally_and_others_otherwise() -> None:
    """So that a report can be made again."""
    clusters = list(range(9))
    draws = [Items(clusters, seed).draws for seed in (0, 0, 1)]
    assert len(draws[0]) == RESAMPLES
    assert all((a == b).all() for a, b in zip(draws[0], draws[1], strict=True))
    assert not all((a == b).all() for a, b in zip(draws[0], draws[2], strict=True))


def test_one_cluster_or_none_tells_nothing() -> None:
    """The value stands, its interval is not known; without items there is no value."""
    found = Items(["a", "a"]).bootstrap(mean_of([1.0, 3.0]))
    assert found is not None and (found.value, found.known, found.sign) == (2.0, False, 0)
    assert found.numbers() == {"value": 2.0, "low": None, "high": None, "n": 2, "clusters": 1}
    assert Items([]).bootstrap(mean_of([])) is None
    assert Items([]).jackknife(mean_of([])) is None


def test_what_is_not_defined_in_some_draws_has_no_interval() -> None:
    """A rank correlation of draws that are all one item."""
    x, y = np.array([1.0, 2.0]), np.array([2.0, 1.0])
    found = Items([0, 1]).bootstrap(lambda places: rank_correlation(x[places], y[places]))
    assert found is not None and found.value == pytest.approx(-1.0) and not found.known


def test_a_jackknife_of_a_mean_is_students_interval() -> None:
    """scipy's, of five numbers."""
    from scipy.stats import t

    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    found = Items(range(5)).jackknife(mean_of(values))
    low, high = t.interval(0.95, 4, loc=np.mean(values), scale=np.std(values, ddof=1) / math.sqrt(5))
    assert found is not None and (found.low, found.high) == pytest.approx((low, high))


def test_a_jackknife_repeats_no_text() -> None:
    """All texts are different, so distinct-1 is 1 whatever is left out; a bootstrap would find copies."""
    texts = [[f"w{i}"] for i in range(10)]
    items = Items(range(10))

    def of(places: np.ndarray) -> float:
        return diversity.distinct([texts[i] for i in places], 1)

    left_out, drawn = items.jackknife(of), items.bootstrap(of)
    assert left_out is not None and (left_out.low, left_out.high) == (1.0, 1.0)
    assert drawn is not None and drawn.high < 1.0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(1, 10), st.floats(1, 10)), min_size=1, max_size=20))
def test_errors_stay_in_their_ranges(pairs: list[tuple[float, float]]) -> None:
    """Of ratings in 1 to 10."""
    predicted, true = zip(*pairs, strict=True)
    assert 0 <= accuracy.mae(predicted, true) <= 9
    assert 0 <= accuracy.mse(predicted, true) <= 81
    assert 0 <= accuracy.smape(predicted, true) <= 200
    assert accuracy.mae(predicted, true) ** 2 <= accuracy.mse(predicted, true) + 1e-9
