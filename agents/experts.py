"""Mixtral with its experts as linear layers, so that 4-bit quantisation and its gradients reach them.

transformers 5 keeps the experts of a layer in one 3-D parameter, which bitsandbytes does not
quantise: "4-bit" Mixtral-8x7B would take 93 GB. Here each expert is three linear layers under the
names of the published checkpoint (w1, w2, w3), which quantise one by one while they load.
"""

# mypy: allow-subclassing-any
# (mypy does not follow transformers, so the classes that are extended here are Any to it.)

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, MixtralConfig, MixtralForCausalLM
from transformers.activations import ACT2FN

CHECKPOINT_NAMES = {r"\.block_sparse_moe\.": ".mlp."}
"""How names in the checkpoint become names in this model."""


class Expert(nn.Module):
    """One feed-forward expert: w2(act(w1 x) * w3 x)."""

    def __init__(self, config: Any) -> None:
        """Lay out one expert."""
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.act = ACT2FN[config.hidden_act]

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(tokens, hidden) to (tokens, hidden)."""
        out: torch.Tensor = self.w2(self.act(self.w1(hidden)) * self.w3(hidden))
        return out


class LinearExperts(nn.ModuleList):
    """The experts of one layer; each sees only the tokens that were routed to it."""

    def __init__(self, config: Any) -> None:
        """Lay out the experts of one layer."""
        super().__init__(Expert(config) for _ in range(config.num_local_experts))

    def forward(self, hidden: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Mix the outputs of the chosen experts.

        Args:
            hidden: (tokens, hidden).
            chosen: (tokens, k) indices of experts.
            weights: (tokens, k) routing weights.
        """
        out = torch.zeros_like(hidden)
        for number, expert in enumerate(self):
            token, place = torch.where(chosen == number)
            if token.numel():
                mixed = expert(hidden[token]) * weights[token, place, None]
                out = out.index_add(0, token, mixed.to(out.dtype))
        return out


class LinearMixtralConfig(MixtralConfig):
    """A Mixtral configuration whose type asks transformers for no conversion of the experts."""

    model_type = "mixtral_linear_experts"

    @classmethod
    def of(cls, config: MixtralConfig) -> "LinearMixtralConfig":
        """The same sizes under the type of this class."""
        return cls(**{key: value for key, value in config.to_dict().items() if key != "model_type"})


class LinearMixtral(MixtralForCausalLM):
    """Mixtral-8x7B as published, each expert three linear layers."""

    config_class = LinearMixtralConfig

    def __init__(self, config: Any) -> None:
        """Lay out the model, with linear experts."""
        super().__init__(config)
        for layer in self.model.layers:
            layer.mlp.experts = LinearExperts(config)
        self.post_init()


AutoConfig.register(LinearMixtralConfig.model_type, LinearMixtralConfig, exist_ok=True)
