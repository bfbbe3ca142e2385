"""What a running job has done so far, from the events that its display is told of."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

WINDOW = 4
"""Turns whose time is taken for the estimate of what remains."""


@dataclass
class Tally:
    """What one seat has done so far."""

    drafts: int = 0
    tokens: int = 0
    seconds: float = 0.0
    """Spent on drafting."""
    truncated: int = 0
    pairs: int = 0
    ties: int = 0
    abstained: int = 0
    loss: float | None = None
    """Of the last update."""
    margin: float | None = None
    """Of the last update."""
    ratings: list[tuple[float, int]] = field(default_factory=list)
    """Of each step: the mean, and over how many exchanges."""

    @property
    def rating(self) -> float | None:
        """Mean over all exchanges that were rated."""
        weight = sum(exchanges for _, exchanges in self.ratings)
        return sum(rating * exchanges for rating, exchanges in self.ratings) / weight if weight else None

    @property
    def speed(self) -> float | None:
        """Drafted tokens a second."""
        return self.tokens / self.seconds if self.seconds > 0 and self.tokens else None


class Progress:
    """Counts what was done, and estimates how long the rest takes.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is done yet."""
        self.clock = clock
        self.tallies: dict[str, Tally] = {}
        self.steps = self.done = self.failures = 0
        self.stage: tuple[str, int, int] | None = None
        """Of a job that goes by stages: which, how much of it is done, of how much."""
        self.started = self.heard = clock()
        self._turns: dict[int, float] = {}
        self._ended = self.heard

    def take(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Count one event."""
        self.heard = self.clock()
        if kind == "start":
            self.tallies = {seat: Tally() for seat in fields["seats"]}
            self.steps, self.started = fields["steps"], self.heard
        elif kind == "begin":
            self.tallies = {seat: Tally() for seat in fields["seats"]}
            self.started = self.heard
        elif kind == "stage":
            self.stage = (fields["what"], fields["done"], fields["of"])
        elif kind == "learned" and fields["of"]:
            self.stage = ("step", fields["step"], fields["of"])
        elif kind in ("drafted", "spoke"):
            if kind == "spoke":
                self.stage = (fields["what"], fields["done"], fields["of"])
            tally = self.tallies[fields["seat"]]
            tally.drafts += fields["drafts"]
            tally.tokens += fields["tokens"]
            tally.truncated += fields["truncated"]
            tally.seconds += fields["seconds"]
        elif kind == "exchanged":
            self._exchanged(self.tallies[fields["seat"]], fields)
        elif kind == "updated":
            tally = self.tallies[fields["seat"]]
            tally.loss, tally.margin = fields["loss"], fields["margin"]
        elif kind == "failure":
            self.failures += 1
        elif kind == "done":
            self.done = self.steps

    def _exchanged(self, tally: Tally, fields: Mapping[str, Any]) -> None:
        # Steps are counted by their number: a step may have no dialogue, or lie before a restart.
        self.done = fields["step"] + 1
        tally.pairs += fields["pairs"]
        tally.ties += fields["ties"]
        tally.abstained += fields["abstained"]
        if fields["rating"] is not None:
            tally.ratings.append((fields["rating"], fields["exchanges"]))
        # Seats on the same weights are done with a turn at once: the time between them is no step's.
        self._turns.setdefault(fields["step"] // len(self.tallies), self.heard)
        self._ended = self.heard

    def steps_of(self, seat: str) -> str:
        """Steps that a seat has done, of all that it has: the seats take turns."""
        seats = list(self.tallies)
        done = (self.done + len(seats) - 1 - seats.index(seat)) // len(seats)
        return f"{done}/{self.steps // len(seats)}"

    def remaining(self) -> float | None:
        """Seconds until the last step is finished, None until a second turn has begun to be.

        The first one is no measure: it also loads weights, and may have gone over a record.
        """
        if len(self._turns) < 2:
            return None
        (first, began), *_, (last, ended) = list(self._turns.items())[-WINDOW - 1 :]
        step = (ended - began) / (last - first) / len(self.tallies)
        return max(step * (self.steps - self.done) - (self.clock() - self._ended), 0.0)


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds.

    >>> duration(760.2)
    '0:12:40'
    """
    return "?" if seconds is None else str(timedelta(seconds=round(seconds)))
