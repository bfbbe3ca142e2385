"""Differences between runs: planted ones are found, none is found where there is none."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_compared import TOPICS, Planted

from agents.errors import ArenaError
from arena.comparing.arms import arms
from arena.comparing.comparison import Comparison, Difference, compare, difference
from arena.comparing.estimates import apart, told
from arena.comparing.measures import MEASURES, Column, named
from arena.comparing.recorded import Place, Recorded
from arena.evaluation.diversity import distinct, ngrams
from arena.stats.resampling import Interval, Items

ALL = named("")


def compared(folder: Path, *planted: Planted, paired: bool = True) -> Comparison:
    """The second of two runs beside the first."""
    start = len(list(folder.iterdir())) if folder.exists() else 0
    runs = [Recorded(each.write(folder / f"run{start + i}")) for i, each in enumerate(planted)]
    first, second = arms(runs)
    return compare(first, second, ALL, paired)


def row(found: Comparison, name: str) -> Difference:
    """The row of a measure, which must be there."""
    one = found.row(name)
    assert one is not None, found.refused
    return one


def column(values: Sequence[Sequence[float]], name: str = "reward") -> Column:
    """A column of values by topic."""
    places = {
        Place(f"t{i}", 0, 0, turn=j): float(value)
        for i, own in enumerate(values)
        for j, value in enumerate(own)
    }
    return Column(MEASURES[name], values=places)


def test_a_small_effect_shows_in_pairs_and_not_apart(tmp_path: Path) -> None:
    """Topics differ twenty times as much as the effect: only paired values are free of them."""
    runs = Planted(), Planted(effect=0.1, noise=1)
    paired = row(compared(tmp_path, *runs), "reward")
    assert paired.paired and paired.difference.sign == 1
    assert paired.difference.low < 0.1 < paired.difference.high
    assert (paired.difference.n, paired.clusters) == (48, 12)
    assert paired.difference.value == pytest.approx(paired.b.value - paired.a.value)
    loose = row(compared(tmp_path, *runs, paired=False), "reward")
    assert not loose.paired and loose.difference.sign == 0
    assert loose.difference.value == pytest.approx(paired.difference.value)
    assert loose.difference.high - loose.difference.low > 10 * (
        paired.difference.high - paired.difference.low
    )


@pytest.mark.parametrize(("topics", "each"), [(6, 4), (12, 8), (25, 2)])
def test_where_nothing_differs_few_intervals_say_otherwise(topics: int, each: int) -> None:
    """At most 8 % of 400 small data sets, with noise that the drafts of a topic share."""
    random, false = np.random.default_rng(topics), 0
    for _ in range(400):
        level = random.normal(size=(topics, 1))
        sides = [
            level + random.normal(size=(topics, 1)) + random.normal(size=(topics, each)) for _ in range(2)
        ]
        found = difference(column(sides[0].tolist()), column(sides[1].tolist()), paired=True)
        assert found is not None
        false += found.difference.sign != 0
    assert 0.02 * 400 <= false <= 0.08 * 400


def test_without_pairs_few_intervals_say_otherwise() -> None:
    """The same of two sides with topics of their own, one with fewer."""
    random, false = np.random.default_rng(5), 0
    for _ in range(400):
        sides = [random.normal(size=(n, 1)) + random.normal(size=(n, 3)) for n in (6, 14)]
        found = difference(column(sides[0].tolist()), column(sides[1].tolist()), paired=False)
        assert found is not None
        false += found.difference.sign != 0
    assert 0.02 * 400 <= false <= 0.08 * 400


def test_what_seeds_do_is_not_taken_for_an_effect() -> None:
    """Trainings that differ by chance alone: over topics it looks like an effect, over seeds it does not."""
    random, over_topics, over_seeds = np.random.default_rng(3), 0, 0
    for _ in range(200):
        sides = [
            Column(
                MEASURES["reward"],
                values={
                    Place(f"t{topic}", seed, 0): float(level + random.normal(0, 0.3))
                    for seed, level in enumerate(random.normal(size=5))
                    for topic in range(12)
                },
            )
            for _ in range(2)
        ]
        found = difference(*sides, paired=True)
        assert found is not None and found.these_seeds is not None
        over_topics += found.these_seeds.sign != 0
        over_seeds += found.difference.sign != 0
    assert over_seeds <= 0.1 * 200 < 0.5 * 200 < over_topics


def test_dialogue_numbers_mean_nothing(tmp_path: Path) -> None:
    """A run whose topics came in another order gives the same differences."""
    other = Planted(effect=0.1, noise=1)
    plain = compared(tmp_path, Planted(), other)
    order = np.random.default_rng(3).permutation(len(TOPICS)).tolist()
    shuffled = compared(tmp_path, Planted(), replace(other, order=order))
    assert [each.label for each in plain.rows] == [each.label for each in shuffled.rows]
    for one, two in zip(plain.rows, shuffled.rows, strict=True):
        assert one.difference.value == pytest.approx(two.difference.value)
        assert one.difference.low == pytest.approx(two.difference.low)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (Planted(topics=[f"other {i}" for i in range(12)]), "their topics or prompts are others"),
        (Planted(seed=1), r"their seeds are others \(A 0, B 1\)"),
        (Planted(seed=1, settings={"judge.tie_margin": 0.5}), r"their seeds are others \(A 0, B 1\)"),
    ],
)
def test_what_cannot_be_paired_is_refused_with_the_reason(
    tmp_path: Path, other: Planted, reason: str
) -> None:
    """And with the flag that compares it all the same."""
    with pytest.raises(ArenaError, match=reason) as refused:
        compared(tmp_path, Planted(), other)
    assert "--unpaired" in str(refused.value)
    loose = compared(tmp_path, Planted(), other, paired=False)
    assert {each.paired for each in loose.rows} == {False}


def test_what_has_no_partner_is_counted(tmp_path: Path) -> None:
    """By the first thing in which it differs."""
    some = Planted(topics=[*TOPICS[:6], "new"], turns=1)
    found = compared(tmp_path, Planted(), some)
    assert found.left[0].reasons == {"another topic or prompt": 24, "a turn that the other side lacks": 12}
    assert found.left[1].reasons == {"another topic or prompt": 2}
    assert found.left[0].of == 48
    assert (row(found, "reward").difference.n, row(found, "reward").left) == (12, (36, 2))


def test_a_topic_that_comes_twice_is_paired_with_its_second_time(tmp_path: Path) -> None:
    """A run that has it once has no partner for the second."""
    twice = Planted(topics=["glaciers", "glaciers", "tariffs"])
    assert compared(tmp_path, twice, replace(twice, noise=1)).left[0].count == 0
    found = compared(tmp_path, twice, Planted(topics=["glaciers", "tariffs"]))
    assert found.left[0].reasons == {"a topic more often than on the other side": 4}
    assert row(found, "words").clusters == 2


def test_rewards_on_two_scales_make_no_pair(tmp_path: Path) -> None:
    """Those with a WIM and those where nothing was missing; words are compared all the same."""
    mixed = Planted(noise=1, scale=lambda place: "nothing_missing" if place < 3 else "rating+wim")
    found = compared(tmp_path, Planted(), mixed)
    assert (row(found, "reward").difference.n, row(found, "words").difference.n) == (36, 48)
    alone = compared(tmp_path, Planted(), Planted(scale=lambda place: "nothing_missing"))
    loose = compared(tmp_path, Planted(), mixed, paired=False)
    assert row(loose, "reward").left == (0, 12)
    assert alone.row("reward") is None
    assert alone.refused["reward"] == "none of its values has a partner"


@pytest.mark.parametrize(
    ("settings", "reward", "rating"),
    [
        ({"judge.zeta": 0.0}, False, True),
        ({"judge.normalisation": "paper"}, False, True),
        ({"judge.rater._target_": "rewards.rating.Random"}, False, False),
        ({"agents.ada.checkpoint": "other"}, False, False),
        ({"judge.moving": True}, False, False),
        ({"judge.tie_margin": 0.5}, True, True),
        ({"agents.ada.system": "Be brief."}, True, True),
    ],
)
def test_numbers_of_two_judges_are_not_compared(
    tmp_path: Path, settings: dict[str, object], reward: bool, rating: bool
) -> None:
    """Rewards need the same judge and mixture, ratings the same rater and weights; words need neither."""
    found = compared(tmp_path, Planted(), Planted(settings=settings))
    kept = {each.measure.name for each in found.rows}
    assert ("reward" in kept, "rating" in kept, "performance" in kept) == (reward, rating, rating)
    assert {"words", "pairs", "distinct-2"} <= kept


def test_a_judge_that_asks_nobody_is_the_same_on_other_weights(tmp_path: Path) -> None:
    """Length is length."""
    length = {"judge.rater._target_": "rewards.rating.Length"}
    other = Planted(settings={**length, "agents.ada.checkpoint": "other"}, identity={"lab/tiny": "sha 2"})
    assert row(compared(tmp_path, Planted(settings=length), other), "reward")


def test_the_same_name_with_other_weights_is_another_judge(tmp_path: Path) -> None:
    """Or the same weights in another precision."""
    found = compared(tmp_path, Planted(), Planted(identity={"lab/tiny": "sha 1; nf4 on cuda"}))
    assert found.refused["rating"] == "the judge has one name and two weights: lab/tiny"


def test_the_end_of_a_training_is_a_mean_of_its_last_quarter(tmp_path: Path) -> None:
    """Of 8 updates the last 2; the margin grows by 0.1 a step."""
    margin = row(compared(tmp_path, Planted(), Planted(effect=0.1)), "margin")
    assert (margin.difference.n, margin.clusters) == (2, 2)
    assert margin.b.value == pytest.approx(0.65)
    short = compared(tmp_path, Planted(), Planted(updates=3))
    assert "last quarter of the steps is not on record" in short.refused["margin (ada)"]


def test_losses_of_two_kinds_are_not_compared(tmp_path: Path) -> None:
    """Nor margins with another beta; accuracies are."""
    found = compared(tmp_path, Planted(), Planted(settings={"train.loss": "ipo", "train.beta": 0.2}))
    assert found.refused["loss (ada)"].startswith("learners differ: train.beta 0.1 and 0.2; train.loss")
    assert "margin (ada)" in found.refused
    assert row(found, "accuracy")


def test_seeds_of_one_conf_are_one_arm(tmp_path: Path) -> None:
    """Intervals are over seeds, of updates too; beside them those over topics, of these very seeds."""
    planted = [
        Planted(effect=effect, seed=seed, noise=noise, settings={"agents.ada.system": f"{effect}"})
        for noise, effect in enumerate((0.0, 0.2))
        for seed in (0, 1, 2)
    ]
    runs = [Recorded(each.write(tmp_path / f"{number}")) for number, each in enumerate(planted)]
    first, second = arms(runs)
    assert [first.seeds, second.seeds] == [[0, 1, 2]] * 2
    found = compare(first, second, ALL)
    assert (row(found, "reward").difference.n, row(found, "reward").clusters) == (144, 3)
    these = row(found, "reward").these_seeds
    assert these is not None and (these.n, these.clusters) == (144, 12)
    assert these.value == pytest.approx(row(found, "reward").difference.value)
    assert (row(found, "margin").difference.n, row(found, "margin").clusters) == (6, 3)


def test_abstentions_are_counted_and_are_no_numbers(tmp_path: Path) -> None:
    """Three drafts of 48 have no verdict: no reward, and no tie."""
    found = compared(tmp_path, Planted(), Planted(abstained=3))
    assert row(found, "abstained").b.value == pytest.approx(3 / 48)
    assert row(found, "reward").difference.n == 45
    assert row(found, "ties").b.value == 0


def test_distinct_2_is_of_all_texts_together() -> None:
    """As `diversity` computes it, with the interval of `Items`, which counts anew for each topic left out."""
    random = np.random.default_rng(0)
    texts = [[[f"w{w}" for w in random.integers(12, size=9)] for _ in range(10)] for _ in range(2)]
    places = [Place(f"t{i // 2}", 0, 0, turn=i % 2) for i in range(10)]
    sides = [
        Column(MEASURES["distinct-2"], grams={p: ngrams(t, 2) for p, t in zip(places, own, strict=True)})
        for own in texts
    ]
    found = difference(*sides, paired=True)
    assert found is not None
    items = Items([place.text for place in places])
    slow = items.jackknife(
        lambda at: distinct([texts[1][i] for i in at], 2) - distinct([texts[0][i] for i in at], 2)
    )
    assert slow is not None
    assert found.difference.value == pytest.approx(slow.value)
    assert (found.difference.low, found.difference.high) == pytest.approx((slow.low, slow.high))
    assert (found.difference.n, found.clusters) == (10, 5)


def test_a_few_equal_differences_are_no_proof() -> None:
    """Three topics that all differ by 1 leave the interval open; six do not, and no difference is one."""
    for topics, known in ((3, False), (6, True)):
        found = difference(column([[0.0]] * topics), column([[1.0]] * topics), paired=True)
        assert found is not None and found.difference.known is known
    assert told(Interval(0.0, 0.0, 0.0, 3, 3)).known


def test_an_interval_apart_is_welchs() -> None:
    """As scipy computes it for one value per topic."""
    from scipy.stats import ttest_ind

    random = np.random.default_rng(1)
    one, two = random.normal(size=9), random.normal(1, 3, size=5)
    sides = [
        difference(column(v.reshape(-1, 1).tolist()), column(v.reshape(-1, 1).tolist()), True)
        for v in (one, two)
    ]
    assert sides[0] and sides[1]
    found = apart(sides[0].a, sides[1].a)
    expected = ttest_ind(two, one, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
