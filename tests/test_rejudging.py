"""Two judges on the same drafts: planted agreement and disagreement, and a table made by hand."""

import io
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from arena.rejudging import summary
from arena.rejudging.comparison import Comparison
from arena.rejudging.doubts import doubts
from arena.rejudging.recall import LOST
from arena.rejudging.sides import Bench, Draft, Side
from arena.stats import resampling
from arena.stats.resampling import Interval
from rewards.verdict import Verdict, normalise


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer draws: the intervals themselves are tested with `arena.stats`."""
    monkeypatch.setattr(resampling, "RESAMPLES", 200)


def drafts(
    topics: int, each: int = 4, words: Callable[[int, int], int] = lambda topic, place: 5
) -> list[Draft]:
    """Drafts of one exchange per topic; each has a word of its own."""
    return [
        Draft(
            f"d{t:04d}.00{'abcdefgh'[n]}",
            f"d{t:04d}.00",
            f"topic {t}",
            f"x{t}y{n} " + "w " * (words(t, n) - 1),
        )
        for t in range(topics)
        for n in range(each)
    ]


def verdict(
    id: str, rating: float | None, cosine: float | None = None, zeta: float = 0.0, **more: float
) -> Verdict:
    """As `Judge` gives it."""
    if rating is None:
        return Verdict(id, "m", "rating_absent")
    quality = normalise(rating)
    reward = (1 - zeta) * quality + zeta * (cosine or 0.0)
    status = "not_asked" if cosine is None else "ok"
    scale = "rating+wim" if zeta else "rating"
    return Verdict(
        id, "m", "ok", rating, "w", status, cosine, more.get("shuffled"), more.get("topic"),
        more.get("echo", 0.0), reward, scale,
    )  # fmt: skip


def side(name: str, verdicts: Sequence[Verdict], zeta: float = 0.0, margin: float = 0.01) -> Side:
    """A judge of a list of verdicts."""
    return Side(name, "a judge", {v.id: v for v in verdicts}, zeta, margin)


def rated(name: str, told: Sequence[Draft], ratings: Sequence[float | None]) -> Side:
    """A judge of ratings alone."""
    return side(name, [verdict(d.id, rating) for d, rating in zip(told, ratings, strict=True)])


def compare(told: Sequence[Draft], one: Side, other: Side) -> Comparison:
    """The comparison of two judges."""
    return Comparison(Bench(told, (one, other)), {})


def value(comparison: Comparison, measure: str, arm: str) -> Interval:
    """What was found."""
    found = comparison.found(measure, arm)
    assert found is not None, (measure, arm)
    return found


def spread(told: Sequence[Draft], seed: int) -> list[float]:
    """Ratings drawn at random."""
    draw = random.Random(seed)
    return [draw.uniform(1, 10) for _ in told]


def test_the_negative_of_a_judge_agrees_never() -> None:
    """Rank correlation -1, agreement 0, kappa below 0, and an alarm."""
    told = drafts(10)
    ratings = spread(told, 1)
    found = compare(told, rated("stored", told, ratings), rated("new", told, [11 - r for r in ratings]))
    assert value(found, "same order", "both decide").value == 0
    assert value(found, "rank correlation", "all drafts").value == pytest.approx(-1)
    assert value(found, "rank correlation", "in exchanges").value == pytest.approx(-1)
    assert value(found, "kappa", "both decide").high < 0
    assert " 0% of 59 pairs" in doubts(found)["agreement"]


def test_a_judge_agrees_with_itself() -> None:
    """Everything is 1, and there is no alarm."""
    told = drafts(10)
    one = spread(told, 1)
    found = compare(told, rated("stored", told, one), rated("new", told, one))
    for measure, arm in (
        ("same order", "both decide"),
        ("kappa", "or tie"),
        ("rank correlation", "all drafts"),
    ):
        assert value(found, measure, arm).value == pytest.approx(1)
    assert doubts(found) == {}


def test_ten_topics_without_a_difference_do_not_make_it_certain() -> None:
    """Shares allow for what was not seen; of kappa and the correlation no more than the value is known."""
    told = drafts(10)
    one = spread(told, 1)
    found = compare(told, rated("stored", told, one), rated("new", told, one))
    agreed, tied = value(found, "same order", "both decide"), value(found, "pairs judged", "both: reward")
    assert agreed.high == tied.high == 1.0 and 0.6 < agreed.low < 0.8 and 0.6 < tied.low < 0.8
    within = value(found, "rank correlation", "in exchanges")
    assert within.high == pytest.approx(1) and within.known and within.low < 0.6
    for measure, arm in (("kappa", "both decide"), ("rank correlation", "all drafts")):
        assert value(found, measure, arm).value == pytest.approx(1) and not value(found, measure, arm).known


def test_words_are_counted_as_everywhere_else() -> None:
    """A hyphen parts two of them, and what holds no letter is none."""
    assert Draft("a", "b", "c", "Well-known facts - 3 of them .").words == 6


def test_shuffled_verdicts_agree_by_chance() -> None:
    """The intervals cover chance, in most of several draws; agreement with oneself they do not cover."""
    told, covered = drafts(25), 0
    for seed in range(8):
        one = spread(told, seed)
        other = random.Random(seed + 100).sample(one, len(one))
        found = compare(told, rated("stored", told, one), rated("new", told, other))
        agreed, rho = (
            value(found, "same order", "both decide"),
            value(found, "rank correlation", "all drafts"),
        )
        covered += agreed.low < 0.5 < agreed.high and rho.low < 0 < rho.high
        assert agreed.clusters == 25 and agreed.high < 0.8
    assert covered >= 6


def test_an_interval_is_of_topics() -> None:
    """Pairs of one topic are not independent: forty equal ones say no more than one."""
    told = drafts(4, each=8)
    ratings = [float(1 + n) for _ in range(4) for n in range(8)]
    turned = [r if d.cluster != "topic 0" else 11 - r for d, r in zip(told, ratings, strict=True)]
    found = value(
        compare(told, rated("a", told, ratings), rated("b", told, turned)), "same order", "both decide"
    )
    assert (found.n, found.clusters, found.value) == (112, 4, 0.75)
    assert found.high - found.low >= 0.7


def test_the_rewards_of_the_same_verdicts_by_hand() -> None:
    """Three drafts with ratings 4, 4, 8.5 and cosines 0.1, 0.5, 0.1, mixed half and half."""
    told = drafts(1, each=3)
    numbers = [(4.0, 0.1), (4.0, 0.5), (8.5, 0.1)]
    own = side("new", [verdict(d.id, r, c, 0.5) for d, (r, c) in zip(told, numbers, strict=True)], 0.5)
    found = compare(told, rated("stored", told, [1.0, 5.5, 10.0]), own)
    expected = {
        # a-b, a-c, b-c: ratings 0, 4.5, 4.5; cosines 0.4, 0, 0.4; R 0, 1, 1
        ("tied pairs", "new: rating"): 1 / 3,
        ("tied pairs", "new: WIM"): 1 / 3,
        ("tied pairs", "both: reward"): 0,
        ("mean gap, 1 to 10", "new: rating"): (0 + 4.5 + 4.5) / 3,
        ("mean gap, 1 to 10", "new: WIM"): (2 + 0 + 2) / 3,
        # half of the rating's 0, 4.5, 4.5 and half of the cosine's -2, 0, +2 against it
        ("mean gap, 1 to 10", "new: reward"): (1 + 2.25 + 1.25) / 3,
        ("mean gap, raw", "new: rating"): 2 / 3,
        ("mean gap, raw", "new: WIM"): 0.8 / 3,
        ("mean gap, raw", "new: reward"): (0.2 + 0.5 + 0.3) / 3,
        ("mean gap, raw", "stored: rating"): (1 + 2 + 1) / 3,
        ("pairs judged", "both: reward"): 1,
        # b-c alone is tied by neither: the rating prefers c, WIM prefers b
        ("WIM orders as rating", "new"): 0,
    }
    assert {key: value(found, *key).value for key in expected} == pytest.approx(expected)
    assert value(found, "WIM orders as rating", "new").n == 1
    assert not value(found, "tied pairs", "new: rating").known, "one topic tells nothing about others"
    assert found.found("tied pairs", "stored: WIM") is None


def test_controls_are_paired_and_an_empty_wim_raises_alarms() -> None:
    """Cosines that are those of another answer's WIM plus noise; a judge that says something raises none."""
    told, draw = drafts(12), random.Random(3)
    level = [draw.uniform(-0.5, 0.5) for _ in told]
    empty = [
        verdict(d.id, 5.0, c, 0.5, shuffled=c + draw.gauss(0, 0.02), topic=c)
        for d, c in zip(told, level, strict=True)
    ]
    noise = [draw.gauss(0, 0.02) for _ in told]
    full = [
        verdict(d.id, 5.0, c, 0.5, shuffled=c - 0.2 - far, topic=c - 0.1 - far)
        for d, c, far in zip(told, level, noise, strict=True)
    ]
    found = compare(told, side("stored", empty, 0.5), side("new", full, 0.5))
    assert value(found, "less shuffled", "new").value == pytest.approx(0.2, abs=0.01)
    assert value(found, "less topic", "new").value == pytest.approx(0.1, abs=0.01)
    assert value(found, "less shuffled", "stored").low < 0 < value(found, "less shuffled", "stored").high
    assert set(doubts(found)) >= {"like_shuffled_stored", "like_topic_stored"}
    assert not {"like_shuffled_new", "like_topic_new"} & set(doubts(found))


@pytest.mark.parametrize(("sign", "word"), [(1, "longer"), (-1, "shorter")])
def test_a_judge_of_length_is_found_out(sign: int, word: str) -> None:
    """Its rewards follow the number of words."""
    told = drafts(8, words=lambda topic, place: 3 + 2 * place + topic)
    lengths = [float(sign * d.words) for d in told]
    by_length = rated("new", told, [5.5 + length / 10 for length in lengths])
    found = compare(told, rated("stored", told, spread(told, 5)), by_length)
    assert value(found, "correlation\nwith length", "new: reward").value == pytest.approx(sign)
    assert word in doubts(found)["length_new"]
    assert "length_stored" not in doubts(found)


class Turned:
    """Stands for a second embedding model: points by what the test says of a text."""

    told: dict[str, Sequence[float]] = {}

    def __init__(self, checkpoint: str, device: str) -> None:
        """Take nothing."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(texts, 2) points."""
        return np.array([self.told[text] for text in texts], np.float32)


def test_flips_under_a_second_embedding_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two drafts an exchange, one exchange in four turns around."""
    told = drafts(24, each=2)
    cosines = [0.6 if n % 2 else 0.2 for n in range(48)]
    second = [(0.2 if n % 2 else 0.6) if n < 12 else c for n, c in enumerate(cosines)]
    Turned.told = {d.text: (c, 0) for d, c in zip(told, second, strict=True)} | {"w": (1, 0)}
    monkeypatch.setattr("rewards.wim.Embedder", Turned)
    judge = side("new", [verdict(d.id, 5.0, c, 1.0) for d, c in zip(told, cosines, strict=True)], 1.0)
    report = summary.report_on(
        Bench(told, (rated("stored", told, spread(told, 1)), judge)), "", "other", "cpu"
    )
    [found] = [finding.found for finding in report.findings if finding.measure == "WIM order flips"]
    assert found is not None and (found.value, found.n) == (0.25, 24)
    assert "25% of 24 pairs" in report.alarms["embedding_new"]


def test_abstentions_are_counted_and_are_no_ties() -> None:
    """A pair with one of them is judged by nobody; so is one of two scales."""
    told = drafts(3)
    ratings: list[float | None] = [float(i % 9 + 1) for i in range(12)]
    gone = [None if i in (0, 5) else r for i, r in enumerate(ratings)]
    lost = rated("new", told, gone)
    found = compare(told, rated("stored", told, ratings), lost)
    assert value(found, "pairs judged", "new: reward").value == pytest.approx(1 - 6 / 18)
    assert value(found, "tied pairs", "new: reward").n == 12
    assert value(found, "same order", "both decide").n == 12
    report = summary.report_on(Bench(told, (rated("stored", told, ratings), lost)), "")
    assert report.counts["new: rating_absent"] == 2
    mixed = [verdict(d.id, 5.0, 0.5, 0.5) for d in told]
    mixed[0] = Verdict(told[0].id, "m", "ok", 9.0, "", "nothing_missing", reward=0.4, scale="nothing_missing")
    judge = side("new", mixed, 0.5)
    assert judge.label((told[0], told[1])) is None and judge.label((told[1], told[2])) == "tie"


def test_a_rating_that_is_not_on_record_raises_an_alarm() -> None:
    """With the way to have it."""
    told = drafts(2)
    verdicts = [verdict(d.id, 5.0) for d in told[1:]]
    new = side("new", [Verdict(told[0].id, "m", LOST), *verdicts])
    found = compare(told, rated("stored", told, spread(told, 1)), new)
    assert "again=true" in doubts(found)["lost_new"]


def test_drafts_of_the_same_words_are_no_pair() -> None:
    """Whatever a judge says of them."""
    told = [
        Draft(f"d0000.00{letter}", "d0000.00", "t", text) for letter, text in zip("abc", "xxy", strict=True)
    ]
    bench = Bench(told, (rated("a", told, [1, 2, 3]), rated("b", told, [1, 2, 3])))
    assert [(one.id[-1], other.id[-1]) for one, other in bench.pairs] == [("a", "c"), ("b", "c")]


def test_a_report_says_what_it_compares_and_fits_80_columns() -> None:
    """Also with long names and every measure."""
    told = drafts(6)
    ratings = spread(told, 1)
    one = side(
        "stored",
        [verdict(d.id, r, r / 20, 0.4, shuffled=0.1, topic=0.2) for d, r in zip(told, ratings, strict=True)],
        0.4,
    )
    report = summary.report_on(Bench(told, (one, rated("new", told, ratings[::-1]))), "About it.")
    out = io.StringIO()
    report.print(Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    for measure in ("same order", "WIM orders as rating", "less shuffled", "with length"):
        assert measure in text
    assert "new: reward" in text and "stored: WIM" in text
    assert all(a != b for a, b in pairwise(line.strip() for line in lines if line.strip()))
