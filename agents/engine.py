"""The engine: writes many replies at a time, within a budget of tokens.

Continuous batching (Orca, Yu et al. 2022): a reply that has ended leaves the batch and a waiting one
takes its place, so that a long one does not hold the others up.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from agents.flight import Ask, Flight, Row
from agents.prefixes import Node
from agents.reader import Reader
from agents.slots import Layers

Draft = tuple[int, int]
"""(number of an ask, number of a draft)."""


@dataclass(frozen=True)
class Sampled:
    """The tokens of one reply; `ended` says whether an end-of-turn token (included) was produced."""

    ids: tuple[int, ...]
    ended: bool


class Engine(Reader):
    """Reads and writes with one backbone."""

    @torch.no_grad()
    def write(self, asks: Sequence[Ask]) -> list[list[Sampled]]:
        """`n` continuations of each ask."""
        done: dict[Draft, Sampled] = {}
        if asks:
            self.attempt(lambda: self._write(asks, done))
        return [[done[i, draft] for draft in range(ask.n)] for i, ask in enumerate(asks)]

    def _write(self, asks: Sequence[Ask], done: dict[Draft, Sampled]) -> None:
        drafts = ((i, draft) for i, ask in enumerate(asks) for draft in range(ask.n))
        waiting = deque(draft for draft in drafts if draft not in done)
        flight = Flight(asks, len(waiting), self.tokens)
        rows, hidden = flight.rows, torch.zeros(0)
        while rows or waiting:
            states = [row.node.hidden for row in self._admit(asks, waiting, flight)]
            if states:
                hidden = torch.cat([hidden, torch.stack(states)]) if len(hidden) else torch.stack(states)
            self._pick(rows, hidden)
            for place in reversed(range(len(rows))):
                row = rows[place]
                ended = row.said[-1] in row.ask.ends
                if ended or len(row.said) == row.ask.limit:
                    done[row.number, row.draft] = Sampled(tuple(row.said), ended)
                    self._keep(row, flight.drop(place), hidden[place])
                    hidden[place] = hidden[len(rows)]
            hidden = self._next(flight) if rows else torch.zeros(0)

    def _admit(self, asks: Sequence[Ask], waiting: deque[Draft], flight: Flight) -> list[Row]:
        """Waiting rows, as many as there is room for; their prompts are read."""
        coming: list[Draft] = []
        while waiting and flight.has_room(waiting[0][0], len(coming)):
            coming.append(waiting.popleft())
            flight.reserve(coming[-1][0])
        numbers = sorted({i for i, _ in coming})
        nodes = dict(zip(numbers, self._read([asks[i].prompt for i in numbers]), strict=True))
        fresh: list[Row] = []
        for i, draft in coming:
            uniform = np.random.default_rng([asks[i].seed, draft]).random(asks[i].limit)
            fresh.append(Row(i, draft, asks[i], nodes[i], uniform))
            flight.admit(fresh[-1])
        return fresh

    def _next(self, flight: Flight) -> torch.Tensor:
        """(rows, hidden) states after each row has read what it said last."""
        device, rows = self.backbone.device, flight.rows
        self.backbone.voices.assign([row.ask.prompt.speaker for row in rows], [1] * len(rows), device)
        said = torch.tensor([row.said[-1] for row in rows], device=device)
        return self.backbone.read(said, flight.step(device))

    def _pick(self, rows: Sequence[Row], hidden: torch.Tensor) -> None:
        """Choose the next token of each row, as its ask wants it."""
        logits = self.backbone.logits(hidden)
        for decoding in dict.fromkeys(row.ask.decoding for row in rows):
            own = [i for i, row in enumerate(rows) if row.ask.decoding == decoding]
            uniform = torch.tensor([rows[i].uniform[len(rows[i].said)] for i in own], device=logits.device)
            chosen = decoding.pick(logits if len(own) == len(rows) else logits[own], uniform)
            for i, token in zip(own, chosen.tolist(), strict=True):
                rows[i].said.append(token)
                if (heard := rows[i].ask.heard) is not None:
                    heard(rows[i].said)

    def _keep(self, row: Row, layers: Layers, hidden: torch.Tensor) -> None:
        """Keep a finished reply for the next turn; its last token was not read."""
        tokens = tuple(row.said[:-1])
        if tokens and row.node.child(tokens, 0) is None:
            self.prefixes.add(Node(tokens, layers, hidden.clone(), row.node))
