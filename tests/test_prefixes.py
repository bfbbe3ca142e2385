"""What was read is found again, within a limit of bytes, the least recently used going first."""

import gc
import weakref

import pytest
import torch

from agents.prefixes import Node, Prefixes

BYTES = 2 * 4 * 8
"""Of one token of `stretch`: a key and a value of one head, eight wide, in fp32."""


def stretch(parent: Node, *tokens: int) -> Node:
    """Tokens below `parent`, with keys and values of one layer."""
    layers = [(torch.zeros(1, len(tokens), 8), torch.zeros(1, len(tokens), 8))]
    return Node(tokens, layers, torch.zeros(4), parent)


def kept(prefixes: Prefixes, speaker: str, *tokens: int) -> int:
    """How many of `tokens` are known as a beginning."""
    node, start = prefixes.root(speaker), 0
    while (child := node.child(tokens, start)) is not None:
        node, start = child, start + len(child.tokens)
    return start


def test_a_prompt_goes_down_as_far_as_its_tokens_do() -> None:
    """Whole stretches only, the longest that fits."""
    prefixes = Prefixes(10_000)
    first = stretch(prefixes.root(""), 1, 2)
    longer, below = stretch(prefixes.root(""), 1, 2, 3), stretch(first, 4)
    for node in (first, longer, below):
        prefixes.add(node)
    assert (first.end, longer.end, below.end) == (2, 3, 3)
    assert kept(prefixes, "", 1, 2, 4, 9) == 3
    assert kept(prefixes, "", 1, 2, 3, 9) == 3
    assert kept(prefixes, "", 1, 9) == kept(prefixes, "", 2) == 0
    assert prefixes.root("").child((1, 2), 2) is None


def test_speakers_do_not_share() -> None:
    """Their weights differ, and so do their keys and values."""
    prefixes = Prefixes(10_000)
    prefixes.add(stretch(prefixes.root("ada"), 1, 2))
    assert kept(prefixes, "ada", 1, 2) == 2
    assert kept(prefixes, "bob", 1, 2) == kept(prefixes, "", 1, 2) == 0


def test_the_least_recently_used_goes_first() -> None:
    """What a later prompt went through stays, and all that is above it."""
    prefixes = Prefixes(4 * BYTES)
    nodes = [stretch(prefixes.root(""), token) for token in (1, 2, 3)]
    for node in nodes:
        prefixes.add(node)
    prefixes.add(stretch(nodes[0], 4))
    prefixes.use(nodes[1])
    prefixes.add(stretch(nodes[0], 5))
    assert prefixes.bytes == 4 * BYTES
    assert kept(prefixes, "", 3) == 0
    assert [kept(prefixes, "", 1, 4), kept(prefixes, "", 1, 5), kept(prefixes, "", 2)] == [2, 2, 1]


def test_a_stretch_above_the_limit_is_not_kept() -> None:
    """And nothing else has to go for it."""
    prefixes = Prefixes(2 * BYTES)
    prefixes.add(stretch(prefixes.root(""), 1))
    prefixes.add(stretch(prefixes.root(""), 2, 3, 4))
    assert kept(prefixes, "", 1) == 1
    assert kept(prefixes, "", 2, 3, 4) == 0
    assert prefixes.bytes == BYTES


def test_nothing_is_kept_below_what_is_not() -> None:
    """Nobody could find it."""
    prefixes = Prefixes(10_000)
    lost = stretch(prefixes.root(""), 1)
    prefixes.add(stretch(lost, 2))
    assert prefixes.bytes == 0
    forgotten = stretch(prefixes.root("ada"), 1)
    prefixes.add(forgotten)
    prefixes.forget("ada")
    prefixes.add(stretch(forgotten, 2))
    assert prefixes.bytes == 0


@pytest.mark.parametrize("everything", [True, False])
def test_what_is_let_go_leaves_memory_at_once(everything: bool) -> None:
    """Without waiting for Python to look for circles; the bytes are counted down to nothing."""
    prefixes = Prefixes(10_000)
    first = stretch(prefixes.root("ada"), 1)
    below = stretch(first, 2)
    for node in (first, below):
        prefixes.add(node)
    layers = [weakref.ref(node.layers[0][0]) for node in (first, below)]
    del node, first, below
    gc.disable()
    try:
        prefixes.clear() if everything else prefixes.forget("ada")
        assert [layer() for layer in layers] == [None, None]
    finally:
        gc.enable()
    assert prefixes.bytes == 0
