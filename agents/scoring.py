"""Log-probabilities of completions: one function for agents, judges and learners."""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint

from agents.attention import Branches
from agents.backbone import Backbone

CHUNK = 256
"""Completion tokens whose logits are in memory at once."""

Group = tuple[Sequence[int], Sequence[Sequence[int]]]
"""A prompt and the completions that branch off it, as token ids."""


@dataclass(frozen=True)
class Pack:
    """Groups in one forward pass without padding; each prompt is read once for all its completions."""

    ids: torch.Tensor
    """(tokens,)"""
    plan: Branches
    places: torch.Tensor
    """(completion tokens,) the places in `ids` of the tokens before them."""
    targets: torch.Tensor
    """(completion tokens,)"""
    lengths: tuple[int, ...]
    """Tokens of each completion, group by group."""

    @classmethod
    def of(cls, groups: Sequence[Group], device: torch.device) -> "Pack":
        """Lay out token ids; neither prompts nor completions are empty."""
        ids: list[int] = []
        places: list[int] = []
        for prompt, completions in groups:
            last = len(ids) + len(prompt) - 1
            ids += prompt
            for completion in completions:
                places += [last, *range(len(ids), len(ids) + len(completion) - 1)]
                ids += completion
        targets = [token for _, completions in groups for completion in completions for token in completion]
        shape = tuple((len(prompt), tuple(map(len, completions))) for prompt, completions in groups)
        return cls(
            torch.tensor(ids, device=device),
            Branches(shape, device),
            torch.tensor(places, device=device),
            torch.tensor(targets, device=device),
            tuple(len(completion) for _, completions in groups for completion in completions),
        )


def packs(groups: Sequence[Group], most: int) -> list[list[int]]:
    """Numbers of the groups that go into one pass together: up to `most` tokens, at least one group.

    There are as few passes as that takes, and the longest of them, which needs the most memory, is as short
    as so few passes allow. Groups stay in their order.
    """
    sizes = [len(prompt) + sum(map(len, completions)) for prompt, completions in groups]
    fewest = len(_filled(sizes, most))
    # A float is what Hydra makes of 1e3.
    enough = bisect.bisect_left(range(int(most)), True, key=lambda most: len(_filled(sizes, most)) <= fewest)
    return _filled(sizes, enough)


def _filled(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Numbers of the groups of these sizes in passes that are filled one after the other."""
    parts: list[list[int]] = []
    tokens = 0
    for number, size in enumerate(sizes):
        if not parts or tokens + size > most:
            parts.append([])
            tokens = 0
        parts[-1].append(number)
        tokens += size
    return parts


def completion_logps(backbone: Backbone, pack: Pack) -> torch.Tensor:
    """(completion tokens,) log-probabilities in nats, fp32, in the order of the pack.

    Logits are computed for the tokens of completions only, a chunk at a time, and again in the
    backward pass: at a vocabulary of 150 000 they would take more memory than the model.
    """
    hidden = backbone.read(pack.ids, pack.plan)[pack.places]
    return by_chunk(_logps, backbone, hidden, pack.targets)[0]


def by_chunk(
    work: Callable[[Backbone, torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]],
    backbone: Backbone,
    hidden: torch.Tensor,
    targets: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """What `work(backbone, states, targets)` says of each token; logits are in memory a chunk at a time.

    Args:
        work: gives columns (tokens,) for states (tokens, hidden) and targets (tokens,).
        backbone: whose head makes the logits.
        hidden: (tokens, hidden).
        targets: (tokens,).

    Returns:
        The columns (tokens,) of all chunks; computed again in the backward pass, if there is one.
    """
    parts = []
    for states, chosen in zip(torch.split(hidden, CHUNK), torch.split(targets, CHUNK), strict=True):
        if states.requires_grad:
            parts.append(checkpoint(work, backbone, states, chosen, use_reentrant=False))
        else:
            parts.append(work(backbone, states, chosen))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _logps(backbone: Backbone, states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor]:
    logits = backbone.logits(states)
    return (logits.gather(-1, targets[:, None])[:, 0] - logits.logsumexp(-1),)
