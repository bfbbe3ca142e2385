"""Which earlier tokens a token sees, where transformers' own masks do not say it rightly."""

from typing import Any

import torch


def window(config: Any) -> int:
    """The sliding window of a model in tokens, 0 where every layer sees the whole past."""
    return getattr(config, "sliding_window", None) or 0


def visible(config: Any, mask: torch.Tensor, positions: torch.Tensor, siblings: bool) -> Any:
    """The attention mask of new tokens by their positions, for every kind of layer that the model has.

    transformers measures a sliding window in columns of the cache. Padding between a shared prefix
    and the rest of a prompt takes columns but no positions, and siblings take columns at one position.

    Args:
        config: of the decoder.
        mask: (batch, past + new), 1 for real tokens.
        positions: (batch, new).
        siblings: whether the new tokens of a row are alternatives, which see the past and themselves.

    Returns:
        (batch, 1, new, past + new), true where a token is seen; a dict of two such masks where the
        model's layers differ.
    """
    new = positions.shape[1]
    past = mask.shape[1] - new
    keys = torch.cat([mask[:, :past].cumsum(-1) - 1, positions], dim=1)  # (batch, past + new)
    distance = positions[:, :, None] - keys[:, None, :]  # (batch, new, past + new)
    seen = mask[:, None, :].bool() & (distance >= 0)
    if siblings:
        seen[:, :, past:] = torch.eye(new, dtype=torch.bool, device=seen.device)
    seen = seen[:, None]
    if not window(config):
        return seen
    near = seen & (distance < window(config))[:, None]
    mixed = getattr(config, "layer_types", None)
    return {"full_attention": seen, "sliding_attention": near} if mixed else near
