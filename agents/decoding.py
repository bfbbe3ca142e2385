"""How the next token is chosen.

Every row draws from a random stream of its own seed, so what a row says depends neither on the
other rows of the batch nor on how often the program was stopped and continued.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from agents.engine import Engine, Sampled
from agents.errors import ArenaError, ConfigError
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
        probs = torch.softmax(logits if self.temperature == 1 else logits / self.temperature, -1)
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
            highest, tokens = logits.max(-1)
            _check_finite(highest)
            return tokens
        return inverse(self.probabilities(logits), uniform[:, None])[:, 0]

    def write(self, engine: Engine, asks: Sequence[Ask]) -> list[list[Sampled]]:
        """Independent samples, each ask by its own settings."""
        return engine.write(asks)


STRETCH = 128
"""Tokens whose probabilities are added up before the distribution function is: all the common vocabularies
are a multiple of it."""


def inverse(probs: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The tokens (batch, 1) at which distribution functions reach `uniform`, in [0, 1).

    First the stretch of tokens is found, then the token in it: a running sum in fp64 over all of them would
    take much longer.

    Args:
        probs: (batch, vocabulary), of any sum.
        uniform: (batch, 1), how much of that sum comes before the token.

    Raises:
        ArenaError: they are no numbers.
    """
    missing = -probs.shape[-1] % STRETCH
    stretches = (functional.pad(probs, (0, missing)) if missing else probs).view(len(probs), -1, STRETCH)
    ends = stretches.sum(-1, dtype=torch.float64).cumsum(-1)
    _check_finite(ends[:, -1])
    target = uniform * ends[:, -1:]
    stretch = _reached(ends, target)
    before = functional.pad(ends, (1, 0)).gather(-1, stretch)
    own = stretches.gather(1, stretch[..., None].expand(-1, -1, STRETCH))[:, 0]
    return stretch * STRETCH + _reached(own.double().cumsum(-1), target - before)


def _check_finite(values: torch.Tensor) -> None:
    """Refuse to take a token from what is no distribution: its place would lie beyond the last token."""
    if not bool(values.isfinite().all()):
        raise ArenaError(
            "the model says no numbers (NaN or infinite logits): if it learns, it has diverged, so lower "
            "train.lr; if it does not, its checkpoint is damaged or needs another precision"
        )


def _reached(ends: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(batch, 1) the first places whose `ends` (batch, places) are above `target` (batch, 1).

    Rounding never leads beyond the last place with any probability.
    """
    last = ends[:, -1:]
    below = torch.minimum(target, torch.nextafter(last, torch.zeros_like(last)))
    return torch.searchsorted(ends, below, right=True)
