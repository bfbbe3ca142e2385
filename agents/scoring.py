"""Log-probabilities of completions: one function for agents, judges and learners."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from agents.backbone import Backbone


@dataclass(frozen=True)
class Batch:
    """Prompts padded on the left, completions on the right, so that completions share their columns."""

    ids: torch.Tensor
    """(batch, prompt + completion) token ids."""
    mask: torch.Tensor
    """(batch, prompt + completion), 1 for real tokens."""
    width: int
    """Columns of the longest completion."""

    @property
    def completion_mask(self) -> torch.Tensor:
        """(batch, width), 1 for the tokens of completions."""
        return self.mask[:, -self.width :]

    @classmethod
    def of(
        cls, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], device: torch.device
    ) -> "Batch":
        """Pad token ids; every completion has at least one token."""
        left = max(len(prompt) for prompt in prompts)
        right = max(len(completion) for completion in completions)
        ids = torch.zeros(len(prompts), left + right, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            start, end = left - len(prompt), left + len(completion)
            ids[row, start:end] = torch.tensor([*prompt, *completion])
            mask[row, start:end] = 1
        return cls(ids.to(device), mask.to(device), right)


def completion_logps(backbone: Backbone, batch: Batch) -> torch.Tensor:
    """(batch, width) log-probabilities in nats of completion tokens, 0 at padding; fp32.

    Logits are computed at the columns of completions only.
    """
    positions = (batch.mask.cumsum(-1) - 1).clamp(min=0)
    hidden = backbone.hidden(batch.ids, batch.mask, positions)
    logits = backbone.logits(hidden[:, -batch.width - 1 : -1])  # (batch, width, vocabulary)
    target = batch.ids[:, -batch.width :, None]
    logps = logits.gather(-1, target)[..., 0] - logits.logsumexp(-1)
    return logps * batch.completion_mask
