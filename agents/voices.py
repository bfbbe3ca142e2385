"""Whose adapter reads which token: low-rank adapters applied token by token.

PEFT puts one adapter on the whole model at a time, and computes it in fp32 with a copy of the input
for each layer. Here several speakers share a forward pass, each token with its own adapter (as in
Punica, Chen et al. 2023), in the precision of the base, in sampling and in training alike.

Adapters are not merged into 16-bit weights, where what is smaller than half a step of bf16 vanishes:
after one update of SmolLM2-135M at a rate of 2e-4, 97.5 % of the merged weights are the old ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.nn import functional

Parts = Sequence[tuple[str, torch.Tensor | None]]
"""(adapter, the tokens (n,) that it reads, None for all of them); tokens of no adapter are left out."""


class Voices:
    """Says in the adapter layers of a model who reads; nobody's adapter does before that is chosen."""

    def __init__(self) -> None:
        """The bare checkpoint reads."""
        self.parts: Parts = ()
        self._cast: dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor]] | None = None

    def take_over(self, model: Any) -> None:
        """Let every adapter layer of `model` ask here; those that do already are left."""
        from peft.tuners.lora import LoraLayer

        for module in model.modules():
            if isinstance(module, LoraLayer) and "forward" not in vars(module):
                module.forward = partial(self._forward, module)

    @contextmanager
    def speaking(self, parts: Parts = ()) -> Iterator[None]:
        """While the body runs `parts` read, or whoever `assign` names; then who did before."""
        before, self.parts = self.parts, parts
        try:
            yield
        finally:
            self.parts = before

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """While the body runs no adapter changes, so that each is cast to the base's precision once."""
        self._cast = {}
        try:
            yield
        finally:
            self._cast = None

    def assign(self, adapters: Sequence[str], counts: Sequence[int], device: torch.device) -> None:
        """From now on `adapters[i]` (`""` for none) reads the next `counts[i]` tokens of a pass."""
        names = sorted({name for name in adapters if name})
        if len(set(adapters)) == 1:
            self.parts = [(name, None) for name in names]
            return
        numbers = torch.tensor([names.index(name) if name else -1 for name in adapters])
        of_token = torch.repeat_interleave(numbers, torch.tensor(counts)).to(device)
        self.parts = [(name, (of_token == i).nonzero()[:, 0]) for i, name in enumerate(names)]

    def _forward(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        """What the base computes of `x` (..., inputs), and what the adapters add."""
        base: torch.Tensor = layer.base_layer(x)
        out, inputs = base.reshape(-1, base.shape[-1]), x.reshape(-1, x.shape[-1])
        for adapter, tokens in self.parts:
            if adapter not in layer.lora_A:
                continue  # its targets are other layers
            down, up = self._factors(layer, adapter, x.dtype)
            own = None if tokens is None else tokens.to(x.device)
            low = functional.linear(inputs if own is None else inputs[own], down)
            low = low if layer.scaling[adapter] == 1 else low * layer.scaling[adapter]
            out = torch.addmm(out, low, up) if own is None else out.index_add(0, own, low @ up)
        return out.view(base.shape)

    def _factors(self, layer: Any, adapter: str, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """(rank, inputs) and (rank, outputs) of an adapter."""
        key = (id(layer), adapter)
        if self._cast is not None and key in self._cast:
            return self._cast[key]
        factors = (layer.lora_A[adapter].weight.to(dtype), layer.lora_B[adapter].weight.to(dtype).T)
        if self._cast is not None:
            self._cast[key] = factors
        return factors
