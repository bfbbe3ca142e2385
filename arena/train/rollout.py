"""A rollout: what a policy wrote in one step, what that is worth, and what is known of each token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from agents.local import Local
    from agents.scoring import Group, Pack
    from arena.loop import Exchange


@dataclass(frozen=True)
class Branch:
    """A prompt and the drafts of it that were judged. They stay together: the prompt is read once for all."""

    group: "Group"
    scores: tuple[float, ...]
    """The judge's rewards."""
    truncated: tuple[bool, ...]
    """Whether each draft was cut at the token limit."""

    @property
    def lengths(self) -> list[int]:
        """Tokens of each draft."""
        return [len(completion) for completion in self.group[1]]


def branches(agent: "Local", exchanges: Sequence["Exchange"]) -> tuple[list[Branch], int]:
    """The samples of a step, and how many drafts are none.

    An abstention is no sample, nor is a reward on another scale than most have: it could not be compared.

    Raises:
        ConfigError: a draft has no sampled tokens, so that nothing wrote it whose probability could be known.
    """
    scales = [v.scale for exchange in exchanges for v in exchange.verdicts if v.reward is not None]
    common = max(sorted(set(scales)), key=scales.count, default="")
    found, drafts = [], 0
    for exchange in exchanges:
        drafts += len(exchange.drafts)
        judged = [
            (turn, verdict.reward)
            for turn, verdict in zip(exchange.drafts, exchange.verdicts, strict=True)
            if verdict.reward is not None and verdict.scale == common
        ]
        if any(not turn.reply.ids for turn, _ in judged):
            raise ConfigError(
                f"a draft of {exchange.dialogue.id} has no sampled tokens: a policy learns from what it "
                "wrote itself, so seat a local agent, and let nothing else write its drafts"
            )
        if judged:
            group = agent.prompt_ids(exchange.prompt), [list(turn.reply.ids) for turn, _ in judged]
            scores = tuple(reward for _, reward in judged)
            found.append(Branch(group, scores, tuple(turn.reply.truncated for turn, _ in judged)))
    return found, drafts - sum(len(branch.scores) for branch in found)


@dataclass(frozen=True)
class Rollout:
    """A step's samples with what PPO needs to know of each of their tokens; all before the update."""

    branches: Sequence[Branch]
    tokens: "Sequence[torch.Tensor]"
    """Per branch (4, tokens): old log-probability, old value, advantage, return."""
    numbers: dict[str, float]
    """Statistics of the whole rollout."""


def packed(
    groups: Sequence["Group"], numbers: Sequence[int], micro_tokens: int, device: "torch.device"
) -> Iterator[tuple[list[int], "Pack"]]:
    """The groups with these numbers in passes of up to `micro_tokens` tokens, and who is in each."""
    from agents.scoring import Pack, packs

    chosen = [groups[number] for number in numbers]
    for part in packs(chosen, micro_tokens):
        yield [numbers[i] for i in part], Pack.of([chosen[i] for i in part], device)
