"""Decoding batches: prefill with shared prefixes, sampling, contrastive search.

Every row draws from a random stream of its own seed, so what a row says depends neither on the
other rows of the batch nor on how often the program was stopped and continued.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from transformers import DynamicCache

from agents.backbone import Backbone
from agents.errors import ConfigError

T = TypeVar("T")

SHARED_MIN = 32
"""Shared prefixes shorter than this are not worth a forward pass of their own."""


@dataclass(frozen=True)
class Sampled:
    """The tokens of one reply; `ended` says whether an end-of-turn token (included) was produced."""

    ids: tuple[int, ...]
    ended: bool


@dataclass
class State:
    """A batch in flight: the cache of what was read, and the last states of each row."""

    backbone: Backbone
    cache: Any
    mask: torch.Tensor
    """(batch, tokens), 1 where the cache holds a real token."""
    hidden: torch.Tensor
    """(batch, hidden) states after the last token."""
    positions: torch.Tensor = field(init=False)
    """(batch,) the position of the next token."""

    def __post_init__(self) -> None:
        """Count the real tokens of each row."""
        self.positions = self.mask.sum(-1)

    def feed(self, tokens: torch.Tensor) -> None:
        """Read one more token (batch,) in each row."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        hidden = self.backbone.hidden(tokens[:, None], self.mask, self.positions[:, None], self.cache)
        self.hidden = hidden[:, -1]
        self.positions = self.positions + 1

    def repeat(self, n: int) -> None:
        """Every row `n` times, neighbours together: drafts share the prefill of their prompt."""
        if n > 1:
            self.cache.batch_repeat_interleave(n)
            self.mask = self.mask.repeat_interleave(n, 0)
            self.hidden = self.hidden.repeat_interleave(n, 0)
            self.positions = self.positions.repeat_interleave(n, 0)

    def select(self, rows: torch.Tensor) -> None:
        """Keep only `rows` (indices)."""
        self.cache.batch_select_indices(rows)
        self.mask, self.hidden, self.positions = self.mask[rows], self.hidden[rows], self.positions[rows]

    def drop_last(self) -> None:
        """Forget the last token that was fed (its states stay those of that token)."""
        self.mask = self.mask[:, :-1]
        self.positions = self.positions - 1
        cut(self.cache, self.mask.shape[1])


def cut(cache: Any, length: int) -> None:
    """Keep the first `length` positions of every layer of a cache."""
    for layer in cache.layers:
        layer.keys = layer.keys[..., :length, :]
        layer.values = layer.values[..., :length, :]


def shared_prefix(rows: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all `rows` share, leaving at least one token in each."""
    first, last = min(rows, key=list), max(rows, key=list)
    limit = min(len(row) for row in rows) - 1
    return next((i for i in range(limit) if first[i] != last[i]), limit)


@torch.no_grad()
def prefill(
    backbone: Backbone, rows: Sequence[Sequence[int]], read: Callable[..., torch.Tensor] | None = None
) -> State:
    """Read prompts of different lengths; what all of them begin with is computed once.

    Args:
        backbone: whose adapter has been chosen by `speaking_as`.
        rows: token ids of each prompt, none empty.
        read: in place of `backbone.hidden`, to see the states of every token.
    """
    read = read or backbone.hidden
    device = backbone.device
    cache = DynamicCache()
    shared = shared_prefix(rows) if len(rows) > 1 else 0
    if shared < SHARED_MIN:
        shared = 0
    else:
        head = torch.tensor([list(rows[0][:shared])], device=device)
        mask = torch.ones_like(head)
        read(head, mask, mask.cumsum(-1) - 1, cache)
        cache.batch_repeat_interleave(len(rows))
    longest = max(len(row) for row in rows) - shared
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), shared + longest, dtype=torch.long)
    mask[:, :shared] = 1
    for place, row in enumerate(rows):
        tail = torch.tensor(list(row[shared:]))
        ids[place, longest - len(tail) :] = tail
        mask[place, shared + longest - len(tail) :] = 1
    mask = mask.to(device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, shared:]
    hidden = read(ids.to(device), mask, positions, cache)
    return State(backbone, cache, mask, hidden[:, -1])


class Decoding(Protocol):
    """A way to continue prompts."""

    def generate(
        self,
        backbone: Backbone,
        rows: Sequence[Sequence[int]],
        n: int,
        *,
        limit: int,
        ends: frozenset[int],
        seeds: Sequence[int],
    ) -> list[list[Sampled]]:
        """`n` continuations of each row, of at most `limit` tokens, ended by one of `ends`."""


@dataclass(frozen=True)
class Sampling:
    """Ancestral sampling; the defaults sample from the model itself, which keeps learning on-policy.

    Args:
        temperature: above 0; 0 is greedy.
        top_p: nucleus (Holtzman et al. 2020), in (0, 1].
        min_p: least probability relative to the likeliest token (Nguyen et al. 2024), in [0, 1).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.temperature < 0 or not 0 < self.top_p <= 1 or not 0 <= self.min_p < 1:
            raise ConfigError(
                f"sampling needs temperature >= 0, top_p in (0, 1] and min_p in [0, 1), got {self}"
            )

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """(batch, vocabulary) unnormalised probabilities after temperature and truncation."""
        probs = torch.softmax(logits / self.temperature, -1)
        if self.min_p:
            probs = probs * (probs >= self.min_p * probs.amax(-1, keepdim=True))
        if self.top_p < 1:
            ordered, places = probs.sort(-1, descending=True)
            before = ordered.cumsum(-1) - ordered
            kept = ordered * (before < self.top_p * ordered.sum(-1, keepdim=True))
            probs = torch.zeros_like(probs).scatter(-1, places, kept)
        return probs

    def pick(self, logits: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """(batch,) tokens by inverting the distribution function at `uniform` (batch,) in [0, 1)."""
        if self.temperature == 0:
            return logits.argmax(-1)
        total = self.probabilities(logits).double().cumsum(-1)
        target = uniform[:, None] * total[:, -1:]
        return torch.searchsorted(total, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)

    @torch.no_grad()
    def generate(
        self,
        backbone: Backbone,
        rows: Sequence[Sequence[int]],
        n: int,
        *,
        limit: int,
        ends: frozenset[int],
        seeds: Sequence[int],
    ) -> list[list[Sampled]]:
        """`n` samples of each row; finished rows leave the batch."""
        state = prefill(backbone, rows)
        state.repeat(n)
        streams = [np.random.default_rng([seed, draft]).random(limit) for seed in seeds for draft in range(n)]
        uniform = torch.tensor(np.array(streams), device=backbone.device)  # (rows * n, limit)
        alive = torch.arange(len(streams), device=backbone.device)
        said: list[list[int]] = [[] for _ in streams]
        stops = torch.tensor(sorted(ends), device=backbone.device)
        for step in range(limit):
            tokens = self.pick(backbone.logits(state.hidden), uniform[alive, step])
            for row, token in zip(alive.tolist(), tokens.tolist(), strict=True):
                said[row].append(token)
            going = (~torch.isin(tokens, stops)).nonzero()[:, 0]
            if not len(going) or step + 1 == limit:
                break
            if len(going) < len(alive):
                state.select(going)
                alive, tokens = alive[going], tokens[going]
            state.feed(tokens)
        return grouped([Sampled(tuple(ids), ids[-1] in ends) for ids in said], n)


def grouped(flat: Sequence[T], n: int) -> list[list[T]]:
    """`flat` in lists of `n`."""
    return [list(flat[i : i + n]) for i in range(0, len(flat), n)]
