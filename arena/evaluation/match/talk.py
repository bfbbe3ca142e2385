"""Contestants answer, turn by turn; what was stored is put on record as if it had been said."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agents.base import Agent
from agents.dialogue import Message, Turn, letters
from arena import records
from arena.evaluation.match.answers import Stored
from arena.evaluation.match.contestants import speakers
from arena.evaluation.match.questions import Question
from arena.evaluation.room import Room
from arena.feedback.events import Work
from arena.feedback.floor import Line
from rewards.verdict import Case


@dataclass(frozen=True)
class Item:
    """One of the user's turns, and what came of it."""

    work: Work
    question: Question
    turn: int
    """From 0."""
    answers: Mapping[str, Turn]
    """By contestant; without those who gave none."""
    before: Mapping[str, tuple[Message, ...]]
    """The conversation that each answered, without its persona."""

    @property
    def empty(self) -> set[str]:
        """Those whose answer holds no words."""
        return {arm for arm, turn in self.answers.items() if not turn.text.strip()}

    def case(self, contestant: str) -> Case:
        """An answer, to be rated by itself."""
        question, prompt = self.question, self.before[contestant]
        answer = self.answers[contestant]
        return Case(answer.id, question.question, prompt, answer.reply, reference=question.reference)


def answer(room: Room, arms: Mapping[str, Agent], works: Sequence[Work]) -> list[Item]:
    """Have everybody answer, turn by turn, each going on from its own answers; stored answers are taken.

    Raises:
        Unavailable: a contestant cannot be reached.
    """
    talks = {(work.id, arm): _Talk(work, arm, letters(i)) for work in works for i, arm in enumerate(arms)}
    _take_stored(room, arms, talks.values())
    asked, items = speakers(arms), list[Item]()
    asking = {work.id: _question(work) for work in works}
    for turn in range(max((question.turns for question in asking.values()), default=0)):
        lines = [
            talk.line(turn, arms[talk.arm])
            for talk in talks.values()
            if talk.arm in asked and turn < asking[talk.work.id].turns and len(talk.said) == turn
        ]
        found = room.said(asked, lines) if lines else {}
        for talk in talks.values():
            talk.take(found.get(talk.id(turn)))
        for work in works:
            own = [talks[work.id, arm] for arm in arms if len(talks[work.id, arm].said) > turn]
            if turn < asking[work.id].turns:
                items.append(
                    Item(
                        work,
                        asking[work.id],
                        turn,
                        {talk.arm: talk.said[turn] for talk in own},
                        {talk.arm: talk.before(turn) for talk in own},
                    )
                )
    return sorted(items, key=lambda item: (item.work.id, item.turn))


@dataclass
class _Talk:
    """What one contestant and the user say to each other."""

    work: Work
    arm: str
    letter: str
    said: list[Turn] = field(default_factory=list)

    def id(self, turn: int) -> str:
        return self.work.turn_id(turn, self.letter)

    def before(self, turn: int) -> tuple[Message, ...]:
        """The problem, and each earlier answer with what the user said to it."""
        later = _question(self.work).later
        return (*self.work.problem.prompt, *_after(self.said[:turn], later))

    def line(self, turn: int, agent: Agent) -> Line:
        after = _after(self.said[:turn], _question(self.work).later)
        parent = self.said[-1].id if self.said else ""
        return Line(self.id(turn), parent, self.arm, "answer", self.work.view(agent, *after))

    def take(self, turn: Turn | None) -> None:
        if turn is not None:
            self.said.append(turn)


def _after(said: Sequence[Turn], later: Sequence[str]) -> Iterator[Message]:
    for turn, told in zip(said, later, strict=False):
        yield Message(role="assistant", content=turn.text)
        yield Message(role="user", content=told)


def _question(work: Work) -> Question:
    assert isinstance(work.problem, Question)
    return work.problem


def _take_stored(room: Room, arms: Mapping[str, Agent], talks: Iterable[_Talk]) -> None:
    """Put stored answers on record, as if they had been said."""
    for talk in talks:
        agent = arms[talk.arm]
        if not isinstance(agent, Stored):
            continue
        replies = agent.answers.get(_question(talk.work).id, ())[: _question(talk.work).turns]
        for number, reply in enumerate(replies):
            parent = talk.said[-1].id if talk.said else ""
            turn = Turn(talk.id(number), parent, talk.arm, reply, kind="answer")
            room.scribe.append("turns", records.turn_row(turn, step=0, model=agent.name, seed=0))
            if not reply.text.strip():
                room.scribe.fail(turn.id, "empty_reply", "reply", "", by=talk.arm)
            talk.said.append(turn)
