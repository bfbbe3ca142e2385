"""Reading prompts: each stretch of tokens once, many rows in a pass, within a budget.

Prompts are read in stretches that end where a shared part ends, and what was read is kept for
whoever begins alike. What a row gives depends neither on its company nor on what was kept.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

from agents.prefixes import Node, Prefixes
from agents.slots import Reading, Slots

if TYPE_CHECKING:
    from agents.backbone import Backbone

T = TypeVar("T")
Stretch = tuple[Node, tuple[int, ...]]
"""Tokens to be read, and what stands before them."""

SHORT = 32
"""A stretch of fewer tokens than this is not worth a pass of its own."""
PASS = 2048
"""Most new tokens of one forward pass: more would not be faster, and take memory for activations."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompt:
    """Tokens to be read, by whom, and where others may begin to differ."""

    ids: tuple[int, ...]
    speaker: str = ""
    """The adapter that reads, `""` for none."""
    cuts: tuple[int, ...] = ()
    """Ascending offsets in `ids` up to which other prompts may be the same."""


class Reader:
    """Reads with one backbone, within a budget.

    Args:
        backbone: the weights.
        tokens: budget of the tokens that all rows in flight hold, new ones included.
        kept: bytes of keys and values that stay for later prompts.

    Both are without a limit until an agent on these weights asks for one (`agents.local.Local.engine`).
    """

    def __init__(self, backbone: "Backbone", tokens: int = sys.maxsize, kept: int = sys.maxsize) -> None:
        """Nothing is allocated before the first call."""
        self.backbone, self.tokens = backbone, tokens
        self.prefixes = Prefixes(kept)

    @torch.no_grad()
    def read(self, prompts: Sequence[Prompt]) -> list[Node]:
        """Read each prompt (none is empty) to its end; `hidden` of its node is the state to go on from.

        What is read stays for later calls, as far as there is room.
        """
        return self.attempt(lambda: self._read(prompts))

    @torch.no_grad()
    def after(self, nodes: Sequence[Node], speaker: str, token: int) -> torch.Tensor:
        """(nodes, hidden) states after one more token, of which nothing is kept."""
        stretches = [(node, (token,)) for node in dict.fromkeys(nodes)]
        read = self.attempt(
            lambda: {
                node.parent: node.hidden
                for part in self._passes(stretches)
                for node in self._read_pass(part, [speaker] * len(part))
            }
        )
        return torch.stack([read[node] for node in nodes])

    def forget(self, speaker: str) -> None:
        """Let go what was read by a speaker whose weights have changed."""
        self.prefixes.forget(speaker)

    def attempt(self, work: Callable[[], T]) -> T:
        """Do `work`, which looks at the budget; where memory runs out, with half of it again."""
        while True:
            try:
                with self.backbone.voices.speaking(), self.backbone.voices.fixed():
                    return work()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or self.tokens < 2:
                    raise
            self.tokens //= 2
            self.prefixes.limit //= 2
            self.prefixes.clear()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            _log.warning(
                "out of memory: going on with a budget of %d tokens (set batch_tokens to start there)",
                self.tokens,
            )

    def _read(self, prompts: Sequence[Prompt]) -> list[Node]:
        nodes = [self._known(prompt) for prompt in prompts]
        while True:
            todo = _unread(prompts, nodes)
            if not todo:
                break
            for part in self._passes(list(todo)):
                speakers = [prompts[todo[stretch][0]].speaker for stretch in part]
                for stretch, found in zip(part, self._read_pass(part, speakers), strict=True):
                    self.prefixes.add(found)
                    for i in todo[stretch]:
                        nodes[i] = found, nodes[i][1] + len(stretch[1])
        return [node for node, _ in nodes]

    def _known(self, prompt: Prompt) -> tuple[Node, int]:
        """The node down to which `prompt` has been read, and how many tokens that is."""
        node, start = self.prefixes.root(prompt.speaker), 0
        while (child := node.child(prompt.ids, start)) is not None:
            node, start = child, start + len(child.tokens)
        self.prefixes.use(node)
        return node, start

    def _passes(self, stretches: Sequence[Stretch]) -> Iterator[list[Stretch]]:
        """Stretches in groups that fit into one forward pass and into the budget."""
        part: list[Stretch] = []
        columns = new = 0
        for node, tokens in sorted(stretches, key=lambda s: s[0].end + len(s[1])):
            columns, new = max(columns, node.end + len(tokens)), new + len(tokens)
            if part and (columns * (len(part) + 1) > self.tokens or new > PASS):
                yield part
                part, columns, new = [], node.end + len(tokens), len(tokens)
            part.append((node, tokens))
        yield part

    def _read_pass(self, stretches: Sequence[Stretch], speakers: Sequence[str]) -> list[Node]:
        """Read one stretch of each row, after what stands before it."""
        past, new = [node.end for node, _ in stretches], [len(tokens) for _, tokens in stretches]
        slots = Slots(len(stretches), max(p + n for p, n in zip(past, new, strict=True)))
        for row, (node, _) in enumerate(stretches):
            load(slots, row, node)
        hidden = self.feed(slots, past, [list(tokens) for _, tokens in stretches], speakers)
        last = hidden[torch.tensor(new, device=hidden.device).cumsum(0) - 1]
        return [
            Node(tokens, slots.copy(row, past[row], past[row] + new[row]), last[row].clone(), node)
            for row, (node, tokens) in enumerate(stretches)
        ]

    def feed(
        self,
        slots: Slots,
        past: Sequence[int],
        tokens: Sequence[Sequence[int]],
        speakers: Sequence[str],
        siblings: bool = False,
    ) -> torch.Tensor:
        """(new tokens, hidden) states of new tokens of the first rows, read into their slots."""
        device, new = self.backbone.device, [len(row) for row in tokens]
        plan = Reading(slots, past, new, device, siblings)
        self.backbone.voices.assign(speakers, new, device)
        ids = torch.tensor([token for row in tokens for token in row], device=device)
        return self.backbone.read(ids, plan)


def _unread(prompts: Sequence[Prompt], nodes: Sequence[tuple[Node, int]]) -> dict[Stretch, list[int]]:
    """What is to be read next, and the numbers of the prompts that go on with it.

    A stretch ends at a cut, or where prompts that go on alike part: what they share is read once.
    """
    alike: dict[Stretch, list[int]] = {}
    for i, (prompt, (node, start)) in enumerate(zip(prompts, nodes, strict=True)):
        if start < len(prompt.ids):
            alike.setdefault((node, prompt.ids[start : start + SHORT]), []).append(i)
    todo: dict[Stretch, list[int]] = {}
    for (node, _), numbers in alike.items():
        shared = len(os.path.commonprefix([prompts[i].ids[nodes[i][1] :] for i in numbers]))
        for i in numbers:
            start = nodes[i][1]
            end = _end(prompts[i], start)
            if shared >= SHORT:
                end = min(end, start + shared)
            todo.setdefault((node, prompts[i].ids[start:end]), []).append(i)
    return todo


def _end(prompt: Prompt, start: int) -> int:
    """Where the stretch of `prompt` that begins at `start` ends: at a cut, else at the end."""
    return next((cut for cut in prompt.cuts if cut - start >= SHORT), len(prompt.ids))


def load(slots: Slots, row: int, node: Node) -> None:
    """Put everything down to `node` into a row."""
    step: Node | None = node
    while step is not None and step.parent is not None:
        slots.load(row, step.end - len(step.tokens), step.layers)
        step = step.parent


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or in the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
