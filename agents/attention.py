"""Attention over packed tokens: rows of any lengths in one forward pass, without padding.

All tokens of a pass stand in one sequence, so that linear layers waste nothing; which token sees
which is a `Plan`, and the attention of the model asks it. transformers takes such an attention by name.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch.nn import functional
from transformers import AttentionInterface

from agents.errors import Unsupported

NAME = "arena"
"""The name of this attention in a model's configuration."""


class Plan(Protocol):
    """Which token of a pass sees which."""

    positions: torch.Tensor
    """(tokens,) the position of each token in its own row."""

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        window: int,
    ) -> torch.Tensor:
        """What each token takes from those it sees.

        Args:
            layer: number of the layer.
            query: (heads, tokens, width).
            key: (key heads, tokens, width); heads are a multiple of key heads.
            value: as `key`.
            scale: factor of the scores.
            window: tokens that are seen, the token itself included; 0 for the whole past.

        Returns:
            (tokens, heads, width).
        """


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None = None,
    *,
    plan: Plan,
    scaling: float,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """The form in which transformers calls an attention: tensors are (1, heads, tokens, width)."""
    if softcap is not None:
        raise Unsupported("this model caps its attention scores, which agents/attention.py does not")
    mixed = plan.attend(module.layer_idx, query[0], key[0], value[0], scaling, sliding_window or 0)
    return mixed[None], None


AttentionInterface.register(NAME, attention)


def grouped(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attention in which heads that share a key are queries of it: nothing is copied per head.

    Args:
        query: (batch, heads, new, width).
        key: (batch, key heads, past + new, width).
        value: as `key`.
        seen: (batch or 1, 1, new, past + new), true where a token is seen.
        scale: factor of the scores.

    Returns:
        (batch, heads, new, width).
    """
    batch, heads, new, width = query.shape
    groups = heads // key.shape[1]
    folded = query.reshape(batch, key.shape[1], groups * new, width)
    mask = seen.expand(-1, groups, -1, -1).reshape(seen.shape[0], 1, groups * new, -1)
    out = functional.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scale)
    return out.reshape(batch, heads, new, width)


def causal(positions: torch.Tensor, keys: torch.Tensor, window: int) -> torch.Tensor:
    """(..., new, keys) what tokens at `positions` (..., new) see of tokens at `keys` (..., keys)."""
    distance = positions[..., :, None] - keys[..., None, :]
    seen = distance >= 0
    return seen & (distance < window) if window else seen


@dataclass
class Branches:
    """Rows that share a beginning, read without a cache: for gradients and log-probabilities.

    Each group is a prompt and the completions that branch off it; a completion sees the prompt and
    itself, not its siblings. Groups do not see each other.
    """

    groups: tuple[tuple[int, tuple[int, ...]], ...]
    """(tokens of the prompt, tokens of each completion) of each group, in the order of the tokens."""
    device: torch.device
    positions: torch.Tensor = field(init=False)
    _masks: dict[tuple[int, int], torch.Tensor] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Count positions; every completion goes on where the prompt ends."""
        parts = [
            torch.cat([torch.arange(prompt), *(torch.arange(prompt, prompt + n) for n in completions)])
            for prompt, completions in self.groups
        ]
        self._of_group = parts
        self.positions = torch.cat(parts).to(self.device)

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        window: int,
    ) -> torch.Tensor:
        """See `Plan`."""
        lengths = [len(positions) for positions in self._of_group]
        # Split at once: the gradient of a slice would be as long as the whole, once for each group.
        queries, keys, values = (torch.split(whole[None], lengths, dim=2) for whole in (query, key, value))
        out = []
        for number, own in enumerate(queries):
            seen = self._mask(number, window, query.device)
            out.append(grouped(own, keys[number], values[number], seen, scale)[0].transpose(0, 1))
        return torch.cat(out)

    def _mask(self, number: int, window: int, device: torch.device) -> torch.Tensor:
        """(1, 1, tokens, tokens) of a group; the same for all layers of one window."""
        if (number, window) not in self._masks:
            prompt, completions = self.groups[number]
            branch = torch.repeat_interleave(
                torch.arange(len(completions) + 1), torch.tensor([prompt, *completions])
            )
            positions = self._of_group[number]
            related = (branch[:, None] == branch[None, :]) | (branch[None, :] == 0)
            seen = causal(positions, positions, window) & related
            self._masks[number, window] = seen[None, None].to(device)
        return self._masks[number, window]
