"""Practice: one seat writes to prompts, is judged, and learns, step by step: the loop without a partner."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agents.base import Agent
from agents.dialogue import Dialogue, Message
from agents.errors import ConfigError
from arena.loop import Event, Table, take_turn
from arena.problems import Problem


@dataclass(frozen=True)
class Practice(Table):
    """A table with one seat, which answers problems instead of a partner."""

    problems: Mapping[str, Problem] = field(default_factory=dict)
    """By the id of the dialogue that it is answered in."""

    def prompt(self, dialogue: Dialogue, seat: str) -> list[Message]:
        """The problem, with the seat's persona in front, if it has one."""
        persona = self.seats[seat].system
        system = [Message(role="system", content=persona)] if persona else []
        return [*system, *self.problems[dialogue.id].prompt]

    def judge_of(self, seat: str) -> tuple[str, Agent]:
        """The judge's own agent, else the one seat: as it began, or as it is where the judge moves."""
        own = self.seats[seat] if self.judge.moving else self.seats[seat].fixed()
        return "judge", self.judge.agent or own

    def shown(self, dialogue: Dialogue, seat: str) -> tuple[Message, ...]:
        """The problem as it is, without the seat's persona."""
        return self.problems[dialogue.id].prompt

    def reference(self, dialogue: Dialogue) -> str:
        """The problem's correct answer."""
        return self.problems[dialogue.id].reference


def presentations(problems: Sequence[Problem], passes: int, batch: int, seed: int) -> list[Problem]:
    """The problems in the order in which they are answered, each `passes` times, in whole steps of `batch`.

    Raises:
        ConfigError: there are too few for one step.
    """
    drawn = [
        problem
        for number in range(passes)
        for problem in random.Random(f"{seed}/{number}").sample(problems, len(problems))
    ]
    whole = len(drawn) // batch * batch
    if not whole:
        raise ConfigError(
            f"{len(drawn)} prompts to learn from are fewer than the {batch} of a step: set "
            f"batch={len(drawn)}, or passes={-(-batch // len(problems))}"
        )
    return drawn[:whole]


def practise(table: Practice, seat: str, batch: int) -> Iterator[Event]:
    """Answer all problems of the table, `batch` in a step; the caller may train the seat at each `Turned`."""
    dialogues = [Dialogue(id, problem.question, seat) for id, problem in table.problems.items()]
    for step, start in enumerate(range(0, len(dialogues), batch)):
        yield from take_turn(table, {seat: dialogues[start : start + batch]}, {seat: step})
