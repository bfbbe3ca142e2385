"""Whose adapter reads which token: low-rank adapters applied token by token, without gradients.

PEFT puts one adapter on the whole model at a time, and computes it in fp32 with a copy of the input
for each layer. Here several speakers share a forward pass, each token with its own adapter (as in
Punica, Chen et al. 2023), in the precision of the base.

Adapters are not merged into 16-bit weights: an update smaller than half a step of bf16 would vanish.
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
    """Takes over the adapter layers of a model while a `speaking` body runs."""

    def __init__(self) -> None:
        """Nobody speaks yet."""
        self.parts: Parts | None = None
        self._factors: dict[tuple[int, str], tuple[torch.Tensor, torch.Tensor, float]] = {}

    def take_over(self, model: Any) -> None:
        """Make every adapter layer of `model` ask here first; layers that do already are left."""
        from peft.tuners.lora import LoraLayer

        for module in model.modules():
            if isinstance(module, LoraLayer) and "forward" not in vars(module):
                module.forward = partial(self._forward, module, module.forward)

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """While the body runs adapters do not change, and `assign` says who reads what."""
        before = self.parts
        self.parts = ()
        try:
            yield
        finally:
            self.parts = before
            self._factors.clear()

    def assign(self, adapters: Sequence[str], counts: Sequence[int], device: torch.device) -> None:
        """In the coming pass `adapters[i]` (`""` for none) reads the next `counts[i]` tokens."""
        names = sorted({name for name in adapters if name})
        if len(set(adapters)) == 1:
            self.parts = [(name, None) for name in names]
            return
        numbers = torch.tensor([names.index(name) if name else -1 for name in adapters])
        of_token = torch.repeat_interleave(numbers, torch.tensor(counts)).to(device)
        self.parts = [(name, (of_token == i).nonzero()[:, 0]) for i, name in enumerate(names)]

    def _forward(self, layer: Any, peft_forward: Any, x: torch.Tensor, *rest: Any, **named: Any) -> Any:
        if self.parts is None:
            return peft_forward(x, *rest, **named)
        out = layer.base_layer(x)
        flat, inputs = out.view(-1, out.shape[-1]), x.view(-1, x.shape[-1])
        for adapter, tokens in self.parts:
            down, up, scale = self._factor(layer, adapter, x)
            low = functional.linear(inputs if tokens is None else inputs[tokens], down)
            low = low if scale == 1 else low * scale
            if tokens is None:
                flat.addmm_(low, up)
            else:
                flat.index_add_(0, tokens, low @ up)
        return out

    def _factor(self, layer: Any, adapter: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        """(rank, inputs), (rank, outputs) in the type of `x`, and the scale of an adapter."""
        key = (id(layer), adapter)
        if key not in self._factors:
            down, up = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
            self._factors[key] = (down.to(x.dtype), up.to(x.dtype).T, layer.scaling[adapter])
        return self._factors[key]
