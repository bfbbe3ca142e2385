"""A match goes on only from the questions and the stored answers that it began with."""

import json
from pathlib import Path

import pytest
from matching import Contestant, Hall, asked, prefers

from agents import Agent, ConfigError, Message
from arena.evaluation.match.questions import Question
from arena.problems import Problem
from arena.scribe import Stopped

SEATS: dict[str, Agent] = {"ann": Contestant("ann")}


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    """A place to meet."""
    return Hall(tmp_path / "match")


def answers(path: Path, last: str = "old on number 3") -> str:
    """A file of answers to four questions."""
    texts = [*(f"old on number {i}" for i in range(3)), last]
    rows = [{"question_id": f"v-{i}", "text": text} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def begun(hall: Hall, **settings: object) -> None:
    """A match that was stopped at its first comparisons."""
    referee = prefers(lambda n: "old")
    decide = referee.decide

    def stopping(a: str, b: str) -> str:
        hall.stop.reason = "SIGTERM"
        return decide(a, b)

    referee.decide = stopping
    with pytest.raises(Stopped):
        hall.run(SEATS, asked(4), referee, **settings)
    hall.stop.reason = ""


def test_answers_that_changed_are_refused(hall: Hall, tmp_path: Path) -> None:
    """By the name of the file; what was there at the start goes on."""
    one, two = answers(tmp_path / "one.jsonl"), answers(tmp_path / "two.jsonl")
    given = {"old": one, "older": two}
    begun(hall, answers=given)
    before = hall.rows("turns")
    answers(tmp_path / "two.jsonl", "mended on number 3")
    with pytest.raises(ConfigError, match=r"stored answers: \S*two.jsonl was '\w+', now '\w+'\.") as told:
        hall.run(SEATS, asked(4), prefers(lambda n: "old"), answers=given)
    assert "one.jsonl" not in str(told.value) and hall.rows("turns") == before
    answers(tmp_path / "two.jsonl")
    report = hall.run(SEATS, asked(4), prefers(lambda n: "old"), answers=given)
    assert report.counts["comparisons"] == 12


def test_an_earlier_match_that_changed_is_refused(hall: Hall, tmp_path: Path) -> None:
    """Its turns are a file of answers, too."""
    earlier = Hall(tmp_path / "earlier")
    earlier.run({**SEATS, "old": Contestant("old")}, asked(4), prefers(lambda n: "old"))
    given = {"old": str(earlier.path)}
    begun(hall, answers=given)
    with (earlier.path / "turns.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"torn')
    with pytest.raises(ConfigError, match=r"stored answers: \S*turns.jsonl was"):
        hall.run(SEATS, asked(4), prefers(lambda n: "old"), answers=given)


def of_file(text: str) -> list[Problem]:
    """Questions with the file that they come from."""
    return [
        Question(
            "dialogue",
            (Message(role="user", content=words),),
            id=f"v-{i}",
            where=f"asked.jsonl, line {i + 1}",
        )
        for i, words in enumerate(("Speak of number 0.", text))
    ]


TWO: dict[str, Agent] = {**SEATS, "old": Contestant("old")}


def test_questions_that_changed_are_refused(hall: Hall) -> None:
    """By the file that they come from; the old ones are not asked in their stead."""
    hall.run(TWO, of_file("Speak of number 1."), prefers(lambda n: "old"))
    with pytest.raises(ConfigError, match="have changed since this match began, in asked.jsonl:"):
        hall.run(TWO, of_file("Do speak of number 1."), prefers(lambda n: "old"))
    with pytest.raises(ConfigError, match="the questions have changed"):
        hall.run(TWO, of_file("Speak of number 1.")[:1], prefers(lambda n: "old"))
    hall.run(TWO, of_file("Speak of number 1."), prefers(lambda n: "old"))


def test_questions_that_cannot_be_had_any_more_are_told_of_by_their_file(hall: Hall) -> None:
    """What refuses them says why; the match says of which file it speaks."""
    hall.run(TWO, of_file("Speak of number 1."), prefers(lambda n: "old"))

    def gone() -> list[Problem]:
        raise ConfigError("cannot read the file")

    with pytest.raises(ConfigError, match="the questions of asked.jsonl, which must be .*: cannot read the"):
        hall.run(TWO, gone, prefers(lambda n: "old"))
    with pytest.raises(ConfigError, match="^cannot read the file"):
        Hall(hall.path.parent / "new").run(TWO, gone, prefers(lambda n: "old"))
