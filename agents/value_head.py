"""A value head on a policy's own states: one forward pass gives log-probabilities, entropies and values."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from agents.backbone import Backbone
from agents.errors import ConfigError
from agents.scoring import Pack, by_chunk

FILE = "value_head.safetensors"


class ValueHead(torch.nn.Module):
    """V(s) = w . norm(h) + b in fp32, h the last layer's state of the token before the one to be chosen.

    It begins at zero: what an untrained critic says would be noise in every advantage. States are
    normalised (no parameters), since their size differs by family, and one learning rate is to fit all.
    """

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        """A head on states (tokens, `width`)."""
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(width, device=device))
        self.bias = torch.nn.Parameter(torch.zeros((), device=device))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Values (tokens,) of states (tokens, width) in any precision."""
        normal = functional.layer_norm(hidden.float(), self.weight.shape)
        return normal @ self.weight + self.bias

    def save(self, folder: Path) -> None:
        """Write the head to `folder`."""
        from safetensors.torch import save

        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        # Written by Python, a full disk is an OSError; the library's own error is not.
        (folder / FILE).write_bytes(save(state))

    def load(self, folder: Path) -> None:
        """Take the head that `save` wrote.

        Raises:
            ConfigError: it is a head for states of another width.
        """
        from safetensors.torch import load_file

        state = load_file(folder / FILE)
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        wanted = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        if found != wanted:
            raise ConfigError(
                f"{folder / FILE} holds {found}, but these weights need {wanted}: another model's"
            )
        self.load_state_dict(state)


@dataclass(frozen=True)
class ActorCritic:
    """What actor and critic say of the completion tokens of a pack, all (completion tokens,), fp32."""

    logps: torch.Tensor
    """Log-probability in nats of each token."""
    entropies: torch.Tensor
    """Entropy in nats of the distribution that each token was chosen from."""
    values: torch.Tensor
    """V of the state before each token."""


def actor_critic(backbone: Backbone, head: ValueHead, pack: Pack) -> ActorCritic:
    """Read a pack once, as whoever speaks now.

    Logits are in memory a chunk at a time, and computed again in the backward pass, as in
    `agents.scoring.completion_logps`, whose log-probabilities these are.
    """
    hidden = backbone.read(pack.ids, pack.plan)[pack.places]
    logps, entropies = by_chunk(_actor, backbone, hidden, pack.targets)
    return ActorCritic(logps, entropies, head(hidden))


def _actor(
    backbone: Backbone, states: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = backbone.logits(states)
    norm = logits.logsumexp(-1)
    logps = logits.gather(-1, targets[:, None])[:, 0] - norm
    expected = ((logits - norm[:, None]).exp() * logits).sum(-1)
    return logps, norm - expected  # -sum p log p = log Z - sum p logit
