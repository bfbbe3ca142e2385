"""What a running job has done so far, from the events that its display is told of."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

WINDOW = 8
"""Steps whose time is taken for the estimate of what remains."""

REPLAYED = 0.05
"""Seconds; a step of a resumed run that took less was read from the record."""


@dataclass
class Tally:
    """What one seat has done so far."""

    steps: int = 0
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
    _ratings: list[tuple[float, int]] = field(default_factory=list)

    @property
    def rating(self) -> float | None:
        """Mean over all exchanges that were rated."""
        weight = sum(exchanges for _, exchanges in self._ratings)
        return sum(rating * exchanges for rating, exchanges in self._ratings) / weight if weight else None

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
        self.started = self.heard = clock()
        self._resumed = False
        self._finished = self.started
        self._times: list[float] = []

    def take(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Count one event."""
        self.heard = self.clock()
        if kind == "start":
            self.tallies = {seat: Tally() for seat in fields["seats"]}
            self.steps, self._resumed = fields["steps"], fields["resumed"]
            self.started = self._finished = self.heard
        elif kind == "drafted":
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

    def _exchanged(self, tally: Tally, fields: Mapping[str, Any]) -> None:
        tally.steps += 1
        tally.pairs += fields["pairs"]
        tally.ties += fields["ties"]
        tally.abstained += fields["abstained"]
        if fields["rating"] is not None:
            tally._ratings.append((fields["rating"], fields["exchanges"]))
        took, self._finished = self.heard - self._finished, self.heard
        self.done += 1
        if not (self._resumed and took < REPLAYED):
            self._times.append(took)

    def steps_of(self, seat: str) -> str:
        """Steps done of the seat's share, where every seat has the same."""
        done = self.tallies[seat].steps
        share, rest = divmod(self.steps, len(self.tallies))
        return f"{done}" if rest else f"{done}/{share}"

    def remaining(self) -> float | None:
        """Seconds until the last step is finished, None while that cannot be told."""
        # The first step also loads weights, so it is counted only while it is the only one.
        times = (self._times[1:] or self._times)[-WINDOW:]
        if not times:
            return None
        elapsed = self.clock() - self._finished
        return max(sum(times) / len(times) * (self.steps - self.done) - elapsed, 0.0)


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds.

    >>> duration(760.2)
    '0:12:40'
    """
    return "?" if seconds is None else str(timedelta(seconds=round(seconds)))
