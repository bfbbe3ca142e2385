"""The optimiser of adapters."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from arena.train.errors import Diverged

if TYPE_CHECKING:
    import torch


def adamw(parameters: Sequence["torch.nn.Parameter"], lr: float) -> Any:
    """AdamW without decay; on a GPU with 8-bit states that can leave its memory."""
    import torch

    if parameters[0].is_cuda:
        import bitsandbytes

        return bitsandbytes.optim.PagedAdamW8bit(parameters, lr=lr, weight_decay=0.0)
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0)


@contextmanager
def whole_or_not(parameters: Sequence["torch.nn.Parameter"], optimizer: Any) -> Iterator[None]:
    """If the body, which may make several steps, diverges: weights and optimiser as they were before it."""
    kept = [parameter.detach().clone() for parameter in parameters]
    state = copy.deepcopy(optimizer.state_dict())
    try:
        yield
    except Diverged:
        for parameter, before in zip(parameters, kept, strict=True):
            parameter.data.copy_(before)
        optimizer.load_state_dict(state)
        optimizer.zero_grad(set_to_none=True)
        raise
