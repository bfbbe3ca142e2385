"""The optimiser of adapters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def adamw(parameters: Sequence["torch.nn.Parameter"], lr: float) -> Any:
    """AdamW without decay; on a GPU with 8-bit states that can leave its memory."""
    import torch

    if parameters[0].is_cuda:
        import bitsandbytes

        return bitsandbytes.optim.PagedAdamW8bit(parameters, lr=lr, weight_decay=0.0)
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)
