"""The machine's own limit: matrix rate with the model's layer shapes, memory bandwidth, and what work needs.

Roofline model (Williams, Waterman, Patterson 2009): no work of F operations on B bytes can take less
than max(F / rate, B / bandwidth).
"""

import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agents.local import Local
from agents.packing import pack_children
from arena.benchmark.measure import Samples, seconds
from arena.plan import BYTES, Shape

ROWS = (1, 16, 64, 256, 1024)
"""Rows (tokens) that are multiplied at once."""
LEAST = 256 << 20
"""Bytes of a buffer that is larger than caches, unless those say that they are larger still."""
CACHES = 4
"""Times the last-level cache that a buffer is."""
LONG_ENOUGH = 0.05
"""Seconds that a measurement takes at least."""
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
"""What is multiplied; nf4 is, in bf16."""


@dataclass(frozen=True)
class Limits:
    """What the machine gives at best."""

    matrix: dict[tuple[str, int], Samples]
    """(precision, rows) -> operations per second; a multiplication and an addition are two."""
    read: Samples
    """Bytes per second."""
    copy: Samples
    """Bytes per second, read and written together."""

    def rate(self, precision: str, rows: float) -> float:
        """Operations per second, at the measured number of rows that is not below `rows`, if there is one."""
        kind = "fp32" if precision == "fp32" else "bf16"
        measured = next((count for count in ROWS if count >= rows), ROWS[-1])
        return self.matrix[kind, measured].median

    def share(self, took: float, operations: float, moved: float, precision: str, rows: float) -> float:
        """How much of the limit work reached that took so many seconds; 1 is all of it."""
        bandwidth = max(self.read.median, self.copy.median)
        return max(operations / self.rate(precision, rows), moved / bandwidth) / took


@dataclass(frozen=True)
class Need:
    """What a model needs for a token, counted from its configuration."""

    linear: float
    """Weights of linear layers that a token meets, without the output head."""
    head: float
    """Weights of the output head."""
    attention: float
    """Operations per token and per token of its context."""
    weight_bytes: float
    """Of all linear layers and the head, as they lie in memory."""
    cache_bytes: float
    """Keys and values of a token."""

    @classmethod
    def of(cls, agent: Local) -> "Need":
        """Count; the weights are not needed, their configuration is."""
        shape = Shape.of(agent)
        config = agent.backbone.model.config.get_text_config()
        layers, heads = config.num_hidden_layers, config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        experts = getattr(config, "num_local_experts", 1)
        chosen = getattr(config, "num_experts_per_tok", 1) / experts
        met = sum(n * i * o * (chosen if n > layers else 1) for n, i, o in shape.widths.values())
        head = config.hidden_size * config.vocab_size
        stored = shape.linear * BYTES[shape.precision] + head * BYTES[shape.unquantised]
        return cls(met, head, 4 * layers * heads * width, stored, shape.cache_bytes)

    def reading(self, rows: int, tokens: float) -> float:
        """Operations of a prefill of `rows` prompts of `tokens` tokens; the head sees the last ones."""
        return 2 * rows * (tokens * self.linear + self.head) + self.attention * rows * tokens**2 / 2

    def step(self, rows: int, context: float) -> tuple[float, float]:
        """(operations, bytes) of one decoding step of `rows` rows, each after `context` tokens."""
        operations = rows * (2 * (self.linear + self.head) + self.attention * context)
        return operations, self.weight_bytes + rows * context * self.cache_bytes

    def learning(self, pairs: int, prompt: float, completion: float) -> float:
        """Operations of a step of online DPO on `pairs` pairs, whose prompt need be read once only.

        Reference, policy, and a backward pass through frozen weights, which costs a forward pass: three.
        """
        tokens, said = prompt + 2 * completion, 2 * completion
        seen = prompt**2 / 2 + said * (prompt + completion / 2)
        return 3 * pairs * (2 * (tokens * self.linear + said * self.head) + self.attention * seen)


def measure(agent: Local, repeats: int, say: Callable[[str], None]) -> Limits:
    """Measure the machine that `agent` runs on, with the shapes of its layers."""
    device = agent.backbone.device
    matrix = {}
    for kind, dtype in DTYPES.items():
        layers = list(_layers(Shape.of(agent), dtype, device))
        for rows in ROWS:
            matrix[kind, rows] = _matrix(layers, rows, repeats)
            say(f"matrix rate, {kind}, {rows} rows: {matrix[kind, rows].median / 1e9:.0f} Gflop/s")
        del layers
    size = footprint() // 4
    source, target = (torch.ones(size, device=device) for _ in range(2))
    read = _rate(lambda: source.amax(), 4.0 * size, repeats)
    copy = _rate(lambda: target.copy_(source), 8.0 * size, repeats)
    return Limits(matrix, read, copy)


def footprint() -> int:
    """Bytes that no cache of this machine holds."""
    return max([LEAST, *(CACHES * size for size in _cache_sizes())])


def _cache_sizes() -> Iterator[int]:
    """Bytes of the processor's caches, where Linux tells."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        yield int(text.rstrip("KMG")) * units.get(text[-1:], 1)


def _layers(shape: Shape, dtype: torch.dtype, device: torch.device) -> Iterator[nn.Linear]:
    """Layers of the model's shapes as the engine has them, as many as no cache holds, or all there are."""
    sizes = {name: (inputs, outputs) for name, (_, inputs, outputs) in shape.widths.items()}
    bytes_of_layer = sum(i * o for i, o in sizes.values()) * dtype.itemsize
    most = max(count for count, _, _ in shape.widths.values())
    for _ in range(min(most, math.ceil(footprint() / bytes_of_layer))):
        plain = {
            name: nn.Linear(inputs, outputs, bias=False, device=device, dtype=dtype)
            for name, (inputs, outputs) in sizes.items()
        }
        layers = nn.ModuleDict(plain)
        pack_children(layers)
        yield from (layers[name] for name in sizes)  # type: ignore[misc]


def _matrix(layers: list[nn.Linear], rows: int, repeats: int) -> Samples:
    """Operations per second of `rows` rows times each of the layers."""
    like = layers[0].weight
    widths = {layer.in_features for layer in layers}
    inputs = {width: torch.randn(rows, width, device=like.device).to(like.dtype) for width in widths}

    def multiply() -> None:
        for layer in layers:
            layer(inputs[layer.in_features])

    operations = 2.0 * rows * sum(layer.in_features * layer.out_features for layer in layers)
    return _rate(multiply, operations, repeats)


@torch.no_grad()
def _rate(call: Callable[[], Any], amount: float, repeats: int) -> Samples:
    """`amount` per second, each repeat long enough to be timed."""
    once = max(1e-7, min(seconds(call), seconds(call)))
    times = math.ceil(LONG_ENOUGH / once)

    def many() -> None:
        for _ in range(times):
            call()

    return Samples(tuple(amount * times / seconds(many) for _ in range(repeats)))


def describe(agent: Local) -> dict[str, Any]:
    """What figures are measured on and with; the agent's GPU becomes the current one."""
    import transformers

    device = str(agent.backbone.device)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    return {
        "machine": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "model": agent.name,
        "weights": agent.backbone.weights.source,
        "precision": agent.backbone.precision,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _processor() -> str:
    """The processor's name, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
