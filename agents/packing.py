"""Linear layers whose weights lie as the processor multiplies them; they lie nowhere else.

PyTorch hands a plain matrix to oneDNN, which lays it out anew at every product. For the few rows of a
decoding step that costs more than the product itself. Here it is done once, when a model is loaded, and
the plain weights go. Products are the same to the last bit in bf16.
"""

import platform
from typing import Any

import torch
from torch import nn

HINT = 16
"""Rows that the layout is chosen for. It came out the same for 1 to 256."""


_lay_out: Any = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
_multiply: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""oneDNN's own operations; PyTorch promises neither of them, so a version may lack them."""


class Packed(nn.Linear):
    """A frozen linear layer (outputs, inputs) in oneDNN's own layout.

    Args:
        linear: the plain layer, on a processor.
    """

    packed: torch.Tensor

    def __init__(self, linear: nn.Linear) -> None:
        """Lay the weights out; `linear` may go afterwards."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("packed", _lay_out(linear.weight.detach(), HINT), persistent=False)
        self.bias = linear.bias

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """A plain copy (outputs, inputs), made anew each time; what is written to it is lost."""
        return self.packed.to_dense()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(..., outputs) of (..., inputs)."""
        if torch.is_grad_enabled() and input.requires_grad:
            product: torch.Tensor = _Product.apply(input, self)  # type: ignore[no-untyped-call]
            return product
        return self.product(input)

    def product(self, input: torch.Tensor) -> torch.Tensor:
        """As `forward`, without a gradient."""
        out: torch.Tensor = _multiply(input, self.packed, self.bias, "none", [], "")
        return out


class _Product(torch.autograd.Function):
    """A product with frozen weights: a gradient for what goes in."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, layer: Packed) -> torch.Tensor:
        ctx.layer = layer
        return layer.product(input)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor, None]:
        return grads[0] @ ctx.layer.weight, None


def pack(model: Any) -> None:
    """Pack the linear layers of a frozen model in place, where this processor and PyTorch can.

    The output head stays plain: it often is the embedding too, of which rows are read, so that a packed
    one would be a copy.
    """
    head = model.get_output_embeddings()
    for parent in model.modules():
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear and layer is not head and can_pack(layer.weight):
                setattr(parent, name, Packed(layer))


def can_pack(weight: torch.Tensor) -> bool:
    """Whether this machine packs such a weight. Other processors than x86 have not been measured."""
    return (
        weight.device.type == "cpu"
        and platform.machine() in ("x86_64", "AMD64")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and _lay_out is not None
        and _multiply is not None
        and (weight.dtype == torch.float32 or _multiplies(weight.dtype))
    )


def _multiplies(dtype: torch.dtype) -> bool:
    """Whether oneDNN has products of this type here."""
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return dtype == torch.bfloat16 and asked is not None and bool(asked())
