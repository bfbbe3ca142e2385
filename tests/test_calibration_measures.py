"""What a judge's rulings come to: every planted bias is found, and none where there is none."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import planted_judges as planted
import pytest

from agents import Agent, Unavailable
from agents.scripted import Scripted
from arena.calibration.found import Found
from arena.calibration.items import Pair, Rated
from arena.calibration.measures import Sheet
from arena.calibration.rated import Ratings, spread
from arena.calibration.rulings import rated
from arena.calibration.standing import Measured
from arena.calibration.study import Study
from arena.evaluation.findings import Finding
from arena.rundir import rows
from arena.scribe import Stop, Stopped
from rewards.rating import Labels, Length
from rewards.verdict import Verdict

Of = Callable[[str, str], Finding]


def measured(
    folder: Path, pairs: list[Pair], rater: Any = None, agent: Agent | None = None, **options: Any
) -> tuple[Found, Measured, Of]:
    """What a judge says of the pairs, the verdict on it, and its findings by measure and arm."""
    with planted.bench(folder, rater, agent, **options) as bench:
        found = Study(bench, pairs)()
    by_name = {(one.measure, one.arm): one for one in found.findings}
    return found, found.measured({}), lambda measure, arm: by_name[measure, arm]


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power fails here: rows need not wait for the disk, which takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def value(finding: Finding) -> float:
    """The number that was found."""
    assert finding.found is not None, finding
    return finding.found.value


def test_a_perfect_judge_agrees_and_is_better_than_the_longer_answer(tmp_path: Path) -> None:
    """Whatever the length; an interval is left even where it was right each time."""
    _, verdict, of = measured(tmp_path, planted.pairs(40), planted.Perfect())
    assert value(of("agreement", "judge")) == value(of("agreement, both decide", "judge")) == 1.0
    assert value(of("agreement", "longer")) == value(of("agreement", "first")) == 0.5
    assert value(of("Cohen's kappa", "judge")) == 1.0
    assert verdict.agreement is not None and verdict.agreement.low < 1.0
    assert verdict.less_longer is not None and verdict.less_longer.value == 0.5
    assert verdict.better is True
    assert verdict.statement.startswith(
        "better than the longest-answer judge: yes (agrees with people on 100.0%"
    )


def test_a_judge_that_counts_words_is_not_better_than_one_that_does(tmp_path: Path) -> None:
    """It prefers the longer answer always, people in one case of four: an alarm."""
    found, verdict, of = measured(tmp_path, planted.pairs(40, longer_is_good=0.25), planted.Words())
    assert value(of("prefers longer", "judge")) == 1.0
    assert value(of("prefers longer", "people")) == pytest.approx(0.25)
    assert of("prefers longer", "people").difference is not None
    assert verdict.less_longer is not None and verdict.less_longer.value == 0.0
    assert verdict.better is None
    alarms = found.report(verdict).alarms
    assert "by +75.0%" in alarms["prefers_longer"] and "not_better_than_longer" in alarms


def test_a_judge_that_is_worse_than_the_longer_answer_is_known_to_be(tmp_path: Path) -> None:
    """People like the longer answer always, the judge tosses a coin."""
    _, verdict, _ = measured(tmp_path, planted.pairs(40, longer_is_good=1.0), planted.Coin())
    assert verdict.better is False
    assert "better than the longest-answer judge: no" in verdict.statement


def test_a_coin_is_not_shown_to_be_better(tmp_path: Path) -> None:
    """Its kappa is about 0, and the interval of its agreement holds a half."""
    found, verdict, of = measured(tmp_path, planted.pairs(40), planted.Coin())
    assert verdict.agreement is not None and verdict.agreement.low < 0.5 < verdict.agreement.high
    kappa = of("Cohen's kappa", "judge").found
    assert kappa is not None and kappa.low < 0 < kappa.high
    assert verdict.better is None
    assert "not shown" in found.report(verdict).alarms["not_better_than_longer"]
    assert any("more to see one of 0.05" in note for note in found.report(verdict).notes)


def test_a_judge_that_says_first_flips_each_time(tmp_path: Path) -> None:
    """Asked in both orders it contradicts itself, which is half an agreement and a tie to kappa."""
    found, verdict, of = measured(tmp_path, planted.pairs(20), agent=planted.Voice("first"))
    assert value(of("flip rate", "judge")) == value(of("first place chosen", "judge")) == 1.0
    assert value(of("agreement", "judge")) == 0.5
    assert value(of("says tie", "judge")) == 0.0
    assert of("agreement, both decide", "judge").found is None
    assert {"flips", "place"} <= set(found.report(verdict).alarms)


def test_a_judge_that_compares_well_neither_flips_nor_likes_a_place(tmp_path: Path) -> None:
    """And prefers what is likely to itself as often as people do, who like the same answers."""
    found, verdict, of = measured(tmp_path, planted.pairs(20), agent=planted.Voice("good"))
    assert value(of("flip rate", "judge")) == 0.0
    assert value(of("first place chosen", "judge")) == 0.5
    assert value(of("prefers likelier", "judge")) == value(of("prefers likelier", "people")) == 1.0
    assert verdict.better is True and verdict.way == "pairwise"
    assert not {"flips", "place"} & set(found.report(verdict).alarms)


def test_self_preference_is_seen_beside_peoples(tmp_path: Path) -> None:
    """Good answers are likely: a judge that asks a model and counts words prefers them half of the time."""

    class Asking(planted.Words):
        asks = True

    _, _, of = measured(tmp_path, planted.pairs(40), Asking())
    assert value(of("prefers likelier", "judge")) == 0.5
    assert value(of("prefers likelier", "people")) == 1.0
    difference = of("prefers likelier", "people").difference
    assert difference is not None and difference.value == -0.5 and difference.sign == -1


def test_without_probabilities_self_preference_has_a_reason(tmp_path: Path) -> None:
    """And no number."""
    found, verdict, _ = measured(tmp_path, planted.pairs(4), agent=Scripted(["Better: C"]))
    notes = " ".join(found.report(verdict).notes)
    assert "is not known: Scripted gives no log-probabilities" in notes
    assert not any(one.measure == "prefers likelier" for one in found.findings)


def test_abstentions_are_counted_with_their_reason_and_are_no_ties(tmp_path: Path) -> None:
    """Half of the pairs; on the others it is perfect, and so is its agreement."""
    found, verdict, of = measured(tmp_path, planted.pairs(40), planted.Half())
    assert value(of("abstains", "judge")) == 0.5 == verdict.abstained
    assert value(of("agreement", "judge")) == 1.0
    assert found.counts() == {
        "pairs": 40, "people decide": 40, "judged": 20, "abstained: rating_absent": 20,
    }  # fmt: skip
    failures = list(rows(tmp_path / "failures.jsonl"))
    assert {row["what"] for row in failures} == {"rating_absent"} and len(failures) == 40


def test_silence_on_what_is_hard_is_no_way_to_be_better(tmp_path: Path) -> None:
    """The judge dares half of the pairs and is right on them, the longer answer on three of four of all."""
    pairs = [
        planted.pair(n, "ab"[n % 2], (9, 4) if (n % 2 == 0) == (n % 8 > 1) else (4, 9)) for n in range(64)
    ]
    _, verdict, of = measured(tmp_path, pairs, planted.Half())
    assert value(of("agreement", "judge")) == 1.0
    assert value(of("agreement, all pairs", "judge")) == 0.75 == value(of("agreement, all pairs", "longer"))
    assert verdict.agreement is not None and (verdict.agreement.value, verdict.agreement.n) == (0.75, 64)
    assert verdict.better is None and "it abstained on 50.0%, which counts half" in verdict.statement


def test_a_judge_that_mostly_abstains_raises_an_alarm(tmp_path: Path) -> None:
    """With its reasons."""
    some = [planted.pair(2 * number, "a") for number in range(8)] + [planted.pair(1, "b")]
    found, verdict, _ = measured(tmp_path, some, planted.Half())
    assert "89% of what it was asked: rating_absent (8)" in found.report(verdict).alarms["abstains"]


def test_a_label_that_says_tie_is_a_third_class(tmp_path: Path) -> None:
    """It counts for kappa, and not for agreement on what people decide."""
    pairs = planted.pairs(20, ties=20)
    found, verdict, of = measured(tmp_path, pairs, planted.Perfect())
    assert verdict.agreement is not None and verdict.agreement.n == 20
    assert value(of("Cohen's kappa", "judge")) == 1.0
    assert value(of("says tie", "judge")) == 0.5
    _, _, of = measured(tmp_path / "words", pairs, planted.Words())
    assert value(of("Cohen's kappa", "judge")) < 0.1
    assert found.counts()["people decide"] == 20


def test_a_judges_tie_counts_half(tmp_path: Path) -> None:
    """The margin of the judge decides what is one."""
    _, _, of = measured(tmp_path, planted.pairs(20), planted.Perfect(), tie_margin=5.0)
    assert value(of("agreement", "judge")) == 0.5 and value(of("says tie", "judge")) == 1.0


def test_verdicts_on_different_scales_are_not_compared() -> None:
    """Such a pair is an abstention."""
    pair = planted.pair(0, "a")
    verdicts = {
        case.id: Verdict(case.id, "judge", rating=5.0, reward=reward, scale=scale)
        for case, reward, scale in ((pair.first, 0.1, "rating+wim"), (pair.second, 0.2, "nothing_missing"))
    }
    [ruling] = rated([pair], verdicts, 0.0)
    assert (ruling.choice, ruling.reason) == ("", "other_scales")


def test_pairs_of_one_prompt_do_not_make_intervals_narrower(tmp_path: Path) -> None:
    """Each prompt ten times over."""
    pairs = planted.pairs(20)
    with planted.bench(tmp_path, planted.Coin()) as bench:
        rulings = Study(bench, pairs)().rulings
    once, often = (Sheet("", [one for one in rulings for _ in range(times)]).agreement for times in (1, 10))
    assert once is not None and often is not None and often.n == 200
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize("after", [3, 33])
def test_a_measurement_that_was_stopped_goes_on_to_the_same_numbers(tmp_path: Path, after: int) -> None:
    """Nothing that is on record is asked again."""
    pairs = planted.pairs(24)

    class Counting(planted.Half):
        """Counts what it rates, and asks for a stop."""

        seen = 0

        def __call__(self, *asked: Any) -> Any:
            """As the other."""
            found = super().__call__(*asked)
            self.seen += len(found)
            if self.seen > after:
                stop.reason = "SIGTERM"
            return found

    stop = Stop()
    with planted.bench(tmp_path / "stopped", Counting(), stop=stop) as bench, pytest.raises(Stopped):
        Study(bench, pairs)()
    kept = sum(1 for _ in rows(tmp_path / "stopped" / "verdicts.jsonl"))
    lost = sum(1 for _ in rows(tmp_path / "stopped" / "failures.jsonl"))
    counting, stop = Counting(), Stop()
    found, verdict, _ = measured(tmp_path / "stopped", pairs, counting)
    whole, other, _ = measured(tmp_path / "whole", pairs, planted.Half())
    assert counting.seen == 48 - kept - lost
    assert found.findings == whole.findings
    assert verdict.agreement == other.agreement
    again = Counting()
    measured(tmp_path / "stopped", pairs, again)
    assert again.seen == 0


def test_comparisons_on_record_are_not_asked_for_again(tmp_path: Path) -> None:
    """Neither are those in which the judge said nothing that can be read."""
    pairs, voice = planted.pairs(10), planted.Voice("good")
    first, _, _ = measured(tmp_path, pairs, agent=voice)
    assert voice.asked == 20
    again, _, _ = measured(tmp_path, pairs, agent=voice)
    assert voice.asked == 20 and again.findings == first.findings
    mute = Scripted(["hm"])
    for _ in range(2):
        found, verdict, _ = measured(tmp_path / "mute", pairs, agent=mute)
        assert found.reasons == {"absent": 10} and verdict.agreement is None
    assert len(mute.heard) == 20
    assert verdict.better is None and "no pairs that people decide were judged" in verdict.statement


def test_what_got_no_reply_is_asked_again(tmp_path: Path) -> None:
    """A line that broke says nothing of the judge."""

    class Broken(planted.Voice):
        """Gives no reply to some."""

        def outcomes(self, *asked: Any, **options: Any) -> Any:
            """Every third one is lost."""
            found = super().outcomes(*asked, **options)
            return [Unavailable("gone") if i % 3 == 2 else each for i, each in enumerate(found)]

    pairs, voice = planted.pairs(10), planted.Voice("good")
    found, _, _ = measured(tmp_path, pairs, agent=Broken("good"))
    lost = found.reasons["no_reply"]
    assert 0 < lost < 10
    again, _, _ = measured(tmp_path, pairs, agent=voice)
    assert voice.asked == 2 * lost and not again.reasons


def test_a_judge_out_of_reach_ends_the_measurement(tmp_path: Path) -> None:
    """It is no abstention: nothing is written, so that the next attempt asks again."""

    class Gone(Agent):
        """Gives no reply."""

        def reply(self, *asked: Any, **options: Any) -> Any:
            """Raise."""
            raise Unavailable("nobody there")

    with pytest.raises(Unavailable, match="nobody there"):
        measured(tmp_path / "pairs", planted.pairs(4), agent=Gone())
    with pytest.raises(Unavailable, match="nobody there"):
        measured(tmp_path / "alone", planted.pairs(4), Labels(), Gone())
    for name in ("pairs", "alone"):
        assert not list(rows(tmp_path / name / "failures.jsonl"))


def ratings(scores: list[float], given: list[float | None], per_prompt: int = 1) -> Ratings:
    """Verdicts on answers that people have rated, so many to each prompt."""
    items, verdicts = [], {}
    for number, (score, rating) in enumerate(zip(scores, given, strict=True)):
        case = planted.pair(number, "a", prompt=f"Question {number // per_prompt}?").first
        items.append(Rated(case, "set", score, (1.0, 5.0), "overall"))
        reward = None if rating is None else (rating - 5.5) / 4.5
        status = "ok" if rating is not None else "rating_absent"
        verdicts[case.id] = Verdict(case.id, "j", status, rating, reward=reward, scale="rating")
    return Ratings("set", items, verdicts)


def test_ratings_are_compared_on_one_scale() -> None:
    """People's 1 to 5 is 1 to 10 here: 3 is 5.5. The judge is one point above in each."""
    found = {(f.measure, f.arm): f for f in ratings([1, 3, 5, 2], [2.0, 6.5, 10.0, 4.25]).findings()}
    assert value(found["set: Spearman's rho", "judge"]) == pytest.approx(1.0)
    assert value(found["set: distance, points", "judge"]) == pytest.approx((1 + 1 + 0 + 1) / 4)
    assert value(found["set: mean rating", "people"]) == pytest.approx((1 + 5.5 + 10 + 3.25) / 4)
    difference = found["set: mean rating", "people"].difference
    assert difference is not None and difference.value == pytest.approx(0.75)


def test_order_within_prompts_is_told_apart_from_order_between_them() -> None:
    """The judge knows good prompts, and turns the answers of each around."""
    scores = [1.0, 1.5, 2.0, 3.0, 3.5, 4.0, 4.5, 4.75, 5.0]
    given: list[float | None] = [3.0, 2.0, 1.0, 6.0, 5.0, 4.0, 9.0, 8.0, 7.0]
    found = {f.measure: value(f) for f in ratings(scores, given, 3).findings() if f.arm == "judge"}
    assert found["set: rho within prompts"] == pytest.approx(-1.0)
    assert found["set: Spearman's rho"] > 0.6


def test_an_answer_without_a_rating_is_left_out_and_counted() -> None:
    """It is not the middle of the scale."""
    own = ratings([1, 3, 5, 4], [1.0, 5.5, 10.0, None])
    found = {f.measure: value(f) for f in own.findings() if f.arm == "judge"}
    assert found["set: abstains"] == 0.25 and found["set: distance, points"] == 0.0
    assert own.reasons == {"rating_absent": 1}


def test_a_judge_of_one_rating_is_seen() -> None:
    """How many numbers it uses, and how often the commonest."""
    found = {f.measure: value(f) for f in spread([5.01, 5.04, 5.0, 8.0], list("abcd"))}
    assert found == {
        "different ratings": 2.0,
        "standard deviation": pytest.approx(1.299, abs=1e-3),
        "commonest rating": 0.75,
    }
    assert spread([], []) == []


def test_the_usual_judge_of_length_is_found_out(tmp_path: Path) -> None:
    """`judge=length` without a margin is the longest-answer judge: no difference at all."""
    _, verdict, of = measured(tmp_path, planted.pairs(30, 0.4), Length())
    assert verdict.less_longer is not None and verdict.less_longer.value == 0.0 and verdict.better is None
    assert value(of("agreement", "judge")) == value(of("agreement", "longer"))


def test_a_judge_of_length_gains_nothing_by_its_margin(tmp_path: Path) -> None:
    """Where lengths are close people like the shorter answer: ties gain half a point on every such pair."""
    close = [planted.pair(number, "ab"[number % 2], ((9, 10), (10, 9))[number % 2]) for number in range(40)]
    far = [planted.pair(40 + number, "a", (30, 5)) for number in range(40)]
    found, verdict, _ = measured(tmp_path, [*close, *far], Length(), tie_margin=0.03)
    assert found.whole.less_longer is not None and found.whole.less_longer.value == 0.25
    assert found.whole.less_longer.sign == 1
    assert verdict.less_longer_tied is not None and verdict.less_longer_tied.value == 0.0
    assert verdict.better is None
