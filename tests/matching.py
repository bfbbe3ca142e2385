"""Contestants and judges by script, and a room for matches among them."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agents import Agent, Message, Reply, Scripted
from agents.base import Prompt
from arena.console import Quiet
from arena.evaluation.match.matches import Matches
from arena.evaluation.match.questions import Question
from arena.evaluation.match.sheets import MatchReport
from arena.evaluation.room import Room
from arena.problems import Problem
from arena.rundir import opened, rows
from arena.scribe import Scribe, Stop
from arena.stats.resampling import Interval
from rewards.judge import Judge
from rewards.pairwise import Pairwise

_ANSWERS = re.compile(r"<answer_a>(.*)</answer_a>\s*<answer_b>(.*)</answer_b>", re.DOTALL)


def number(text: str) -> int:
    """The number of a question, or of an answer to it."""
    found = re.search(r"number (\d+)", text)
    assert found, text
    return int(found[1])


class Contestant(Scripted):
    """Answers by a function of the question's number."""

    def __init__(self, name: str, words: Callable[[int], str] | None = None) -> None:
        """Take both; without a function all answers are of four words."""
        super().__init__(self.said)
        self._name, self.words = name, words or (lambda n: f"{name} on number {n}")

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    def said(self, prompt: Prompt, _: int) -> str:
        """The answer."""
        return self.words(number(prompt[-1]["content"]))


class Referee(Scripted):
    """Says which of two answers is better by a function of both, as they stand."""

    def __init__(self, decide: Callable[[str, str], str]) -> None:
        """Take the function: from (A, B) to what is said of them."""
        super().__init__(self.said)
        self.decide = decide

    @property
    def name(self) -> str:
        """The name."""
        return "referee"

    def said(self, prompt: Prompt, _: int) -> str:
        """The verdict."""
        found = _ANSWERS.search(prompt[-1]["content"])
        assert found, "a judge sees both answers"
        return f"Better: {self.decide(*found.groups())}"


def prefers(choose: Callable[[int], str]) -> Referee:
    """A judge that prefers whom `choose` names for the question's number, wherever it stands."""

    def decide(a: str, b: str) -> str:
        better = choose(number(a))
        return "A" if a.startswith(better) else "B" if b.startswith(better) else "C"

    return Referee(decide)


def asked(count: int, later: Sequence[str] = ()) -> list[Problem]:
    """Questions with ids, of two categories."""
    return [
        Question(
            "dialogue",
            (Message(role="user", content=f"Speak of number {i}."),),
            id=f"v-{i}",
            category=("even", "odd")[i % 2],
            later=tuple(later),
        )
        for i in range(count)
    ]


class Hall:
    """Holds matches in one folder, as the command does."""

    def __init__(self, path: Path) -> None:
        """Take the folder."""
        self.path, self.stop = path, Stop()

    def run(
        self,
        seats: Mapping[str, Agent],
        problems: Sequence[Problem] | Callable[[], Sequence[Problem]],
        referee: Agent | None,
        judge: Judge | None = None,
        swap: bool = True,
        speaker: Callable[[str], Agent] | None = None,
        **settings: Any,
    ) -> MatchReport:
        """The report of a match."""
        pairwise = settings.pop("pairwise", Pairwise(swap=swap))
        evaluation = Matches(pairwise, referee, **settings)
        with ExitStack() as stack:
            files = stack.enter_context(opened(self.path, "", {}, evaluation.tables))
            room = Room(
                conf="match",
                seats=seats,
                trained=False,
                speaker=speaker or (lambda adapter: Contestant(adapter)),
                judge=judge,
                records=lambda kind: (problems() if callable(problems) else problems, []),
                seed=0,
                scribe=Scribe(files, Quiet(), self.stop),
            )
            report = evaluation(room)
        assert isinstance(report, MatchReport)
        return report

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What is on record, without times."""
        found = rows(self.path / f"{table}.jsonl")
        return [{key: value for key, value in row.items() if key != "ts"} for row in found]


def found(report: MatchReport, measure: str, arm: str) -> Interval:
    """What a report says of something."""
    [interval] = [each.found for each in report.findings if (each.measure, each.arm) == (measure, arm)]
    assert interval is not None
    return interval


def replied(texts: Sequence[str]) -> list[Reply]:
    """Texts as replies."""
    return [Reply(text) for text in texts]
