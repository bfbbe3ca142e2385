"""Supervised examples mixed into a policy's updates, so that it keeps what it was taught."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agents.dialogue import Reply
from agents.errors import ConfigError
from arena.seeds import seed_of
from rewards.verdict import Example

if TYPE_CHECKING:
    from agents.local import Local
    from agents.scoring import Group


class Supervised:
    """Draws examples and adds the gradients of their loss (Ouyang et al. 2022, Eq. 2, the last term).

    Args:
        agent: the policy.
        corpus: an `arena.corpus.Corpus`: `read(Example)` gives the examples.
        count: examples of one draw, at least 1.
        seed: which examples are drawn depends on it and on the name of the draw alone.

    Raises:
        ConfigError: the corpus has no example with a weight.
    """

    def __init__(self, agent: "Local", corpus: Any, count: int, seed: int) -> None:
        """Read the corpus."""
        self.agent, self.count, self.seed = agent, count, seed
        self.examples: list[Example] = [e for e in corpus.read(Example) if e.weight > 0]
        if not self.examples:
            raise ConfigError(
                "ptx has no example with a weight above 0: give it other paths, or set train.ptx=null"
            )

    def draw(self, name: str) -> list[Example]:
        """`count` different examples, or all of them where there are fewer."""
        draw = random.Random(seed_of(self.seed, "ptx", name))
        return draw.sample(self.examples, min(self.count, len(self.examples)))

    def group(self, example: Example) -> "Group":
        """Its prompt and its completion as token ids."""
        return self.agent.prompt_ids(example.prompt), [self.agent.completion_ids(Reply(example.completion))]

    def accumulate(self, examples: Sequence[Example], coef: float, micro_tokens: int) -> float:
        """Add the gradients of `coef` times the loss; whoever calls has chosen the adapter that speaks.

        Returns:
            The loss: negative log-likelihood in nats per completion token, examples by their weights.
        """
        import torch

        from agents.scoring import completion_logps
        from arena.train.rollout import packed

        backbone, groups = self.agent.backbone, [self.group(example) for example in examples]
        weights = [example.weight for example in examples]
        total = sum(w * len(own) for w, (_, [own]) in zip(weights, groups, strict=True))
        loss = 0.0
        for part, pack in packed(groups, range(len(groups)), micro_tokens, backbone.device):
            logps = completion_logps(backbone, pack)
            each = torch.tensor([weights[i] for i in part], device=logps.device)
            each = each.repeat_interleave(torch.tensor(pack.lengths, device=logps.device))
            share = -(each * logps).sum() / total
            (coef * share).backward()  # type: ignore[no-untyped-call]
            loss += float(share.detach())
        return loss
