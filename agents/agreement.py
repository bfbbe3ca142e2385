"""Agreement: whether a server samples from the weights that learn from its replies.

Engines differ in kernels and precision, so the same weights give a token slightly different
probabilities. Reported differences of vLLM from a trainer, on the same weights: a standard deviation of
0.05 nats a token, 0.48 at most, against transformers in bf16, and 0.04 against fp32 (Qwen2.5-0.5B,
huggingface/trl, issue 6789); 0.03 (root mean square) in bf16 with an fp32 head (ServiceNow/Fast-LLM, pull
request 525). TRL and verl correct what is left by truncated importance sampling (Yao et al. 2025, "Your
efficient RL framework secretly brings you off-policy RL training"); DPO has no such term, so here a
difference beyond the tolerance is reported.

The check tells another checkpoint, revision, tokenizer or temperature; it cannot tell an adapter that is
a few small updates old, whose difference is below that of the engines.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean

from agents.base import Agent, Prompt
from agents.dialogue import Reply

TOLERANCE = 0.1
"""Default bound of `Agreement.mean`, in nats: about twice what bf16 engines show (0.04 of vLLM 0.32)."""


@dataclass(frozen=True)
class Spoken:
    """A reply, and what the server says of its tokens."""

    reply: Reply
    logps: tuple[float, ...] = ()
    """Log-probability in nats of each of `reply.ids`, before temperature; empty where unknown."""


@dataclass(frozen=True)
class Agreement:
    """Log-probabilities of the same tokens, here and at the server."""

    tokens: int
    mean: float
    """Mean absolute difference, in nats a token."""
    largest: float
    """Largest absolute difference of one token, in nats."""
    ratio: float
    """Mean importance ratio of a token, exp(log-probability here - there); 1 where both are equal."""

    @classmethod
    def of(cls, here: Sequence[Sequence[float]], there: Sequence[Sequence[float]]) -> "Agreement":
        """Compare token by token; both sides have equally many, and at least one.

        >>> found = Agreement.of([[-1.0, -2.0]], [[-1.0, -2.5]])
        >>> (found.tokens, found.mean, found.largest, round(found.ratio, 3))
        (2, 0.25, 0.5, 1.324)
        """
        pairs = zip(chain(*here), chain(*there), strict=True)
        differences = [ours - theirs for ours, theirs in pairs]
        sizes = [abs(difference) for difference in differences]
        return cls(len(sizes), fmean(sizes), max(sizes), fmean(map(math.exp, differences)))

    def __str__(self) -> str:
        """In words."""
        return (
            f"{self.tokens} tokens, {self.mean:.4f} nats apart on average, {self.largest:.3f} at most, "
            f"importance ratio {self.ratio:.4f}"
        )


def compare(agent: Agent, prompts: Sequence[Prompt], spoken: Sequence[Spoken]) -> Agreement:
    """How far `agent`'s own log-probabilities are from the server's.

    Args:
        agent: gives log-probabilities, such as a local agent of the checkpoint that the server has.
        prompts: one per reply.
        spoken: what the server said. Replies whose log-probabilities it did not tell are left out; there
            is at least one other.
    """
    known = [(prompt, said) for prompt, said in zip(prompts, spoken, strict=True) if said.logps]
    here = agent.logps([prompt for prompt, _ in known], [said.reply for _, said in known])
    return Agreement.of(here, [said.logps for _, said in known])
