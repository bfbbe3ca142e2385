"""Keys and values that are kept for the next prompt that begins alike, under a limit of bytes.

A tree (as in SGLang's RadixAttention, Zheng et al. 2023) whose nodes are stretches of tokens as they
were read; a prompt goes down as far as its tokens do. Every speaker has a tree of its own.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from agents.slots import Layers


@dataclass(eq=False)
class Node:
    """A stretch of tokens that was read after the stretches above it."""

    tokens: tuple[int, ...]
    layers: Layers
    hidden: torch.Tensor
    """(hidden,) states of the last token."""
    parent: "Node | None" = None
    children: "dict[int, list[Node]]" = field(default_factory=dict)
    """By their first token."""
    used: int = 0
    end: int = field(init=False)
    """Tokens from the beginning of the row to the end of this stretch."""

    def __post_init__(self) -> None:
        """Count from the root."""
        self.end = len(self.tokens) + (self.parent.end if self.parent else 0)

    @property
    def size(self) -> int:
        """Bytes of keys and values."""
        return sum(key.nbytes + value.nbytes for key, value in self.layers)

    def child(self, ids: Sequence[int], start: int) -> "Node | None":
        """The longest child that is spelled by `ids` from `start` on."""
        if start >= len(ids):
            return None
        fitting = (
            node
            for node in self.children.get(ids[start], ())
            if tuple(ids[start : start + len(node.tokens)]) == node.tokens
        )
        return max(fitting, key=lambda node: len(node.tokens), default=None)


class Prefixes:
    """The trees of all speakers; what was not used for longest goes first.

    Args:
        limit: bytes of keys and values that are kept, 0 for none.
    """

    def __init__(self, limit: int) -> None:
        """Keep nothing yet."""
        self.limit = limit
        self.bytes = 0
        self._roots: dict[str, Node] = {}
        self._clock = itertools.count(1)

    def root(self, speaker: str) -> Node:
        """Where the prompts of a speaker begin."""
        return self._roots.setdefault(speaker, Node((), [], torch.empty(0)))

    def use(self, node: Node) -> None:
        """Note that `node`, and so what is above it, was of use now."""
        now = next(self._clock)
        step: Node | None = node
        while step is not None:
            step.used = now
            step = step.parent

    def add(self, node: Node) -> None:
        """Keep `node` below its parent, if that is kept, and let go what is over the limit."""
        parent = node.parent
        assert parent is not None
        if node.size > self.limit or not self._is_kept(parent):
            return
        parent.children.setdefault(node.tokens[0], []).append(node)
        self.bytes += node.size
        self.use(node)
        while self.bytes > self.limit:
            self._drop(min(self._leaves(), key=lambda leaf: leaf.used))

    def forget(self, speaker: str) -> None:
        """Let go everything of a speaker, whose weights have changed."""
        root = self._roots.pop(speaker, None)
        for node in [root, *_below(root)] if root else []:
            self.bytes -= node.size
            # Links in a circle would keep the memory until Python happens to look for such.
            node.children = {}

    def clear(self) -> None:
        """Let go everything."""
        for speaker in list(self._roots):
            self.forget(speaker)

    def _is_kept(self, node: Node) -> bool:
        while node.parent is not None:
            if node not in node.parent.children.get(node.tokens[0], ()):
                return False
            node = node.parent
        return any(node is root for root in self._roots.values())

    def _leaves(self) -> Iterator[Node]:
        return (node for root in self._roots.values() for node in _below(root) if not node.children)

    def _drop(self, node: Node) -> None:
        assert node.parent is not None
        siblings = node.parent.children[node.tokens[0]]
        siblings.remove(node)
        if not siblings:
            del node.parent.children[node.tokens[0]]
        self.bytes -= node.size


def _below(node: Node) -> Iterator[Node]:
    """All nodes under `node`."""
    for children in node.children.values():
        for child in children:
            yield child
            yield from _below(child)
