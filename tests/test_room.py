"""What an evaluation asks: what a judge did not reply to is not on record, and is asked again."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agents import Reply, Scripted
from agents.base import Prompt
from agents.dialogue import Message
from agents.errors import Unavailable
from arena.console import Quiet
from arena.evaluation.room import Room
from arena.rundir import opened, rows
from arena.scribe import Scribe, Stop
from rewards.judge import Judge
from rewards.rating import Text
from rewards.verdict import Case, Verdict

ASKED = (Message(role="user", content="Why?"),)
CASES = [Case(f"d{i:04d}.00a", "ice", ASKED, Reply("It is.")) for i in range(40)]


class Mortal(Scripted):
    """Writes a rating to so many prompts, but for those with a number in `refused`; then it is gone."""

    def __init__(self, alive: int, refused: Sequence[int] = (), text: str = "[[7]]") -> None:
        """Take how long it lives, and which of its prompts it never answers."""
        super().__init__([text])
        self.alive, self.refused, self.text, self.asked = alive, refused, text, 0

    def outcomes(self, prompts: Sequence[Prompt], **settings: Any) -> list[Reply | Unavailable]:
        """One outcome per prompt."""
        found: list[Reply | Unavailable] = []
        for _ in prompts:
            gone = self.asked >= self.alive or self.asked in self.refused
            found.append(Unavailable("connection refused") if gone else Reply(self.text))
            self.asked += 1
        return found


def judged(folder: Path, agent: Scripted) -> dict[str, Verdict]:
    """The verdicts on all cases, in a run folder that is gone on with."""
    with ExitStack() as stack:
        files = stack.enter_context(opened(folder, "", {}, ("verdicts", "failures")))
        scribe = Scribe(files, Quiet(), Stop())
        room = Room("x", {}, False, lambda name: agent, None, lambda kind: ([], []), 0, scribe)
        return room.judged("own", Judge(Text()), agent, CASES)


def abstained(folder: Path) -> list[str]:
    """Who stands among the abstentions."""
    return [row["of"] for row in rows(folder / "failures.jsonl") if row["about"] == "verdict by own"]


@pytest.mark.parametrize("alive", [1, 20, 31, 32, 34, 37])
def test_what_a_dead_judge_was_not_asked_is_asked_later(alive: int, tmp_path: Path) -> None:
    """However many it answered: those are on record, the others are not, and are asked again."""
    try:
        found = judged(tmp_path, Mortal(alive))
    except Unavailable:
        assert len(CASES) - alive >= 5
    else:
        assert len(found) == alive
    assert len(list(rows(tmp_path / "verdicts.jsonl"))) == alive
    assert abstained(tmp_path) == []
    assert list(judged(tmp_path, Mortal(1000))) == [case.id for case in CASES]


def test_a_case_that_is_never_answered_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """It is left out and shown, not an abstention; asked again in vain, the rest stays as it was."""
    found = judged(tmp_path, Mortal(1000, refused=[3]))
    assert len(found) == 39 and CASES[3].id not in found
    assert abstained(tmp_path) == []
    assert [row["what"] for row in rows(tmp_path / "failures.jsonl")] == ["unreached"]
    again = Mortal(1000, refused=[0])
    assert len(judged(tmp_path, again)) == 39 and again.asked == 1


def test_an_unusable_answer_is_an_abstention(tmp_path: Path) -> None:
    """On record for good: the judge was asked, and answered."""
    mute = Mortal(1000, text="I would rather not.")
    assert judged(tmp_path, mute) == {}
    assert len(abstained(tmp_path)) == len(CASES)
    assert judged(tmp_path, mute) == {} and mute.asked == len(CASES)


def test_a_judge_that_never_answers_ends_the_evaluation(tmp_path: Path) -> None:
    """With nothing on record."""
    with pytest.raises(Unavailable):
        judged(tmp_path, Mortal(0))
    assert not list(rows(tmp_path / "failures.jsonl"))
