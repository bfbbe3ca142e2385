"""What an evaluation is given: who is measured, on what, where it writes; and the asking common to all."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from agents.base import Agent
from agents.dialogue import Turn
from agents.errors import ConfigError, Unavailable
from arena import records
from arena.evaluation.findings import Report
from arena.feedback.floor import Floor, Line, Said, Unsaid, chunks
from arena.feedback.writer import Writer
from arena.scribe import Scribe
from arena.seeds import seed_of
from rewards.judge import Judge
from rewards.pairwise import NO_REPLY
from rewards.verdict import Case, Verdict

R = TypeVar("R")
A = TypeVar("A")
CHUNK = 32
"""Cases that are judged, and texts that are asked for, before what came of them is written."""
PATIENCE = 5
BARE = "untrained"
"""The name of the checkpoint without an adapter."""


class Question(Protocol):
    """Whatever a judge is asked about."""

    @property
    def id(self) -> str:
        """By which the answer is on record."""


Q = TypeVar("Q", bound=Question)


class Judging(Protocol):
    """Whoever judges; its text says how."""

    @property
    def agent(self) -> Agent | None:
        """Who is asked; None: somebody who is measured, or nobody."""


@dataclass(frozen=True)
class Room:
    """What an evaluation is given.

    Args:
        conf: the name of what was trained, or of the evaluation.
        seats: who is measured, in the conf's order; none where all is on record already.
        trained: whether the first seat has an adapter.
        speaker: the first seat with the adapter of another folder, `""` for the bare checkpoint.
        judge: whom it was trained to please, or who rates; None where nobody does.
        records: the training records and the held-out ones of a kind.
        seed: of all that is random.
        scribe: where rows go.
    """

    conf: str
    seats: Mapping[str, Agent]
    trained: bool
    speaker: Callable[[str], Agent]
    judge: Judge | None
    records: Callable[[type], tuple[Sequence[Any], Sequence[Any]]]
    seed: int
    scribe: Scribe

    @property
    def policy(self) -> Agent:
        """Who was trained, with its adapter: the only seat.

        Raises:
            ConfigError: there is none, or there are several.
        """
        if len(self.seats) != 1:
            found = ", ".join(self.seats) or "none"
            raise ConfigError(f"one agent is measured here, found the seats {found}: leave one")
        [policy] = self.seats.values()
        return policy

    def held_out(self, kind: type[R], most: int) -> tuple[list[R], list[R]]:
        """The training records of a kind, and the first `most` (0: all) of the held-out ones.

        Raises:
            ConfigError: nothing is held out.
        """
        train, held = self.records(kind)
        if not held:
            raise ConfigError(
                f"{self.conf} has no held-out {kind.__name__.lower()}s: name some by heldout.paths=[...], "
                "or hold out a share of the data by valid"
            )
        return list(train), list(held[:most] if most else held)

    def begin(self, arms: Mapping[str, Agent], judges: Mapping[str, Judging], extent: str) -> None:
        """Refuse other weights than those on record, and show what begins.

        Args:
            arms: who is compared.
            judges: by what they are called here.
            extent: how much is measured, in words.
        """
        from arena import job

        files, display = self.scribe.run, self.scribe.display
        third = [judge.agent for judge in judges.values() if judge.agent is not None]
        identity = job.identity([*arms.values(), *third], None)
        files.agree("identity", identity)
        display.say(
            "begin",
            conf=self.conf,
            folder=str(files.path),
            seats={arm: agent.name for arm, agent in arms.items()},
            judge="; ".join(f"{name}: {judge}" for name, judge in judges.items()) or "none",
            extent=extent,
            seed=self.seed,
            resumed=any(files.ids.values()),
            weights=identity,
        )
        job.warn_if_unguarded(files, display)

    def judged(self, name: str, judge: Judge, agent: Agent, cases: Sequence[Case]) -> dict[str, Verdict]:
        """Verdicts by the id of their case; abstentions are on record as failures, and left out.

        Args:
            name: what the judge is called in this evaluation.
            judge: how it judges.
            agent: who judges.
            cases: what is judged; those on record are not judged again.

        Raises:
            Unavailable: the judge is out of reach; what it said until then is on record.
        """
        run, about = self.scribe.run, f"verdict by {name}"
        known = {row["id"]: records.verdict_of(row) for row in run.rows("verdicts")}
        lost = {row["of"] for row in run.rows("failures") if row["id"].endswith(f"#{about}")}
        new = [case for case in cases if case.id not in known and case.id not in lost]
        done = len(cases) - len(new)

        def rate(part: Sequence[Case]) -> list[Verdict | Unavailable]:
            seeds = [seed_of(self.seed, "judge", case.id.partition(".")[0]) for case in part]
            return [_heard(verdict) for verdict in judge.rate(agent, part, seeds)]

        began = time.perf_counter()
        for told in answers(self.scribe, agent, new, rate, heard=bool(known or lost)):
            found = list(told.values())
            self.scribe.judged(found, judge=name, about=about, zeta=judge.zeta)
            known |= {verdict.id: verdict for verdict in found if verdict.reward is not None}
            done += len(found)
            seconds, began = time.perf_counter() - began, time.perf_counter()
            self.scribe.display.say(
                "stage", what=f"verdicts by {name}", done=done, of=len(cases), seconds=seconds
            )
        return {case.id: known[case.id] for case in cases if case.id in known}

    def said(self, seats: Mapping[str, Agent], lines: Sequence[Line]) -> dict[str, Turn]:
        """What the seats say, as turns by id; a line that was not said is on record as a failure.

        Raises:
            Unavailable: a seat cannot be reached.
        """
        run = self.scribe.run
        told = {row["id"]: records.turn_of(row) for row in run.rows("turns")}
        lost = frozenset(row["of"] for row in run.rows("failures") if row["what"] == "no_reply")
        floor = _EqualSeeds(seats, self.seed, told, lost, CHUNK, PATIENCE)
        writer = Writer(self.scribe, floor)
        found: dict[str, Turn] = {}
        for event in floor.say("texts", lines):
            writer.take(event)
            if isinstance(event, Said):
                found |= {turn.id: turn for turn in event.turns}
            else:
                assert isinstance(event, Unsaid)
        return found


def answers(
    scribe: Scribe,
    agent: Agent,
    questions: Sequence[Q],
    ask: Callable[[Sequence[Q]], Sequence[A | Unavailable]],
    heard: bool,
) -> Iterator[dict[str, A]]:
    """What a judge says to questions, by their ids, a chunk at a time.

    A question that gets no reply has no answer: it is shown as unreached, never as an abstention, and a
    continued evaluation asks it again.

    Args:
        scribe: where the unreached are written.
        agent: who is asked.
        questions: those that are not on record.
        ask: puts a chunk of them; an answer for each, or why there was no reply.
        heard: whether this judge has answered anything before.

    Raises:
        Unavailable: the judge has answered nothing yet, or not `PATIENCE` times in a row.
    """
    floor, silent = Floor({}, patience=PATIENCE), {}
    for part in chunks(questions, CHUNK):
        found: dict[str, A] = {}
        for each, answer in zip(part, _asked(agent, part, ask, heard), strict=True):
            if isinstance(answer, Unavailable):
                silent[each.id] = str(answer)
                floor.missed(f"the judge {agent.name}", str(answer))
            else:
                found[each.id] = answer
                floor.heard(f"the judge {agent.name}")
        heard = heard or bool(found)
        yield found
        if floor.out_of_patience:
            raise floor.out_of_patience
    for id, reason in silent.items():
        scribe.fail(id, "unreached", "reach", reason, by=agent.name)


def _asked(
    agent: Agent, part: Sequence[Q], ask: Callable[[Sequence[Q]], Sequence[A | Unavailable]], heard: bool
) -> Sequence[A | Unavailable]:
    """A chunk's answers; an endpoint that refuses all of a last small chunk may answer other questions."""
    try:
        return ask(part)
    except Unavailable as error:
        if agent.reads_labels or not heard:
            raise
        return [error] * len(part)


def _heard(verdict: Verdict) -> Verdict | Unavailable:
    """A verdict, or that there was no reply which it could be read from."""
    silent = verdict.reward is None and verdict.status.endswith(f"_{NO_REPLY}")
    return Unavailable(verdict.raw) if silent else verdict


class _EqualSeeds(Floor):
    """Everybody who is asked the same thing draws the same random numbers: differences are the speakers'."""

    def seed_of(self, purpose: str, id: str) -> int:
        """A number that depends on the seed, the purpose and the dialogue."""
        return super().seed_of(purpose, id.partition(".")[0])


class Evaluation(Protocol):
    """Measures what was trained."""

    tables: tuple[str, ...]
    """What it writes."""

    def __call__(self, room: Room) -> Report:
        """Measure, writing down every item; what is on record is not done again."""
