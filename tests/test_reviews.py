"""Stored reviews: scores out of texts, questions joined by id, and what place and length do to a winner."""

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import ConfigError
from arena import evaluate
from arena.console import Quiet
from arena.evaluation.findings import Report
from arena.evaluation.review.reading import parse_scores, read_reviews
from arena.evaluation.review.reviews import Reviews
from arena.evaluation.room import Room
from arena.rundir import opened
from arena.scribe import Scribe, Stop
from arena.stats.resampling import Interval

DATA = Path(os.environ.get("ARENA_DATA", Path(__file__).parents[2] / "shared" / "data"))
Judge = Callable[[int], tuple[float, float]]
"""From a question to the scores of the first and the second answer."""


def nobody(adapter: str) -> Any:
    """Reviews need no agent."""
    raise AssertionError(adapter)


def measured(folder: Path, **settings: Any) -> Report:
    """The report on reviews, in a folder of its own."""
    evaluation = Reviews(**settings)
    with ExitStack() as stack:
        run = stack.enter_context(opened(folder, "", {}, evaluation.tables))
        scribe = Scribe(run, Quiet(), Stop())
        return evaluation(Room("reviews", {}, False, nobody, None, lambda kind: ([], []), 0, scribe))


def write(path: Path, judge: Judge, questions: Sequence[int] = range(40)) -> str:
    """A file of reviews."""
    rows = [
        {"question_id": q, "text": f"{judge(q)[0]:g} {judge(q)[1]:g}\nBoth are answers."} for q in questions
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def both_orders(folder: Path, ours: Judge, theirs: Judge) -> list[str]:
    """Reviews of `new` against `old`: `ours` with new first, `theirs` with old first."""
    return [write(folder / "new_vs_old.jsonl", ours), write(folder / "old_vs_new.jsonl", theirs)]


def found(report: Report, measure: str, arm: str = "new") -> Interval:
    """What a report says of a model."""
    [interval] = [each.found for each in report.findings if (each.measure, each.arm) == (measure, arm)]
    assert interval is not None
    return interval


@pytest.mark.parametrize(
    ("text", "scores", "status"),
    [
        ("8 9.5\nBoth are good.", (8.0, 9.5), "ok"),
        ("8, 9\nBoth are good. A tuple would be (3, 4).", (8.0, 9.0), "ok"),
        ("First I solve it: f(2) = 39.\n\nOutput: (10, 4)", (10.0, 4.0), "ok"),
        ("It is (3, 4) to (5, 6).\n(10, 9)\nDone.", (10.0, 9.0), "ok"),
        ("So:\nAssistant 1: 7/10 (a slip)\nAssistant 2: 10/10 - Right.", (7.0, 10.0), "ok"),
        ("I give Assistant 1 a score of 10 and Assistant 2 a score of 1.", (10.0, 1.0), "ok"),
        ("Assistant 1:\n3x + 1 = 2\nAssistant 2:\n4x = 2\nScores: (2, 3)", (2.0, 3.0), "ok"),
        ("The points are (3, 4) and (5, 6).", None, "absent"),
        ("Both did well.", None, "absent"),
        ("", None, "absent"),
        ("8", None, "absent"),
        ("Scores: (7, 8), or rather the scores (6, 8).", None, "ambiguous"),
        ("0 9\nThe first is empty.", None, "out_of_range"),
        ("85 90\nIn per cent.", None, "out_of_range"),
        ("-1 -1", None, "absent"),
    ],
)
def test_scores_are_read_wherever_the_judge_put_them(
    text: str, scores: tuple[float, float] | None, status: str
) -> None:
    """In the first line, a tuple, or behind the names; what is none of these is no score."""
    assert parse_scores(text) == (scores, status)


@given(st.text())
def test_no_text_makes_a_score_that_is_off_the_scale(text: str) -> None:
    """Whatever it says."""
    scores, status = parse_scores(text)
    assert (scores is None) == (status != "ok")
    assert scores is None or all(1 <= score <= 10 for score in scores)


def test_the_scale_is_a_setting() -> None:
    """Some judges give nothing."""
    assert parse_scores("0 9", low=0.0) == ((0.0, 9.0), "ok")


def test_a_judge_who_likes_the_first_slot_is_found_out(tmp_path: Path) -> None:
    """One point more for whatever stands there: nobody is better, and each order names another winner."""
    files = both_orders(tmp_path, lambda q: (8.0, 7.0), lambda q: (8.0, 7.0))
    report = measured(tmp_path / "run", reviews=files)
    assert found(report, "position effect").value == 1.0
    assert found(report, "flips").value == 1.0
    assert found(report, "ties").value == 1.0 and found(report, "wins").value == 0.0
    assert found(report, "relative score, %").value == 100.0
    assert (found(report, "sum in slot 1").value, found(report, "sum in slot 2").value) == (320.0, 280.0)
    assert {"position", "order_decides"} <= set(report.alarms)


def test_a_better_model_is_better_in_both_orders(tmp_path: Path) -> None:
    """Half a point on most questions, none for its place."""

    def gain(q: int) -> float:
        return 0.5 if q % 4 else -0.5

    files = both_orders(tmp_path, lambda q: (7 + gain(q), 7.0), lambda q: (7.0, 7 + gain(q)))
    report = measured(tmp_path / "run", reviews=files)
    assert found(report, "position effect").value == found(report, "flips").value == 0.0
    assert found(report, "win-rate").value == 0.75
    low, high = found(report, "wins").low, found(report, "wins").high
    assert 0.5 < low < 0.75 < high < 0.9
    [total] = [each for each in report.findings if each.measure == "sum of scores"]
    assert total.found is not None and total.found.value == 80 * 7.25 and total.against == "old"
    assert total.difference is not None and total.difference.value == 20.0 and total.difference.sign == 1
    assert report.alarms == {}


def test_questions_are_joined_by_their_ids(tmp_path: Path) -> None:
    """Another order of the rows, and another type of id, change nothing."""
    files = both_orders(tmp_path, lambda q: (1.0 + q % 9, 5.0), lambda q: (5.0, 1.0 + q % 9))
    before = measured(tmp_path / "one", reviews=files)
    lines = [json.loads(line) for line in Path(files[1]).read_text().splitlines()]
    random.Random(0).shuffle(lines)
    Path(files[1]).write_text(
        "".join(json.dumps({**line, "question_id": str(line["question_id"])}) + "\n" for line in lines)
    )
    after = measured(tmp_path / "two", reviews=files)
    assert after.results == before.results
    assert found(after, "flips").value == 0.0


@pytest.mark.parametrize(("order", "name"), [(0, "new>old#3"), (1, "old>new#3")])
def test_a_review_without_scores_is_counted_and_no_number(tmp_path: Path, order: int, name: str) -> None:
    """Its question is left out in both orders, so that the slots stay balanced."""
    files = both_orders(tmp_path, lambda q: (8.0, 7.0), lambda q: (7.0, 8.0))
    rows = [json.loads(line) for line in Path(files[order]).read_text().splitlines()]
    rows[3] |= {"text": "I would rather not say.", "score": [-1, -1]}
    Path(files[order]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = measured(tmp_path / "run", reviews=files)
    assert report.counts["scores absent"] == 1 and report.counts["questions compared"] == 39
    assert found(report, "sum of scores").value == 39 * 16
    assert "1 of 80" in report.alarms["unread"]
    [failure] = [json.loads(line) for line in (tmp_path / "run" / "failures.jsonl").read_text().splitlines()]
    assert (failure["of"], failure["what"]) == (name, "absent")
    assert len((tmp_path / "run" / "reviews.jsonl").read_text().splitlines()) == 79


def test_scores_that_the_text_does_not_say_are_told(tmp_path: Path) -> None:
    """A number that somebody noted by hand may be wrong: the text counts."""
    path = tmp_path / "a_vs_b.jsonl"
    path.write_text('{"question_id": 1, "text": "10 4", "score": [10, 2]}\n')
    report = measured(tmp_path / "run", reviews=[str(path)])
    assert found(report, "relative score, %", "a").value == 250.0
    assert "(10.0, 4.0) in the text, (10.0, 2.0) noted" in report.alarms["noted_otherwise"]


def test_one_order_alone_says_so(tmp_path: Path) -> None:
    """There is no position effect to be told, and no flip."""
    report = measured(tmp_path / "run", reviews=[write(tmp_path / "new_vs_old.jsonl", lambda q: (8.0, 7.0))])
    assert not {"position effect", "flips", "sum in slot 1"} & {each.measure for each in report.findings}
    assert "one_order" in report.alarms


def answers(folder: Path, words: Callable[[int], int], name: str) -> str:
    """A model's answers, so many words each."""
    path = folder / f"{name}.jsonl"
    rows = [{"question_id": q, "text": " ".join(["word"] * words(q))} for q in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_judge_of_length_alone_is_found_out(tmp_path: Path) -> None:
    """The longer answer wins; new is longer on most questions, and no better at equal length."""

    def longer(q: int) -> int:
        return (q * 7) % 40 - 10

    def judge(q: int) -> tuple[float, float]:
        return (8.0, 6.0) if longer(q) > 0 else (6.0, 8.0)

    files = both_orders(tmp_path, judge, lambda q: judge(q)[::-1])
    (tmp_path / "answers").mkdir()
    told = [
        answers(tmp_path / "answers", lambda q: 100 + longer(q), "new"),
        answers(tmp_path / "answers", lambda q: 100, "old"),
    ]
    report = measured(tmp_path / "run", reviews=files, answers=told)
    assert found(report, "win-rate").low > 0.5
    equal = found(report, "win-rate at equal length")
    assert equal.low < 0.5 < equal.high
    assert found(report, "rho with words").low > 0.6
    assert "at equal length" in report.alarms["length"]


def test_length_that_cannot_be_controlled_is_told_with_the_reason(tmp_path: Path) -> None:
    """No file of a model, no answer to a question, the same difference everywhere; or nothing was named."""
    files = both_orders(tmp_path, lambda q: (8.0, 6.0 + q % 3), lambda q: (6.0 + q % 3, 8.0))
    (tmp_path / "answers").mkdir()
    new = answers(tmp_path / "answers", lambda q: 90 + q, "new")
    report = measured(tmp_path / "a", reviews=files, answers=[new])
    assert "no file old.jsonl" in report.alarms["length_unknown"]
    [equal] = [each for each in report.findings if each.measure == "win-rate at equal length"]
    assert (equal.arm, equal.found) == ("new", None)
    old = answers(tmp_path / "answers", lambda q: 80 + q, "old")
    report = measured(tmp_path / "b", reviews=files, answers=[new, old])
    assert "longer by the same number of words" in report.alarms["length_unknown"]
    Path(old).write_text("".join(Path(old).read_text().splitlines(keepends=True)[1:]))
    report = measured(tmp_path / "c", reviews=files, answers=[new, old])
    assert "old.jsonl has no answer to 1 of 40 questions, such as 0" in report.alarms["length_unknown"]
    report = measured(tmp_path / "d", reviews=files)
    assert any("no answers were named" in note for note in report.notes)
    assert "length_unknown" not in report.alarms


def test_no_interval_is_a_point(tmp_path: Path) -> None:
    """Whoever wins everything, by the same scores, is not known to do so for ever."""
    report = measured(
        tmp_path / "run", reviews=both_orders(tmp_path, lambda q: (8.0, 7.0), lambda q: (7.0, 8.0))
    )
    for each in report.findings:
        for interval in (each.found, each.difference):
            assert interval is None or interval.low < interval.high
    assert 0.8 < found(report, "win-rate").low < found(report, "win-rate").high == 1.0
    assert 0.0 == found(report, "flips").low < found(report, "flips").high < 0.2


def test_models_with_a_common_rival_are_compared_by_question(tmp_path: Path) -> None:
    """`three` is 10 % better than `one` before the same judge, whose mood changes with the question."""

    def mood(q: int) -> float:
        return 1.25 if q % 2 else 0.75

    files = []
    for name, more in (("one", 0.0), ("three", 0.5)):
        files.append(
            write(tmp_path / f"{name}_vs_old.jsonl", lambda q, m=more: (4 + q % 3 + m * mood(q), 5.0))
        )
        files.append(
            write(tmp_path / f"old_vs_{name}.jsonl", lambda q, m=more: (5.0, 4 + q % 3 + m * mood(q)))
        )
    report = measured(tmp_path / "run", reviews=files)
    change = found(report, "change, %", "three, from one")
    assert change.value == pytest.approx(10.0)
    alone = found(report, "relative score, %", "three")
    assert 0 < change.high - change.low < (alone.high - alone.low) / 2


def test_the_reference_can_be_named(tmp_path: Path) -> None:
    """Else it is the one that stood second in the first file."""
    files = both_orders(tmp_path, lambda q: (8.0, 4.0), lambda q: (4.0, 8.0))
    assert found(measured(tmp_path / "a", reviews=files), "relative score, %").value == 200.0
    named = measured(tmp_path / "b", reviews=files, reference="new")
    assert found(named, "relative score, %", "old").value == 50.0
    with pytest.raises(ConfigError, match="there are new, old"):
        measured(tmp_path / "c", reviews=files, reference="nobody")


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("reviews.jsonl", '{"question_id": 1, "text": "8 9"}', "call the file A_vs_B"),
        ("a_vs_a.jsonl", '{"question_id": 1, "text": "8 9"}', "which two models"),
        ("a_vs_b.jsonl", '{"question_id": 1, "answer": "8 9"}', "no column 'text'"),
        ("a_vs_b.jsonl", '{"question_id": 1, "text": 8}', "a review is a text"),
        ("a_vs_b.jsonl", '{"text": "8 9"}', "no column 'question_id'"),
        ("a_vs_b.jsonl", '{"question_id": 1, "text": "8 9"}\n{"question_id": 1, "text": "9 9"}', "already"),
        ("a_vs_b.jsonl", '{"question_id": 1, "text": "well"}', "no question with scores"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, line: str, message: str) -> None:
    """By file and line."""
    (tmp_path / name).write_text(line + "\n")
    with pytest.raises(ConfigError, match=message):
        measured(tmp_path / "run", reviews=[str(tmp_path / "*.jsonl")])


def test_a_missing_file_says_what_to_set(tmp_path: Path) -> None:
    """The key, and the folder of data."""
    with pytest.raises(ConfigError, match=r"evaluation\.reviews=.*ARENA_DATA"):
        measured(tmp_path / "run", reviews=["nowhere/*.jsonl"])


def test_the_command_leaves_a_report(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is seated; 80 columns; other files in the same folder are refused."""
    files = both_orders(Path.cwd(), lambda q: (8.0, 7.0), lambda q: (7.0, 8.0))
    asked = ["conf=reviews", f"evaluation.reviews=[{','.join(files)}]", "evaluation.answers=[]"]

    def ran() -> int:
        with pytest.raises(SystemExit) as ended:
            evaluate.main([*asked, "--plain"])
        assert isinstance(ended.value.code, int)
        return ended.value.code

    assert ran() == 0
    assert "relative score, %" in capsys.readouterr().out
    results = json.loads((runs / "evaluate-reviews" / "results.json").read_text())
    assert results["counts"]["reviews"] == 80
    report = (runs / "evaluate-reviews" / "README.md").read_text()
    assert "| relative score, % | new | 114.3 |" in report
    assert ran() == 0
    write(Path(files[0]), lambda q: (9.0, 7.0))
    capsys.readouterr()
    assert ran() == 2
    assert "another files" in capsys.readouterr().err


def selfee() -> list[str]:
    """SelFee's published reviews and answers."""
    folder = DATA / "selfee"
    if not (folder / "review").is_dir():
        pytest.skip(f"needs {folder}; set ARENA_DATA")
    return [str(folder / "review" / "*.jsonl"), str(folder / "answer" / "*.jsonl")]


PUBLISHED: Mapping[int, tuple[float, float, float, float, float]] = {
    0: (1328.5, 1353.0, 98.2, 675.0, 653.5),
    1: (1349.0, 1326.5, 101.7, 681.0, 668.0),
    2: (1352.0, 1329.0, 101.7, 687.0, 665.0),
    3: (1359.0, 1320.5, 102.9, 689.0, 670.0),
}
"""Revisions -> SelFee 13B's sum, ChatGPT's, the ratio in per cent, and SelFee's sums in the two slots."""


def test_the_published_sums_come_out(tmp_path: Path) -> None:
    """Of 640 reviews, 24 of which do not begin with their scores; with what was not published beside them."""
    reviews, told = selfee()
    report = measured(tmp_path / "run", reviews=[reviews], answers=[told])
    assert report.counts["with scores"] == 640 and report.counts["other scores noted"] == 0
    for revisions, (own, other, ratio, first, second) in PUBLISHED.items():
        arm = f"selfee_13b_enforce_{revisions}_revisions"
        [total] = [e for e in report.findings if (e.measure, e.arm) == ("sum of scores", arm)]
        assert total.against == "chatgpt" and total.found is not None and total.difference is not None
        assert (total.found.value, total.difference.value) == (own, own - other)
        relative = found(report, "relative score, %", arm)
        assert round(relative.value, 1) == ratio and relative.low < 100 < relative.high
        slots = [found(report, f"sum in slot {slot}", arm).value for slot in (1, 2)]
        assert slots == [first, second]
        assert found(report, "position effect", arm).sign == 1
    three = "selfee_13b_enforce_3_revisions"
    assert found(report, "win-rate", three).low > 0.5 > found(report, "win-rate at equal length", three).high
    assert found(report, "change, %", f"{three}, from selfee_13b_enforce_0_revisions").sign == 1
    assert {"position", "order_decides", "length", "length_unknown"} == set(report.alarms)
    assert "no file selfee_13b_enforce_1_revisions.jsonl" in report.alarms["length_unknown"]


def test_reviews_that_were_mended_by_hand_are_read_from_their_texts() -> None:
    """FastChat's published 1040: all but four zeros are read, and two differ from what somebody noted."""
    path = DATA / "scores" / "vicuna80_gpt4_reviews.jsonl"
    if not path.is_file():
        pytest.skip(f"needs {path}; set ARENA_DATA")
    reviews = read_reviews([str(path)])
    assert {each.status for each in reviews if each.scores is None} == {"out_of_range"}
    assert sum(each.scores is None for each in reviews) == 4
    assert sum(each.noted_otherwise for each in reviews) == 2
    assert all(
        each.scores == each.noted for each in read_reviews([str(path)], low=0.0) if each.question == "74"
    )
