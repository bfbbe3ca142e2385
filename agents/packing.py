"""Linear layers whose weights lie as the processor multiplies them; they lie nowhere else.

PyTorch hands a plain matrix to oneDNN, which lays it out anew at every product. For the few rows of a
decoding step that costs more than the product itself. Here it is done once, when a model is loaded, and
the plain weights go. Layers that read the same input are one product. Products are the same to the last
bit in bf16.
"""

import ctypes
import itertools
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import nn

HINT = 16
"""Rows that the layout is chosen for. It came out the same for 1 to 256."""

SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"), ("w1", "w3"))
"""Layers of one parent that read the same input, by the names that transformers gives them."""

WAITING = "_arena_waiting"
"""The attribute of an input that holds what was made of it and not yet asked for."""


_lay_out: Any = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
_multiply: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""oneDNN's own operations; PyTorch promises neither of them, so a version may lack them."""


class Block:
    """Frozen linear layers with the same inputs, in oneDNN's own layout as one.

    Args:
        layers: plain layers, on a processor; with a bias all of them or none.
    """

    _keeping: ClassVar[bool] = False
    _kept: ClassVar["tuple[Block, torch.Tensor] | None"] = None

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        """Lay the weights out; the layers may go afterwards."""
        sizes = [layer.out_features for layer in layers]
        ends = itertools.accumulate(sizes)
        self._stretches = [(end - size, size) for end, size in zip(ends, sizes, strict=True)]
        self.packed = _lay_out(_stacked([layer.weight for layer in layers]), HINT)
        biases = [layer.bias for layer in layers if layer.bias is not None]
        self.packed_bias = _stacked(biases) if biases else None

    def weight(self) -> torch.Tensor:
        """A plain copy (outputs of all, inputs), made anew each time but within `reading`."""
        if Block._kept and Block._kept[0] is self:
            return Block._kept[1]
        weight: torch.Tensor = self.packed.to_dense()
        if Block._keeping:
            Block._kept = self, weight
        return weight

    @staticmethod
    @contextmanager
    def reading() -> Iterator[None]:
        """While the body runs, the plain copy that was made last stays: PEFT asks for each some 20 times."""
        Block._keeping = True
        try:
            yield
        finally:
            Block._keeping, Block._kept = False, None

    def weight_of(self, number: int) -> torch.Tensor:
        """The rows of `weight` that are those of layer `number`."""
        return self.weight().narrow(0, *self._stretches[number])

    def bias_of(self, number: int) -> torch.Tensor | None:
        """The bias of layer `number`, if it has one."""
        return None if self.packed_bias is None else self.packed_bias.narrow(0, *self._stretches[number])

    def product(self, input: torch.Tensor) -> torch.Tensor:
        """(..., outputs of all) of (..., inputs), without a gradient."""
        out: torch.Tensor = _multiply(input, self.packed, self.packed_bias, "none", [], "")
        return out

    def part(self, number: int, input: torch.Tensor) -> torch.Tensor:
        """(..., outputs) of layer `number`, of (..., inputs).

        What the other layers make of that input waits for them at the input, and goes with it: held here,
        it would outlive a pass that an error has ended, with all states that its gradient needs.
        """
        if len(self._stretches) == 1:
            return self._whole(input)
        state = (self, torch.is_grad_enabled(), input.is_inference() or input._version)
        made, waiting = getattr(input, WAITING, (None, {}))
        if made != state or number not in waiting:
            whole = self._whole(input)
            waiting = {place: whole.narrow(-1, *stretch) for place, stretch in enumerate(self._stretches)}
            setattr(input, WAITING, (state, waiting))
        part: torch.Tensor = waiting.pop(number)
        return part

    def _whole(self, input: torch.Tensor) -> torch.Tensor:
        """(..., outputs of all) of (..., inputs)."""
        if torch.is_grad_enabled() and input.requires_grad:
            out: torch.Tensor = _Product.apply(input, self)  # type: ignore[no-untyped-call]
            return out
        return self.product(input)


class Packed(nn.Linear):
    """A linear layer of a block.

    Args:
        block: which.
        number: the layer's number in it.
        linear: what it was; only its size is read.
    """

    def __init__(self, block: Block, number: int, linear: nn.Linear) -> None:
        """The weights are those of the block."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.block, self._number = block, number
        if not number:  # seen by those who count a model's tensors
            self.register_buffer("packed_weight", block.packed, persistent=False)
            self.register_buffer("packed_bias", block.packed_bias, persistent=False)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """A plain copy (outputs, inputs), made anew each time; what is written to it is lost."""
        return self.block.weight_of(self._number)

    @property
    def bias(self) -> torch.Tensor | None:  # type: ignore[override]
        """(outputs,), if the layer has one."""
        return self.block.bias_of(self._number)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(..., outputs) of (..., inputs)."""
        return self.block.part(self._number, input)


class _Product(torch.autograd.Function):
    """A product with frozen weights: a gradient for what goes in."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, block: Block) -> torch.Tensor:
        ctx.block = block
        return block.product(input)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor, None]:
        return grads[0] @ ctx.block.weight(), None


class PackedHead(Packed):
    """An output head, of which single rows can be read: it often is the embedding too.

    Args:
        block: of the head alone.
        linear: what it was; only its size is read.
        table: the memory of the block (blocks, inputs / pair, rows of a block, pair).
    """

    def __init__(self, block: Block, linear: nn.Linear, table: torch.Tensor) -> None:
        """Nothing is copied."""
        super().__init__(block, 0, linear)
        self._table = table  # valid as long as the block, which is held too

    def rows(self, numbers: torch.Tensor) -> torch.Tensor:
        """(..., inputs) the rows of the weights with these numbers (...)."""
        size = self._table.shape[2]
        return self._table[numbers // size, :, numbers % size].flatten(-2)


class Embedding(nn.Module):
    """The embedding of a model whose head has the same weights, which lie there.

    Args:
        head: where they lie.
    """

    def __init__(self, head: PackedHead) -> None:
        """Take the head's rows for those of the embedding."""
        super().__init__()
        self.num_embeddings, self.embedding_dim = head.out_features, head.in_features
        self.rows = head.rows

    @property
    def weight(self) -> torch.Tensor:
        """A plain copy (vocabulary, hidden), made anew each time; what is written to it is lost."""
        return self.rows(torch.arange(self.num_embeddings))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(..., hidden) of token ids (...)."""
        return self.rows(input)


def pack(model: Any) -> None:
    """Pack the linear layers of a frozen model in place, where this processor and PyTorch can."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    for parent in model.modules():
        pack_children(parent, head)
    tied = embedding.weight is head.weight
    if (
        type(head) is not nn.Linear
        or not can_pack(head.weight)
        or (tied and type(embedding) is not nn.Embedding)
    ):
        return
    block = Block([head])
    table = _table(block.packed, head.weight)
    if table is not None:
        packed = PackedHead(block, head, table)
        model.set_output_embeddings(packed)
        if tied:
            model.set_input_embeddings(Embedding(packed))


def _table(packed: torch.Tensor, plain: torch.Tensor) -> torch.Tensor | None:
    """The memory of packed weights as `PackedHead` reads it; None where oneDNN's layout is none of those.

    oneDNN keeps its layouts to itself, so each one that is likely is compared with the plain weights, all
    of them.
    """
    try:
        address, size = torch.ops.mkldnn.data_ptr(packed), torch.ops.mkldnn._nbytes(packed)
    except (AttributeError, RuntimeError):
        return None
    if size != plain.nbytes:
        return None
    memory = torch.frombuffer((ctypes.c_char * size).from_address(address), dtype=plain.dtype)
    outputs, inputs = plain.shape
    for rows, pair in itertools.product((64, 48, 32, 16), (2, 1)):
        if not outputs % rows and not inputs % pair:
            table = memory.view(outputs // rows, inputs // pair, rows, pair)
            parts = zip(table, plain.view(-1, rows, inputs), strict=True)
            same = (torch.equal(own.transpose(0, 1).flatten(1), known) for own, known in parts)
            if all(same):
                return table
    return None


def pack_children(parent: nn.Module, head: nn.Module | None = None) -> None:
    """Pack the linear layers that are attributes of `parent`, but for `head`."""
    plain = {
        name: layer
        for name, layer in parent.named_children()
        if type(layer) is nn.Linear and layer is not head and can_pack(layer.weight)
    }
    groups = [names for names in SIBLINGS if _alike([plain[name] for name in names if name in plain], names)]
    joined = {name for names in groups for name in names}
    for names in [*groups, *((name,) for name in plain if name not in joined)]:
        layers = [plain.pop(name) for name in names]
        block = Block(layers)
        for number, name in enumerate(names):
            setattr(parent, name, Packed(block, number, layers[number]))


def _alike(layers: Sequence[nn.Linear], names: Sequence[str]) -> bool:
    """Whether layers are there under all of these names, and can lie as one."""
    kinds = {(layer.in_features, layer.weight.dtype, layer.bias is None) for layer in layers}
    return len(layers) == len(names) and len(kinds) == 1


def _stacked(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.detach() for part in parts]) if len(parts) > 1 else parts[0].detach()


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
