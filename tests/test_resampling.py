"""Intervals of items that come in clusters: by draws of clusters, and by leaving out one at a time."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from arena.evaluation import diversity
from arena.stats import resampling
from arena.stats.agreement import kappa, rank_correlation
from arena.stats.resampling import RESAMPLES, Items, mean_of, percentiles


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


def test_a_difference_is_on_the_same_draws() -> None:
    """Two columns of wide spread that differ by nearly 1 everywhere: what is common cancels."""
    random = np.random.default_rng(3)
    base, near = random.normal(0.0, 10.0, 30), 1 + random.normal(0.0, 0.01, 30)
    one, other = mean_of((base + near).tolist()), mean_of(base.tolist())
    found = Items(range(30)).bootstrap(lambda places: one(places) - other(places))
    assert found is not None and found.known and found.low < found.high
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0), abs=0.02)
    assert found.sign == 1


@pytest.mark.parametrize("same", [0.0, 1.0, 0.1])
def test_where_no_draw_differs_nothing_is_known(same: float) -> None:
    """That all that was seen is alike does not mean that all is; the last digits of a sum are none."""
    found = Items(range(30)).bootstrap(mean_of([same] * 30))
    assert found is not None and found.value == pytest.approx(same)
    assert not found.known and found.sign == 0


@pytest.mark.parametrize("measure", [kappa, rank_correlation])
def test_two_judges_that_agree_on_all_may_differ_on_the_next(measure: Callable[..., float]) -> None:
    """Kappa and the rank correlation are 1 in every draw, and have no interval."""
    labels = np.arange(40) % 4
    found = Items(range(40)).bootstrap(lambda places: measure(labels[places], labels[places]))
    assert found is not None and found.value == pytest.approx(1.0) and not found.known


def test_percentiles_are_expanded_for_few_clusters() -> None:
    """Of 8, by hand: sqrt(8 / 7) times Student's 2.3646 is 2.5279, beyond which are 0.5737 % of a normal."""
    assert percentiles(8) == pytest.approx((0.5737, 99.4263), abs=1e-3)
    assert percentiles(10**6) == pytest.approx((2.5, 97.5), abs=1e-3)


def test_the_interval_of_eight_clusters_covers_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """95 in 100 times; by the plain percentiles of the same draws 90."""
    monkeypatch.setattr(resampling, "RESAMPLES", 500)
    random, clusters = np.random.default_rng(0), np.repeat(np.arange(8), 2).tolist()

    def held() -> float:
        values = random.normal(size=(200, 8)).repeat(2, axis=1)
        found = (Items(clusters).bootstrap(mean_of(row.tolist())) for row in values)
        return sum(one is not None and one.low <= 0 <= one.high for one in found) / 200

    wide = held()
    monkeypatch.setattr(resampling, "percentiles", lambda n: (2.5, 97.5))
    assert wide == pytest.approx(0.95, abs=0.035) and held() < wide - 0.015


def test_five_clusters_are_too_few_for_draws() -> None:
    """All of them are on one side of the truth in 6 % of cases, and no draw is on the other."""
    for count, known in ((5, False), (6, True)):
        found = Items(range(count)).bootstrap(mean_of(list(map(float, range(count)))))
        assert found is not None and found.known is known


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
