"""The floor: who is asked to say what, in batches; what is on record is not asked again.

Every line has an id, and all that is random about it depends on the seed and that id. A seat that cannot
be reached gives no line: that is an event of its own, and after a few in a row the run ends there.
"""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agents.base import Agent, Call, reply_together
from agents.dialogue import Message, Reply, Turn
from agents.errors import ConfigError, Unavailable
from arena.seeds import seed_of


@dataclass(frozen=True)
class Line:
    """Something that a seat is to say."""

    id: str
    """Of the turn that it becomes: `d0003.02a`."""
    parent: str
    """The turn that it goes on from, `""` for a first one."""
    speaker: str
    kind: str
    """As in `Turn`."""
    prompt: tuple[Message, ...]
    begins: str = ""
    """What a local speaker's text begins with, put into its mouth; part of what is said."""

    def asked(self, agent: Agent) -> tuple[Message, ...]:
        """What the speaker is given; it goes on from an assistant message."""
        begun = [Message(role="assistant", content=self.begins)] if self._begins(agent) else []
        return (*self.prompt, *begun)

    def turn(self, agent: Agent, reply: Reply) -> Turn:
        """The turn that a reply makes."""
        if self._begins(agent) and reply.text:
            reply = replace(reply, text=f"{self.begins} {reply.text}")
        return Turn(self.id, self.parent, self.speaker, reply, agent.version, self.kind)

    def _begins(self, agent: Agent) -> bool:
        return bool(self.begins) and agent.reads_labels


@dataclass(frozen=True)
class Said:
    """Some lines have been said."""

    what: str
    """What the lines are: `answers`, ..."""
    turns: tuple[Turn, ...]
    done: int
    """Lines of this kind that are done, of `of`."""
    of: int
    seconds: float
    known: bool = False
    """Whether they were on record already."""


@dataclass(frozen=True)
class Unsaid:
    """A line was not said: its speaker could not be reached."""

    line: Line
    reason: str
    final: bool = True
    """Whether the walk goes on without it; else it is asked for again by a continued run."""


Speech = Said | Unsaid
T = TypeVar("T")


@dataclass
class Floor:
    """Asks the seats.

    Args:
        seats: who can be asked.
        seed: of all that is random.
        told: turns on record, by id.
        lost: ids of lines that were not said, and that the walk went on without.
        chunk: lines that are asked for at once, at least 1; what is said is written after each chunk.
        patience: lines in a row that a seat may fail to say, at least 1.
    """

    seats: Mapping[str, Agent]
    seed: int = 0
    told: Mapping[str, Turn] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    chunk: int = 64
    patience: int = 5
    out_of_patience: Unavailable | None = None
    """What ends the run, once a seat has failed too often."""
    _missed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings."""
        for name in ("chunk", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")

    def seed_of(self, purpose: str, id: str) -> int:
        """A number that depends on the seed, the purpose and the id alone."""
        return seed_of(self.seed, purpose, id)

    def say(
        self, what: str, lines: Sequence[Line], limit: int = 0
    ) -> Generator[Speech, None, dict[str, Turn]]:
        """Have `lines` said, in chunks.

        Args:
            what: what the lines are.
            lines: what is to be said.
            limit: the most tokens of each; 0: the speaker's own limit.

        Returns:
            The turns by id, without those that were not said.

        Raises:
            Unavailable: a seat failed `patience` times in a row; what was said until then has been told.
        """
        found: dict[str, Turn] = {}
        unsaid: list[Unsaid] = []
        done = 0
        for part in chunks(lines, self.chunk):
            done += len(part)
            old = [self.told[line.id] for line in part if line.id in self.told]
            new = [line for line in part if line.id not in self.told and line.id not in self.lost]
            if old:
                yield Said(what, tuple(old), done - len(new), len(lines), 0.0, known=True)
            began = time.perf_counter()
            outcomes = dict(zip((line.id for line in new), self._outcomes(new, limit), strict=True))
            seconds = time.perf_counter() - began
            turns = [
                line.turn(self.seats[line.speaker], said)
                for line in new
                if isinstance(said := outcomes[line.id], Reply)
            ]
            if turns:
                yield Said(what, tuple(turns), done, len(lines), seconds)
            found |= {turn.id: turn for turn in (*old, *turns)}
            unsaid += self._unsaid(part, found, outcomes)
            if ended := self.out_of_patience:
                yield from (replace(each, final=False) for each in unsaid)
                raise ended
        yield from unsaid
        return found

    def _outcomes(self, lines: Sequence[Line], limit: int) -> list[Reply | Unavailable]:
        """What comes of each line; seats on the same weights speak in one batch."""
        done: dict[int, Reply | Unavailable] = {}
        speakers = dict.fromkeys(line.speaker for line in lines)
        for company in dict.fromkeys(self.seats[seat].company for seat in speakers):
            seats = [seat for seat in speakers if self.seats[seat].company == company]
            own = [[i for i, line in enumerate(lines) if line.speaker == seat] for seat in seats]
            calls = [
                Call(
                    self.seats[seat],
                    [lines[i].asked(self.seats[seat]) for i in places],
                    seeds=[self.seed_of("reply", lines[i].id) for i in places],
                    max_new_tokens=limit,
                )
                for seat, places in zip(seats, own, strict=True)
            ]
            for places, outcomes in zip(own, self._replies(calls), strict=True):
                done |= dict(zip(places, outcomes, strict=True))
        return [done[i] for i in range(len(lines))]

    def _replies(self, calls: Sequence[Call]) -> Iterable[Sequence[Reply | Unavailable]]:
        if len(calls) == 1:
            [call] = calls
            limit, patience = call.max_new_tokens, self.patience
            outcomes = call.agent.outcomes(
                call.prompts, seeds=call.seeds, max_new_tokens=limit, patience=patience
            )
            return [outcomes]
        try:
            return [[reply for [reply] in replies] for replies in reply_together(calls)]
        except Unavailable as error:
            return [[error] * len(call.prompts) for call in calls]

    def _unsaid(
        self,
        part: Sequence[Line],
        found: Mapping[str, Turn],
        outcomes: Mapping[str, Reply | Unavailable],
    ) -> list[Unsaid]:
        """The lines of a part that were asked for and not said."""
        missing = []
        for line in part:
            if line.id in found:
                self.heard(line.speaker)
            elif line.id in outcomes:
                missing.append(Unsaid(line, str(outcomes[line.id])))
                self.missed(line.speaker, missing[-1].reason)
        return missing

    def heard(self, seat: str) -> None:
        """A seat gave a reply."""
        self._missed[seat] = 0

    def missed(self, seat: str, reason: str) -> None:
        """A seat gave no reply; after `patience` of them in a row `out_of_patience` is an error."""
        count = self._missed[seat] = self._missed.get(seat, 0) + 1
        if count >= self.patience and self.out_of_patience is None:
            text = f"{seat} gave no reply {count} times in a row, so the run ends here; what was written is"
            self.out_of_patience = Unavailable(
                f"{text} kept, and the same command goes on from it. The last reason: {reason}"
            )


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """`items` in parts of `size`, the last one as long as it comes."""
    return (items[start : start + size] for start in range(0, len(items), size))
