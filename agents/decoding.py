"""How the next token is chosen.

Every row draws from a random stream of its own seed, so what a row says depends neither on the
other rows of the batch nor on how often the program was stopped and continued.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from agents.engine import Engine, Sampled
from agents.errors import ConfigError
from agents.flight import Ask


class Decoding(Protocol):
    """A way to continue prompts."""

    def write(self, engine: Engine, asks: Sequence[Ask]) -> list[list[Sampled]]:
        """The continuations that each ask wants; all of them want this kind of decoding."""


def write(engine: Engine, asks: Sequence[Ask]) -> list[list[Sampled]]:
    """Continue each ask in its own way; those of one kind in one batch."""
    done: dict[int, list[Sampled]] = {}
    for kind in dict.fromkeys(type(ask.decoding) for ask in asks):
        own = [i for i, ask in enumerate(asks) if type(ask.decoding) is kind]
        found = asks[own[0]].decoding.write(engine, [asks[i] for i in own])
        done |= dict(zip(own, found, strict=True))
    return [done[i] for i in range(len(asks))]


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

    def write(self, engine: Engine, asks: Sequence[Ask]) -> list[list[Sampled]]:
        """Independent samples, each ask by its own settings."""
        return engine.write(asks)
