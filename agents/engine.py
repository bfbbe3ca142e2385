"""The engine: writes many replies at a time, within a budget of tokens.

Continuous batching (Orca, Yu et al. 2022): a reply that has ended leaves the batch and a waiting one
takes its place, so that a long one does not hold the others up.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from agents.prefixes import Node
from agents.reader import Prompt, Reader, load
from agents.slots import Slots


@dataclass(frozen=True)
class Ask:
    """A prompt to be continued `n` times."""

    prompt: Prompt
    decoding: Any
    """An `agents.decoding.Decoding`."""
    n: int
    limit: int
    """Most new tokens, at least 1."""
    ends: frozenset[int]
    seed: int


@dataclass(frozen=True)
class Sampled:
    """The tokens of one reply; `ended` says whether an end-of-turn token (included) was produced."""

    ids: tuple[int, ...]
    ended: bool


@dataclass
class _Row:
    """A reply being written."""

    ask: Ask
    place: tuple[int, int]
    """(number of the ask, number of the draft)."""
    node: Node
    """Where its prompt ends."""
    length: int
    """Tokens in its slot."""
    uniform: Any
    """(limit,) numbers in [0, 1) that choose the tokens."""
    said: list[int] = field(default_factory=list)


class Engine(Reader):
    """Reads and writes with one backbone."""

    @torch.no_grad()
    def write(self, asks: Sequence[Ask]) -> list[list[Sampled]]:
        """`n` continuations of each ask."""
        done: dict[tuple[int, int], Sampled] = {}
        self.attempt(lambda: self._write(asks, done))
        return [[done[i, draft] for draft in range(ask.n)] for i, ask in enumerate(asks)]

    def _write(self, asks: Sequence[Ask], done: dict[tuple[int, int], Sampled]) -> None:
        drafts = [(i, d) for i, ask in enumerate(asks) for d in range(ask.n) if (i, d) not in done]
        waiting = deque(drafts)
        columns = max((len(asks[i].prompt.ids) + asks[i].limit for i, _ in waiting), default=1)
        slots = Slots(max(1, min(len(waiting), self.tokens // columns)), columns)
        rows: list[_Row] = []
        hidden = torch.zeros(0)
        while rows or waiting:
            fresh = self._admit(asks, waiting, slots, len(rows))
            if fresh:
                states = torch.stack([row.node.hidden for row in fresh])
                hidden = torch.cat([hidden, states]) if rows else states
                rows += fresh
            self._pick(rows, hidden)
            for place in reversed(range(len(rows))):
                row = rows[place]
                if row.said[-1] in row.ask.ends or len(row.said) == row.ask.limit:
                    done[row.place] = Sampled(tuple(row.said), row.said[-1] in row.ask.ends)
                    self._keep(row, slots, place, hidden[place])
                    rows[place] = rows[-1]
                    if place < len(rows) - 1:
                        slots.move(len(rows) - 1, place, rows[-1].length)
                        hidden[place] = hidden[len(rows) - 1]
                    rows.pop()
            if rows:
                past, tokens = [row.length for row in rows], [row.said[-1:] for row in rows]
                speakers = [row.ask.prompt.speaker for row in rows]
                hidden = self.feed(slots, range(len(rows)), past, tokens, speakers)
                for row in rows:
                    row.length += 1

    def _admit(
        self, asks: Sequence[Ask], waiting: deque[tuple[int, int]], slots: Slots, taken: int
    ) -> list[_Row]:
        """Waiting rows for the slots that are free, their prompts read."""
        places = [waiting.popleft() for _ in range(min(len(waiting), slots.rows - taken))]
        numbers = sorted({i for i, _ in places})
        nodes = dict(zip(numbers, self._read([asks[i].prompt for i in numbers], keep=True), strict=True))
        fresh: list[_Row] = []
        for i, draft in places:
            ask, node = asks[i], nodes[i]
            load(slots, taken + len(fresh), node)
            uniform = np.random.default_rng([ask.seed, draft]).random(ask.limit)
            fresh.append(_Row(ask, (i, draft), node, node.end, uniform))
        return fresh

    def _pick(self, rows: Sequence[_Row], hidden: torch.Tensor) -> None:
        """Choose the next token of each row, as its ask wants it."""
        logits = self.backbone.logits(hidden)
        for decoding in dict.fromkeys(row.ask.decoding for row in rows):
            own = [i for i, row in enumerate(rows) if row.ask.decoding == decoding]
            uniform = torch.tensor([rows[i].uniform[len(rows[i].said)] for i in own], device=logits.device)
            chosen = decoding.pick(logits if len(own) == len(rows) else logits[own], uniform)
            for i, token in zip(own, chosen.tolist(), strict=True):
                rows[i].said.append(token)

    def _keep(self, row: _Row, slots: Slots, place: int, hidden: torch.Tensor) -> None:
        """Keep a finished reply for the next turn; its last token was not read."""
        tokens = tuple(row.said[:-1])
        if tokens and self.prefixes.limit and row.node.child(tokens, 0) is None:
            layers = slots.copy(place, row.node.end, row.length)
            self.prefixes.add(Node(tokens, layers, hidden.clone(), row.node))
