"""Rows in flight: which replies are being written, and where the keys and values of each level lie."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from agents.levels import Level, Stems, Writing
from agents.prefixes import Node
from agents.reader import Prompt
from agents.slots import Layers


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
    heard: Callable[[Sequence[int]], object] | None = None
    """Is given all tokens of a draft so far whenever there is one more; what it raises ends the writing."""


@dataclass
class Row:
    """A reply being written."""

    number: int
    """Of its ask."""
    draft: int
    ask: Ask
    node: Node
    """Where its prompt ends."""
    uniform: Any
    """(limit,) numbers in [0, 1) that choose the tokens."""
    said: list[int] = field(default_factory=list)


SHARED = 2048
"""Tokens that rows have in common: fewer are read again for each row in less time than a level of its own
takes (measured with SmolLM2-135M, where they are 1.6 MB a layer)."""


class Flight:
    """What many rows begin with alike lies in memory once: heads of many prompts, prompts of many drafts.

    Args:
        asks: all that will be asked.
        rows: how many rows there will be in all.
        tokens: budget of the tokens that all levels hold.
    """

    def __init__(self, asks: Sequence[Ask], rows: int, tokens: int) -> None:
        """Lay out the levels."""
        self.rows: list[Row] = []
        cuts = [next(iter(ask.prompt.cuts), 0) for ask in asks]
        heads = [(ask.prompt.speaker, ask.prompt.ids[:cut]) for ask, cut in zip(asks, cuts, strict=True)]
        known = list(dict.fromkeys(heads))
        shared = 2 * len(known) <= len(asks) and (len(asks) - len(known)) * min(cuts) >= SHARED
        self._cuts = cuts if shared else [0] * len(asks)
        self._head_of = [known.index(head) if shared else 0 for head in heads]
        self._heads = Stems(len(known), max(cuts), max(cuts)) if shared else None
        tokens -= len(known) * max(cuts) if shared else 0
        self._place_of: dict[int, int] = {}
        lengths = [len(ask.prompt.ids) - cut for ask, cut in zip(asks, self._cuts, strict=True)]
        limit = max(ask.limit for ask in asks)
        again = sum((ask.n - 1) * length for ask, length in zip(asks, lengths, strict=True))
        self._prompts: Stems | None = None
        least = 0
        if again < SHARED and rows * (max(lengths) + limit) <= tokens:
            least = max(lengths)
            limit += least
        else:
            places = _places(len(asks), rows, max(lengths), limit, tokens)
            self._prompts = Stems(places, max(lengths), max(lengths))
            tokens -= places * max(lengths)
        self.most = max(1, min(rows, tokens // limit))
        self._own = Stems(self.most, limit, least)

    def has_room(self, number: int, coming: int) -> bool:
        """Whether a row of ask `number` can be admitted, with `coming` others before it."""
        full = (
            self._prompts is not None
            and number not in self._place_of
            and len(self._place_of) == self._prompts.count
        )
        return not full and len(self.rows) + coming < self.most

    def reserve(self, number: int) -> None:
        """Take a place for the prompt of ask `number`."""
        if self._prompts is not None and number not in self._place_of:
            taken = set(self._place_of.values())
            place = next(p for p in range(self._prompts.count) if p not in taken)
            self._place_of[number] = place
            self._prompts.lengths[place] = 0

    def admit(self, row: Row) -> None:
        """Let a row begin, whose ask has a place."""
        own, cut = len(self.rows), self._cuts[row.number]
        if self._heads is not None and not self._heads.lengths[self._head_of[row.number]]:
            self._heads.load(self._head_of[row.number], _stretches(row.node, 0, cut), 0)
        if self._prompts is None:
            self._own.load(own, _stretches(row.node, cut, row.node.end), cut)
        else:
            place = self._place_of[row.number]
            if not self._prompts.lengths[place]:
                self._prompts.load(place, _stretches(row.node, cut, row.node.end), cut)
            self._own.load(own, [], row.node.end)
        self.rows.append(row)

    def drop(self, place: int) -> Layers:
        """Take a row out, giving what it has said as a stretch; the last row takes its place."""
        row = self.rows[place]
        said = self._own.copy(place, row.node.end - self._own.offsets[place])
        if place < len(self.rows) - 1:
            self._own.move(len(self.rows) - 1, place)
            self.rows[place] = self.rows[-1]
        self.rows.pop()
        if not any(other.number == row.number for other in self.rows):
            self._place_of.pop(row.number, None)
        return said

    def step(self, device: torch.device) -> Writing:
        """The plan of a pass in which each row reads what it said last."""
        numbers = [row.number for row in self.rows]
        at = [row.node.end + len(row.said) - 1 for row in self.rows]
        for place in range(len(self.rows)):
            self._own.lengths[place] += 1
        positions = torch.tensor(at, device=device)
        levels = [Level(self._own, range(len(numbers)), positions)]
        if self._prompts is not None:
            levels.insert(0, Level(self._prompts, [self._place_of[n] for n in numbers], positions))
        if self._heads is not None:
            levels.insert(0, Level(self._heads, [self._head_of[n] for n in numbers], positions))
        return Writing(levels, positions)


def _places(asks: int, rows: int, columns: int, limit: int, tokens: int) -> int:
    """How many prompts of `columns` tokens have a place, beside drafts of up to `limit` tokens.

    As many as their drafts fill the budget with; the last of them may not come whole.
    """
    places = max(1, min(asks, math.ceil(tokens / (columns + limit * rows / asks))))
    while places > 1 and places * (columns + limit) > tokens:
        places -= 1
    return places


def _stretches(node: Node, start: int, end: int) -> list[Layers]:
    """Keys and values of the tokens from `start` to `end` of the row that ends in `node`."""
    found: list[Layers] = []
    step: Node | None = node
    while step is not None and step.parent is not None:
        first = step.end - len(step.tokens)
        low, high = max(start, first) - first, min(end, step.end) - first
        if low < high:
            found.append([(key[:, low:high], value[:, low:high]) for key, value in step.layers])
        step = step.parent
    return found[::-1]
