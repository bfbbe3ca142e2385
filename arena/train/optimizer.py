"""The optimiser of adapters, and what is kept of both in a checkpoint."""

import copy
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.train.errors import Diverged

if TYPE_CHECKING:
    import torch

    from agents.local import Local


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


def save_learned(folder: Path, agent: "Local", optimizer: Any, **more: Any) -> None:
    """Write the adapter that `agent` learns, its optimiser, and what else is to be found again.

    Args:
        folder: made if it is not there.
        agent: speaks with the adapter.
        optimizer: of the adapter.
        more: plain values and tensors by name.
    """
    import torch

    agent.backbone.save_adapter(agent.adapter, folder)
    written = io.BytesIO()  # written by Python, a full disk is an OSError; the library's own error is not
    torch.save({**more, "updates": agent.updates, "optimizer": optimizer.state_dict()}, written)
    (folder / "optimizer.pt").write_bytes(written.getbuffer())


def stored_state(folder: Path) -> dict[str, Any]:
    """The plain values, the number of updates and the state of the optimiser that `save_learned` wrote."""
    import torch

    state: dict[str, Any] = torch.load(folder / "optimizer.pt", weights_only=True, map_location="cpu")
    return state


def load_learned(folder: Path, agent: "Local", optimizer: Any) -> dict[str, Any]:
    """Continue from what `save_learned` wrote; returns all that it kept beside the adapter."""
    from safetensors.torch import load_file

    agent.backbone.load_adapter_state(agent.adapter, load_file(folder / "adapter_model.safetensors"))
    state = stored_state(folder)
    optimizer.load_state_dict(state["optimizer"])
    agent.updates = state["updates"]
    return state
