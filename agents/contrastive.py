"""Contrastive search (Su et al. 2022), batched: one forward pass reads all candidates of all rows.

transformers moved it to code on the hub, which this project never runs. The candidates of a step
are read as siblings, so that no cache is copied once per candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from agents.engine import Engine, Sampled
from agents.errors import ConfigError
from agents.flight import Ask
from agents.slots import Slots


@dataclass(frozen=True)
class Contrastive:
    """Likely, and unlike what was said: (1 - alpha) p(v) - alpha max_j cos(h_v, h_j), Eq. 5 of the paper.

    Deterministic: all drafts of one prompt would be equal, so a seat that learns must sample. It needs
    the states of the whole prompt, so prompts are read anew at each call.

    Args:
        alpha: weight of the degeneration penalty, in [0, 1].
        k: candidates per step, at least 1.
    """

    alpha: float = 0.6
    k: int = 4

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not 0 <= self.alpha <= 1 or self.k < 1:
            raise ConfigError(f"contrastive search needs alpha in [0, 1] and k >= 1, got {self}")

    @torch.no_grad()
    def write(self, engine: Engine, asks: Sequence[Ask]) -> list[list[Sampled]]:
        """The one continuation of each ask; seeds do not matter."""
        most = max(ask.n for ask in asks)
        if most > 1:
            raise ConfigError(
                f"contrastive search is deterministic, so {most} drafts would be equal: "
                "take agents.decoding.Sampling for a seat that drafts more than one reply"
            )
        done: dict[int, Sampled] = {}
        engine.attempt(lambda: self._batches(engine, asks, done))
        return [[done[i]] for i in range(len(asks))]

    def _batches(self, engine: Engine, asks: Sequence[Ask], done: dict[int, Sampled]) -> None:
        """Batches as large as the budget of the engine allows."""
        columns = max(len(ask.prompt.ids) + ask.limit for ask in asks) + self.k
        size = max(1, engine.tokens // columns)
        left = [i for i in range(len(asks)) if i not in done]
        for start in range(0, len(left), size):
            part = left[start : start + size]
            state = _State(engine, [asks[i] for i in part], columns)
            while state.rows:
                chosen = self._step(state)
                for row in reversed(range(len(state.rows))):
                    number, ask, said = state.rows[row]
                    said.append(chosen[row])
                    if said[-1] in ask.ends or len(said) == ask.limit:
                        done[part[number]] = Sampled(tuple(said), said[-1] in ask.ends)
                        state.drop(row)

    def _step(self, state: "_State") -> list[int]:
        """Choose a token in each row; the state has then read it."""
        probs = torch.softmax(state.engine.backbone.logits(state.hidden), -1)
        top, candidates = probs.topk(self.k, -1)  # (rows, k)
        hidden = state.read(candidates)  # (rows, k, hidden)
        unit = functional.normalize(hidden.float(), dim=-1)
        best = ((1 - self.alpha) * top - self.alpha * state.likeness(unit)).argmax(-1)  # (rows,)
        state.take(best, hidden, unit)
        chosen: list[int] = candidates[torch.arange(len(best)), best].tolist()
        return chosen


class _State:
    """Rows in flight: their slots, and the unit states of all that each has read."""

    def __init__(self, engine: Engine, asks: Sequence[Ask], columns: int) -> None:
        """Read the prompts."""
        self.engine, self.slots = engine, Slots(len(asks), columns)
        self.rows: list[tuple[int, Ask, list[int]]] = [(i, ask, []) for i, ask in enumerate(asks)]
        prompts = [ask.prompt.ids for ask in asks]
        states = engine.feed(self.slots, [0] * len(asks), prompts, self._speakers)
        parts = torch.split(states, [len(ids) for ids in prompts])
        self.hidden = torch.stack([part[-1] for part in parts])
        self.past = torch.tensor([len(ids) for ids in prompts], device=states.device)
        self.context = states.new_zeros(len(asks), columns, states.shape[-1], dtype=torch.float32)
        for row, part in enumerate(parts):
            self.context[row, : len(part)] = functional.normalize(part.float(), dim=-1)

    @property
    def _speakers(self) -> list[str]:
        return [ask.prompt.speaker for _, ask, _ in self.rows]

    def read(self, candidates: torch.Tensor) -> torch.Tensor:
        """States (rows, k, hidden) of candidates (rows, k) that see the past and themselves alone."""
        past, tokens = self.past.tolist(), candidates.tolist()
        states = self.engine.feed(self.slots, past, tokens, self._speakers, siblings=True)
        return states.view(*candidates.shape, -1)

    def likeness(self, unit: torch.Tensor) -> torch.Tensor:
        """(rows, k) the largest cosine of each candidate with what its row has read."""
        cosines = unit @ self.context.transpose(1, 2)
        unread = torch.arange(self.context.shape[1], device=unit.device) >= self.past[:, None]
        return cosines.masked_fill(unread[:, None], -2.0).amax(-1)

    def take(self, best: torch.Tensor, hidden: torch.Tensor, unit: torch.Tensor) -> None:
        """Of the candidates that were read keep number `best` (rows,) of each row."""
        rows = torch.arange(len(best), device=best.device)
        self.slots.shift(rows, self.past + best, self.past)
        self.context[rows, self.past] = unit[rows, best]
        self.hidden = hidden[rows, best]
        self.past = self.past + 1

    def drop(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        last = len(self.rows) - 1
        if row < last:
            self.slots.move(last, row, int(self.past[last]))
            for kept in (self.hidden, self.past, self.context):
                kept[row] = kept[last]
            self.rows[row] = self.rows[last]
        self.rows.pop()
        self.hidden, self.past, self.context = self.hidden[:last], self.past[:last], self.context[:last]
