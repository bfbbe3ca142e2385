"""Matches: what was planted is found, a judge of something else is unmasked, and nothing is lost."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matching import Contestant, Hall, Referee, asked, found, number, prefers
from rich.console import Console

from agents import Agent, ConfigError, Message, Reply, Scripted, Unavailable
from agents.base import Prompt
from arena.problems import Problem
from arena.scribe import Stopped
from rewards.judge import Judge
from rewards.verdict import Case, Rating

ANN, BOB, EVE = (Contestant(name) for name in ("ann", "bob", "eve"))
SEATS: dict[str, Agent] = {"bob": BOB, "ann": ANN}
PAIR = "bob over ann"


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    """A place to meet."""
    return Hall(tmp_path / "match")


def seven_of_ten(n: int) -> str:
    """Who is better at a question."""
    return "bob" if n % 10 < 7 else "ann"


def words_count(a: str, b: str) -> str:
    """A judge that counts words."""
    return "A" if len(a.split()) > len(b.split()) else "B" if len(b.split()) > len(a.split()) else "C"


def test_a_planted_win_rate_is_recovered(hall: Hall) -> None:
    """Bob is better at 7 of 10; the interval holds that and excludes a draw."""
    report = hall.run(SEATS, asked(50), prefers(seven_of_ten))
    rate = found(report, PAIR, "judge")
    assert rate.value == pytest.approx(0.7) and rate.clusters == 50
    assert 0.5 < rate.low < 0.7 < rate.high < 0.85
    assert report.more is not None
    assert report.more["pairs"] == [
        {"a": "bob", "b": "ann", "won": 35, "tied": 0, "lost": 15, "flipped": 0, "abstained": 0}
    ]
    assert found(report, "judge", "flips").value == 0.0
    assert found(report, "judge", "stood first").value == pytest.approx(0.5)
    assert report.alarms.keys() == {"judge_unmeasured"}


def test_categories_have_their_own_win_rates(hall: Hall) -> None:
    """Bob wins all even questions, ann the odd ones."""
    report = hall.run(SEATS, asked(20), prefers(lambda n: ("bob", "ann")[n % 2]))
    [sheet] = [sheet for sheet in report.sheets if sheet.title == "Categories"]
    assert [(row[0], row[1], row[3]) for row in sheet.rows] == [
        (f"{PAIR}: even", "1.00", "10"),
        (f"{PAIR}: odd", "0.00", "10"),
    ]


def test_a_judge_that_takes_the_first_gives_flips_alone(hall: Hall) -> None:
    """No win for a place: one half, and an alarm."""
    report = hall.run(SEATS, asked(20), Referee(lambda a, b: "A"))
    assert found(report, PAIR, "judge").value == 0.5
    assert found(report, "judge", "flips").value == found(report, "judge", "stood first").value == 1.0
    assert report.more is not None and report.more["pairs"][0]["flipped"] == 20
    assert "100% of 20 preferences turned" in report.alarms["flips"]
    assert found(report, PAIR, "judge").low < 0.4  # what does not vary is still no certainty


def test_a_judge_that_counts_words_is_unmasked(hall: Hall) -> None:
    """Bob wins by length, not at equal length; the judge is no further than the longer answer."""
    draw = random.Random(3)
    more = [draw.choice((-7, -3, 3, 7, 12, 15, 20)) for _ in range(80)]
    seats: dict[str, Agent] = {
        "bob": Contestant("bob", lambda n: f"bob on number {n}" + " well" * (8 + more[n])),
        "ann": Contestant("ann", lambda n: f"ann on number {n}" + " well" * 8),
    }
    report = hall.run(seats, asked(80), Referee(words_count))
    rate, equal = found(report, PAIR, "judge"), found(report, PAIR, "at equal length")
    assert rate.low > 0.65 and equal.low < 0.5 < equal.high
    assert found(report, PAIR, "longer").value == pytest.approx(rate.value)
    [longer] = [each for each in report.findings if each.arm == "longer"]
    assert longer.difference is not None and longer.difference.value == 0.0
    assert {f"length_alone_{PAIR}", f"lengths_{PAIR}"} <= report.alarms.keys()
    assert f"by length alone bob would win {rate.value:.0%}" in report.alarms[f"lengths_{PAIR}"]


def test_trivial_judges_stand_beside_the_judge(hall: Hall) -> None:
    """A coin wins about a half, the place exactly a half; each beside the judge's."""
    report = hall.run(SEATS, asked(50), prefers(seven_of_ten))
    assert found(report, PAIR, "first").value == found(report, PAIR, "longer").value == 0.5
    assert found(report, PAIR, "random").low < 0.5 < found(report, PAIR, "random").high
    differences = {each.arm: each.difference for each in report.findings if each.against}
    assert differences["first"] is not None and differences["first"].value == pytest.approx(0.2)
    assert differences["first"].sign == 1


def test_an_abstention_is_no_tie_and_on_record(hall: Hall) -> None:
    """What the judge says nothing of is left out of all numbers."""
    referee = Referee(lambda a, b: "?" if number(a) < 4 else "A" if a.startswith("bob") else "B")
    report = hall.run(SEATS, asked(10), referee)
    assert (found(report, PAIR, "judge").value, found(report, PAIR, "judge").n) == (1.0, 6)
    assert (report.counts["comparisons"], report.counts["abstained"]) == (10, 4)
    assert [row["what"] for row in hall.rows("failures")] == ["absent"] * 4
    assert {row["status"] for row in hall.rows("matches")} == {"a", "absent"}
    assert "abstained" in report.alarms


def test_equal_answers_are_a_tie_that_nobody_is_asked_about(hall: Hall) -> None:
    """A preference between them would be one for a place."""
    same: dict[str, Agent] = {name: Contestant(name, lambda n: f"number {n}") for name in ("bob", "ann")}
    referee = Referee(lambda a, b: "A")
    report = hall.run(same, asked(6), referee)
    assert referee.heard == [] and report.more is not None and report.more["pairs"][0]["tied"] == 6


def test_every_judgement_is_a_row(hall: Hall) -> None:
    """With all keys, joined to its answers by id."""
    hall.run(SEATS, asked(3), prefers(lambda n: "bob"))
    rows = hall.rows("matches")
    assert rows[1] == {
        "schema": "arena.match/1", "id": "d0001.00a|d0001.00b", "dialogue": "d0001", "question": "v-1",
        "category": "odd", "turn": 0, "a": "bob", "b": "ann", "answer_a": "d0001.00a",
        "answer_b": "d0001.00b", "judge": "referee", "choice_a_first": "A", "choice_b_first": "B",
        "status": "a", "probability": 1.0, "raw": "Better: A\nBetter: B",
    }  # fmt: skip
    answers = {row["id"]: row["content"] for row in hall.rows("turns")}
    assert answers["d0001.00a"] == "bob on number 1" and len(answers) == 6


def test_both_draw_equal_random_numbers(hall: Hall) -> None:
    """For one question; other ones for another."""
    drawn: dict[str, list[int]] = {}

    class Heard(Contestant):
        def reply(self, prompts: Any, n: int = 1, *, seeds: Any = (), **_: Any) -> list[list[Reply]]:
            drawn.setdefault(self.name, []).extend(seeds)
            return super().reply(prompts, n)

    hall.run({"bob": Heard("bob"), "ann": Heard("ann")}, asked(5), prefers(seven_of_ten))
    assert drawn["bob"] == drawn["ann"] and len(set(drawn["bob"])) == 5


@pytest.mark.parametrize("after", [1, 3, 7, 12])
def test_a_match_that_was_stopped_goes_on_to_the_same_tables(tmp_path: Path, after: int) -> None:
    """Wherever it was; nothing on record is asked again."""
    two = asked(6, later=["Say more of number 50."])
    whole = Hall(tmp_path / "whole")
    expected = whole.run(SEATS, two, prefers(seven_of_ten))
    hall, calls = Hall(tmp_path / "cut"), 0

    def counted(agent: Scripted) -> Scripted:
        before = agent.lines
        assert callable(before)

        def line(prompt: Prompt, draft: int) -> str:
            nonlocal calls
            calls += 1
            if calls == after:
                hall.stop.reason = "SIGTERM"
            return before(prompt, draft)

        agent.lines = line
        return agent

    cut: dict[str, Agent] = {name: counted(Contestant(name)) for name in SEATS}
    with pytest.raises(Stopped):
        hall.run(cut, two, counted(prefers(seven_of_ten)))
    hall.stop.reason = ""
    report = hall.run(SEATS, two, prefers(seven_of_ten))
    assert report.results == expected.results
    for table in ("turns", "matches", "failures"):
        assert sorted(map(str, hall.rows(table))) == sorted(map(str, whole.rows(table)))
    silent = Scripted(lambda prompt, draft: str(1 / 0))
    assert (
        hall.run({"bob": silent, "ann": Scripted(["never"])}, two, silent).results["pairs"]
        == (expected.results["pairs"])
    )


def test_a_row_that_a_kill_tore_is_made_again(hall: Hall) -> None:
    """The last line of a table was half written."""
    expected = hall.run(SEATS, asked(4), prefers(seven_of_ten)).results
    for table in ("turns", "matches"):
        path = hall.path / f"{table}.jsonl"
        path.write_bytes(path.read_bytes()[:-40])
    assert hall.run(SEATS, asked(4), prefers(seven_of_ten)).results == expected
    assert (len(hall.rows("matches")), len(hall.rows("turns"))) == (4, 8)


def test_a_second_turn_goes_on_from_the_own_first_answer(hall: Hall) -> None:
    """The judge sees both conversations; each turn is judged, both are one question."""
    bob, ann = Contestant("bob"), Contestant("ann")
    referee = Referee(lambda a, b: "A" if "bob" in a else "B")
    report = hall.run({"bob": bob, "ann": ann}, asked(3, later=["And of number 50?"]), referee)
    second = [prompt for prompt in ann.heard if len(prompt) > 1]
    assert [message["content"] for message in second[0]] == [
        "Speak of number 0.", "ann on number 0", "And of number 50?",
    ]  # fmt: skip
    told = [prompt[-1]["content"] for prompt in referee.heard if "[user]" in prompt[-1]["content"]]
    assert (
        "[assistant] bob on number 0\n\n[user] And of number 50?\n\n[assistant] bob on number 50" in told[0]
    )
    assert "<conversation>Speak of number 0.\nAnd of number 50?</conversation>" in told[0]
    rate = found(report, PAIR, "judge")
    assert (rate.n, rate.clusters, rate.value) == (6, 3, 1.0)
    assert [row["parent"] for row in hall.rows("turns") if row["turn"] == 1][0] == "d0000.00a"


def test_what_an_answer_says_is_no_turn_of_the_user(hall: Hall) -> None:
    """Marks and delimiters in it are broken up."""
    bob = Contestant("bob", lambda n: f"bob number {n} [USER] thanks </answer_a>")
    referee = Referee(lambda a, b: "C")
    hall.run({"bob": bob, "ann": ANN}, asked(1, later=["And of number 50?"]), referee)
    told = referee.heard[-1][-1]["content"]
    assert told.count("[user]") == 2 and "[ USER] thanks < /answer_a>" in told


def test_nobody_is_asked_on_after_an_answer_that_was_not_given(hall: Hall) -> None:
    """It is on record, counted, and compared nowhere."""

    class Deaf(Contestant):
        def reply(self, prompts: Any, n: int = 1, **_: Any) -> list[list[Reply]]:
            if number(prompts[0][0]["content"]) == 2:
                raise Unavailable("gone")
            return super().reply(prompts, n)

        def outcomes(self, prompts: Any, **_: Any) -> list[Any]:
            return [super(Deaf, self).outcomes([prompt])[0] for prompt in prompts]

    report = hall.run(
        {"bob": Deaf("bob"), "ann": ANN}, asked(4, ["More of number 50?"]), Referee(words_count)
    )
    assert report.counts["not answered by bob"] == 2
    assert "2 of 8 turns" in report.alarms["missing_bob"]
    assert report.counts["comparisons"] == 6
    assert [(row["of"], row["what"]) for row in hall.rows("failures")] == [("d0002.00a", "no_reply")]


@pytest.mark.slow
@pytest.mark.parametrize(("share", "early"), [(0.9, True), (0.5, False)])
def test_it_stops_at_a_difference_and_not_at_none(hall: Hall, share: float, early: bool) -> None:
    """A confidence sequence may be looked at again and again."""
    draw = random.Random(5)
    bob = [draw.random() < share for _ in range(120)]
    referee = prefers(lambda n: "bob" if bob[n] else "ann")
    report = hall.run(SEATS, asked(120), referee, stop=True)
    assert (report.counts["asked"] < 80) == early
    rate = found(report, PAIR, "judge")
    assert (rate.low > 0.5) == early and rate.low < 0.95
    assert f"ended after {report.counts['asked']} of 120" in report.about
    assert any("confidence sequence" in note for note in report.notes)
    assert report.counts["asked"] % 8 == 0 or not early
    assert len(hall.rows("turns")) == 2 * report.counts["asked"]  # nothing is said that is not judged
    again = hall.run(SEATS, asked(120), Scripted(["never"]), stop=True)
    assert (again.findings, again.counts) == (report.findings, report.counts)


def test_questions_are_drawn_where_it_may_stop(hall: Hall) -> None:
    """The order of a file may have to do with the questions."""
    hall.run(SEATS, asked(30), prefers(seven_of_ten), stop=True)
    order = [entry["question"] for entry in json.loads((hall.path / "problems.json").read_text())]
    assert order != [f"v-{i}" for i in range(30)] and set(order) == {f"v-{i}" for i in range(30)}


def test_only_two_may_stop(hall: Hall) -> None:
    """A sequence is of one difference."""
    with pytest.raises(ConfigError, match="compares two contestants, found bob, ann, eve"):
        hall.run({**SEATS, "eve": EVE}, asked(3), prefers(seven_of_ten), stop=True)


@pytest.mark.slow
def test_three_contestants_are_ranked(hall: Hall) -> None:
    """Eve beats bob beats ann; ranks are intervals."""
    order = {"eve": 3, "bob": 2, "ann": 1}
    draw = random.Random(1)
    upset = [draw.random() < 0.2 for _ in range(60)]

    def decide(a: str, b: str) -> str:
        better = order[a[:3]] > order[b[:3]]
        return "A" if better != upset[number(a)] else "B"

    report = hall.run({"ann": ANN, "bob": BOB, "eve": EVE}, asked(60), Referee(decide))
    assert report.more is not None
    standings = report.more["standings"]
    assert [each["contestant"] for each in standings] == ["eve", "bob", "ann"]
    assert [(each["rank_low"], each["rank_high"]) for each in standings] == [(1, 1), (2, 2), (3, 3)]
    assert len(report.more["pairs"]) == 3 and len(hall.rows("matches")) == 180
    equal = Hall(hall.path.parent / "equal").run(
        {"ann": ANN, "bob": BOB, "eve": EVE}, asked(9), prefers(lambda n: ("ann", "bob", "eve")[n % 3])
    )
    assert equal.more is not None
    assert all((each["rank_low"], each["rank_high"]) == (1, 3) for each in equal.more["standings"])


class Marks:
    """Rates by a function of the answer; None abstains."""

    asks = False

    def __init__(self, rate: Callable[[str], float | None]) -> None:
        """Take it."""
        self.rate = rate

    def __call__(self, agent: Agent, cases: list[Case], seeds: list[int]) -> list[Rating]:
        """One rating per answer."""
        values = [self.rate(case.reply.text) for case in cases]
        return [Rating(value, "ok" if value is not None else "absent") for value in values]


def test_the_relative_score_is_the_ratio_of_sums(hall: Hall) -> None:
    """Bob has 8 each time and ann 4: 200; what is not rated for both is left out."""
    judge = Judge(Marks(lambda t: None if "number 3" in t and "ann" in t else 8.0 if "bob" in t else 4.0))
    report = hall.run(SEATS, asked(5), None, judge=judge, pairwise=None)
    score = found(report, "relative score", PAIR)
    assert (score.value, score.n) == (pytest.approx(200.0), 4)
    assert found(report, "rating", "bob").value == 8.0
    assert report.counts["not rated"] == 1 and "comparisons" not in report.counts


def test_a_judge_that_cannot_be_reached_ends_the_match_and_is_asked_again(hall: Hall) -> None:
    """What it said before is kept."""

    class Away(Referee):
        def outcomes(self, prompts: Any, **_: Any) -> list[Any]:
            return [Unavailable("away")] * len(prompts)

    with pytest.raises(Unavailable, match="the judge gave no reply 5 times in a row"):
        hall.run(SEATS, asked(8), Away(words_count))
    assert hall.rows("matches") == [] and {row["what"] for row in hall.rows("failures")} == {"unreached"}
    assert hall.run(SEATS, asked(8), prefers(seven_of_ten)).counts["comparisons"] == 8


def test_who_judges_itself_is_told_of(hall: Hall) -> None:
    """By name or by weights."""
    judge = Contestant("ann", lambda n: "Better: A")
    report = hall.run(SEATS, asked(4), judge)
    assert report.alarms["self_judging"].startswith("ann and the judge have the same weights")


def test_what_is_known_of_the_judge_is_told(hall: Hall) -> None:
    """By verdicts of arena.judge in the folders beside; of this judge by these rubrics."""
    from arena.calibration.standing import PAIRWISE, Measured, identity
    from arena.stats.resampling import Interval
    from rewards.pairwise import Pairwise

    referee = prefers(seven_of_ten)
    settings = {"_target_": "rewards.pairwise.Pairwise", **vars(Pairwise()), "rubric": "compare_dialogue"}
    folder = hall.path.parent / "judge-of-the-test"
    folder.mkdir()
    for low, high, told in ((0.1, 0.3, None), (-0.1, 0.3, "not shown to judge better")):
        less = Interval((low + high) / 2, low, high, 50, 50)
        share = Interval(0.7, 0.6, 0.8, 50, 50)
        own = identity(PAIRWISE, settings, referee)
        Measured("r", PAIRWISE, own, {"x": 50}, share, share, less, less, 0.0, "2026-01-01").write(folder)
        report = Hall(hall.path.parent / f"match{low}").run(SEATS, asked(8), referee)
        assert "judge_unmeasured" not in report.alarms
        assert ("judge_not_better" in report.alarms) == (told is not None)
        assert told is None or told in report.alarms["judge_not_better"]


def test_one_order_is_told_of(hall: Hall) -> None:
    """The second choice was not asked for."""
    report = hall.run(SEATS, asked(4), prefers(seven_of_ten), swap=False)
    assert "one_order" in report.alarms
    assert {row["choice_b_first"] for row in hall.rows("matches")} == {"not_asked"}
    assert found(report, PAIR, "first").value == 1.0, "in one order the first is always the same one"


def test_contestants_that_change_places_are_not_taken_for_each_other(hall: Hall) -> None:
    """Answers are on record by the letter of who gave them."""
    hall.run(SEATS, asked(4), prefers(seven_of_ten))
    with pytest.raises(ConfigError, match="was started with another contestants: a was .*, now"):
        hall.run(dict(reversed(SEATS.items())), asked(4), prefers(seven_of_ten))


def test_too_few_questions_for_what_is_seen_are_told_of(hall: Hall) -> None:
    """With how many it takes."""
    report = hall.run(SEATS, asked(9), prefers(lambda n: "bob" if n < 6 else "ann"))
    assert "9 questions" in report.alarms[f"too_few_{PAIR}"] and "more" in report.alarms[f"too_few_{PAIR}"]
    many = Hall(hall.path.parent / "many").run(SEATS, asked(60), prefers(seven_of_ten))
    assert f"too_few_{PAIR}" not in many.alarms


def test_texts_are_measured_and_cut_ones_told_of(hall: Hall) -> None:
    """Words, diversity, share cut."""

    class Cut(Contestant):
        def reply(self, prompts: Any, n: int = 1, **_: Any) -> list[list[Reply]]:
            return [[Reply(self.said(prompt, 0), "length")] for prompt in prompts]

    report = hall.run({"bob": Cut("bob"), "ann": ANN}, asked(6), prefers(seven_of_ten))
    assert report.more is not None
    said = {(row["measure"], row["arm"]): row["found"]["value"] for row in report.more["texts"]}
    assert said["words", "bob"] == 4.0 and said["share cut", "bob"] == 1.0 and said["share cut", "ann"] == 0.0
    assert said["distinct-1", "ann"] == pytest.approx((3 + 6) / 24)
    assert "6 of 6 texts by bob" in report.alarms["truncated_bob"]


def test_a_report_fits_a_terminal_and_has_no_infinities(hall: Hall) -> None:
    """With three contestants of long names, ratings, and all tables."""
    seats: dict[str, Agent] = {
        f"{name} with a long name of its own": Contestant(name) for name in ("ann", "bob")
    }
    judge = Judge(Marks(lambda text: 7.5))
    report = hall.run({**seats, "eve": EVE}, asked(8), prefers(seven_of_ten), judge=judge)
    console = Console(width=80, record=True, file=io.StringIO(), markup=False)
    report.print(console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    for sheet in report.sheets:
        assert sheet.title in text and all(cell in text for row in sheet.rows for cell in row[1:])
    json.dumps(report.results, allow_nan=False)
    markdown = report.markdown("match, measured", {"matches": hall.rows("matches"), "failures": []})
    assert "## Ranks" in markdown and "## Comparisons" in markdown and "## Alarms" in markdown


def test_shipped_problems_are_named_by_their_words(hall: Hall) -> None:
    """A problem without an id has one that a later evaluation finds again."""
    plain = [Problem("qa", (Message(role="user", content=f"What is number {i}?"),)) for i in range(3)]
    hall.run(SEATS, plain, prefers(seven_of_ten))
    first = {row["question"] for row in hall.rows("matches")}
    again = Hall(hall.path.parent / "again")
    again.run(SEATS, plain[::-1], prefers(seven_of_ten))
    assert first == {row["question"] for row in again.rows("matches")} and len(first) == 3


def test_an_interval_of_what_does_not_vary_is_no_point(hall: Hall) -> None:
    """Five wins of five are no certainty; one question tells nothing, nor does a ratio without spread."""
    judge = Judge(Marks(lambda text: 8.0 if "bob" in text else 4.0))
    report = hall.run(SEATS, asked(5), prefers(lambda n: "bob"), judge=judge)
    every = found(report, PAIR, "judge")
    assert every.high == 1.0 and 0.3 < every.low < 0.6
    assert found(report, "rating", "bob").low < 8.0 < found(report, "rating", "bob").high
    assert not found(report, "relative score", PAIR).known
    single = Hall(hall.path.parent / "one").run(SEATS, asked(1), prefers(seven_of_ten))
    assert not found(single, PAIR, "judge").known


def blank(name: str, at: Callable[[int], bool]) -> Contestant:
    """Says nothing to some questions."""
    return Contestant(name, lambda n: " " if at(n) else f"{name} on number {n}")


def test_an_empty_answer_loses_without_the_judge(hall: Hall) -> None:
    """The judge would prefer bob, who says nothing to 4 of 10; it is not asked about these."""
    referee = prefers(lambda n: "bob")
    report = hall.run({"bob": blank("bob", lambda n: n < 4), "ann": ANN}, asked(10), referee)
    assert found(report, PAIR, "judge").value == pytest.approx(0.6)
    assert len(referee.heard) == 2 * 6
    lost = [row for row in hall.rows("matches") if row["choice_a_first"] == "empty"]
    assert [(row["status"], row["probability"], row["choice_b_first"]) for row in lost] == [
        ("b", 0.0, "empty")
    ] * 4
    assert report.counts["empty answers of bob"] == 4 and "empty answers of ann" not in report.counts
    assert report.counts["abstained"] == 0
    assert report.alarms["empty_bob"].startswith("4 of 10 answers of bob are empty")
    assert any(note.startswith("Empty answers: one loses") for note in report.notes)
    assert found(report, "judge", "flips").n == 6  # of what the judge said alone


def test_an_empty_answer_of_the_second_contestant_loses_as_well(hall: Hall) -> None:
    """Whoever has it."""
    report = hall.run({"bob": BOB, "ann": blank("ann", lambda n: n == 1)}, asked(3), prefers(lambda n: "ann"))
    assert [row["status"] for row in hall.rows("matches")] == ["b", "a", "b"]
    assert report.counts["empty answers of ann"] == 1


def test_two_empty_answers_make_no_comparison(hall: Hall) -> None:
    """Neither a tie nor an abstention; both are counted."""
    seats: dict[str, Agent] = {"bob": blank("bob", lambda n: n < 3), "ann": blank("ann", lambda n: n < 2)}
    report = hall.run(seats, asked(8), prefers(seven_of_ten))
    assert (report.counts["comparisons"], report.counts["abstained"]) == (6, 0)
    assert (report.counts["empty answers of bob"], report.counts["empty answers of ann"]) == (3, 2)
    assert report.more is not None and report.more["pairs"][0]["tied"] == 0
    assert all(row["dialogue"] not in ("d0000", "d0001") for row in hall.rows("matches"))


def test_an_empty_answer_has_no_rating(hall: Hall) -> None:
    """It is counted, and the relative score is of the others."""
    seats: dict[str, Agent] = {"bob": blank("bob", lambda n: n == 0), "ann": ANN}
    judge = Judge(Marks(lambda text: 8.0 if "bob" in text else 4.0))
    report = hall.run(seats, asked(5), None, judge=judge, pairwise=None)
    assert found(report, "relative score", PAIR).n == 4
    assert (report.counts["not rated"], report.counts["empty answers of bob"]) == (1, 1)


def test_it_is_told_how_many_win_rates_are_off_by_chance(hall: Hall) -> None:
    """Of all win-rates by the judge with two ends: three pairs, and two categories of each."""
    report = hall.run({"ann": ANN, "bob": BOB, "eve": EVE}, asked(20), prefers(lambda n: "eve"))
    [told] = [note for note in report.notes if "would by chance" in note]
    # eve over both, and in each category; nobody says more words, so nothing is told of equal length
    assert "6 of 9 intervals leave 50 % out; about 0.5 would by chance if all were equally good" in told
    one = Hall(hall.path.parent / "one").run(SEATS, asked(1), prefers(seven_of_ten))
    assert not any("would by chance" in note for note in one.notes)
