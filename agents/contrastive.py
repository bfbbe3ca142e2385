"""Contrastive search (Su et al. 2022), batched: one forward pass reads all candidates of all rows.

transformers moved it to code on the hub, which this project never runs. The candidates of a step
are fed as siblings under a tree mask, so that the cache is not copied once per candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from agents.backbone import Backbone
from agents.decoding import Sampled, State, cut, prefill
from agents.errors import ConfigError


@dataclass(frozen=True)
class Contrastive:
    """Likely, and unlike what was said: (1 - alpha) p(v) - alpha max_j cos(h_v, h_j), Eq. 5 of the paper.

    Deterministic: all drafts of one prompt would be equal, so a seat that learns must sample.

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
        """The one continuation of each row; `seeds` do not matter."""
        if n > 1:
            raise ConfigError(
                f"contrastive search is deterministic, so {n} drafts would be equal: "
                "take agents.decoding.Sampling for a seat that drafts more than one reply"
            )
        state, context = _read(backbone, rows)
        alive = torch.arange(len(rows), device=backbone.device)
        said: list[list[int]] = [[] for _ in rows]
        stops = torch.tensor(sorted(ends), device=backbone.device)
        for _ in range(limit):
            tokens, context = self._step(state, context)
            for row, token in zip(alive.tolist(), tokens.tolist(), strict=True):
                said[row].append(token)
            going = (~torch.isin(tokens, stops)).nonzero()[:, 0]
            if not len(going):
                break
            if len(going) < len(alive):
                state.select(going)
                alive, context = alive[going], context[going]
        return [[Sampled(tuple(ids), ids[-1] in ends)] for ids in said]

    def _step(self, state: State, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose a token in each row; the state has then read it.

        `context` is (batch, past, hidden), unit length, zero at padding; returns it with the new token.
        """
        probs = torch.softmax(state.backbone.logits(state.hidden), -1)
        top, candidates = probs.topk(self.k, -1)  # (batch, k)
        hidden = _read_siblings(state, candidates)  # (batch, k, hidden)
        unit = functional.normalize(hidden.float(), dim=-1)
        likeness = (unit @ context.transpose(1, 2)).masked_fill(state.mask[:, None, :] == 0, -2.0)
        best = ((1 - self.alpha) * top - self.alpha * likeness.amax(-1)).argmax(-1)  # (batch,)
        _keep_sibling(state, hidden, best)
        row = torch.arange(len(best), device=best.device)
        return candidates[row, best], torch.cat([context, unit[row, best][:, None]], dim=1)


def _read(backbone: Backbone, rows: Sequence[Sequence[int]]) -> tuple[State, torch.Tensor]:
    """Prefill, and the unit states (batch, past, hidden) of all that was read."""
    kept: list[torch.Tensor] = []
    plain = backbone.hidden

    def keeping(*args: Any) -> torch.Tensor:
        kept.append(plain(*args))
        return kept[-1]

    state = prefill(backbone, rows, keeping)
    whole = [part.expand(len(rows), -1, -1) if len(part) != len(rows) else part for part in kept]
    return state, functional.normalize(torch.cat(whole, dim=1).float(), dim=-1)


def _read_siblings(state: State, candidates: torch.Tensor) -> torch.Tensor:
    """States (batch, k, hidden) of candidates (batch, k) that see the past and themselves, not each other."""
    batch, k = candidates.shape
    mask = torch.cat([state.mask, state.mask.new_ones(batch, k)], dim=1)
    positions = state.positions[:, None].expand(batch, k)
    return state.backbone.hidden(candidates, mask, positions, state.cache, siblings=True)


def _keep_sibling(state: State, hidden: torch.Tensor, best: torch.Tensor) -> None:
    """Of the siblings at the end of the cache keep number `best` (batch,) of each row."""
    past = state.mask.shape[1]
    row = torch.arange(len(best), device=best.device)
    for layer in state.cache.layers:
        for kept in (layer.keys, layer.values):  # (batch, heads, tokens, width)
            kept[:, :, past] = kept[row, :, past + best]
    cut(state.cache, past + 1)
    state.mask = torch.cat([state.mask, state.mask.new_ones(len(best), 1)], dim=1)
    state.hidden = hidden[row, best]
    state.positions = state.positions + 1
