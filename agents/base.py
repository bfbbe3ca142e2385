"""Agent: whoever can take a seat. Batches go in, batches come out; an agent holds no conversation."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from agents.dialogue import Message, Reply
from agents.errors import Unavailable, Unsupported

Prompt = Sequence[Message]


@dataclass(frozen=True)
class Call:
    """What `Agent.reply` is asked."""

    agent: "Agent"
    prompts: Sequence[Prompt]
    n: int = 1
    seeds: Sequence[int] = ()
    max_new_tokens: int = 0


class Agent:
    """Answers batches of prompts. Subclasses implement `reply`, and what else they can.

    Args:
        system: the persona, as a system message; `{topic}` stands for the topic.
        max_new_tokens: the most tokens of one reply.
    """

    reads_labels: bool = False
    """Whether `rate` can read label probabilities (else a judge must parse text)."""

    def __init__(self, system: str = "", max_new_tokens: int = 256) -> None:
        """Take the persona and the limit."""
        self.system = system
        self.max_new_tokens = max_new_tokens

    @property
    def name(self) -> str:
        """What is speaking: the checkpoint, the endpoint's model, the script."""
        return type(self).__name__.lower()

    @property
    def version(self) -> str:
        """The version of the adapter that speaks, `""` for none."""
        return ""

    def fixed(self) -> "Agent":
        """This agent without what it learns: a judge that does not move. Itself, if it never learns."""
        return self

    @property
    def company(self) -> Hashable:
        """Agents of equal company can reply in one batch (`reply_together`)."""
        return id(self)

    @property
    def voice(self) -> Hashable:
        """Agents of equal voice say the same to the same prompt and seed, their limit apart."""
        return id(self)

    def reply_calls(self, calls: Sequence[Call]) -> list[list[list[Reply]]]:
        """What agents of this one's company reply to each call."""
        return [
            call.agent.reply(call.prompts, call.n, seeds=call.seeds, max_new_tokens=call.max_new_tokens)
            for call in calls
        ]

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """`n` independent replies to each prompt.

        Args:
            prompts: message lists, each ending with a user message.
            n: replies per prompt.
            seeds: one number per prompt; equal seeds give equal replies. Default: the prompt's position.
            max_new_tokens: this call's limit; default: the agent's own.

        Returns:
            One list of `n` replies per prompt, in order.
        """
        raise Unsupported(f"{type(self).__name__} cannot speak; take a subclass that implements `reply`")

    def outcomes(
        self,
        prompts: Sequence[Prompt],
        *,
        seeds: Sequence[int] = (),
        max_new_tokens: int = 0,
        patience: int = 0,
    ) -> list[Reply | Unavailable]:
        """One reply to each prompt, or why it got none. Here all stand or fall together.

        Args:
            prompts: as for `reply`.
            seeds: as for `reply`.
            max_new_tokens: as for `reply`.
            patience: after so many failures in a row nothing more is asked, and the remaining prompts
                get the last error; 0 asks to the end.

        Returns:
            One outcome per prompt, in order.
        """
        try:
            drafts = self.reply(prompts, 1, seeds=seeds, max_new_tokens=max_new_tokens)
        except Unavailable as error:
            return [error] * len(prompts)
        return [reply for [reply] in drafts]

    def logps(self, prompts: Sequence[Prompt], replies: Sequence[Reply]) -> list[list[float]]:
        """Log-probability in nats of each token of each reply, given its prompt."""
        raise Unsupported(
            f"{type(self).__name__} gives no log-probabilities; a local agent (agents.families) does"
        )

    def perplexity(self, prompts: Sequence[Prompt], replies: Sequence[Reply]) -> list[float]:
        """Exp of the mean negative log-probability per token of each reply; at least 1."""
        return [math.exp(-sum(row) / len(row)) for row in self.logps(prompts, replies)]

    def rate(
        self, prompts: Sequence[Prompt], labels: Sequence[str], lead: str = ""
    ) -> list[tuple[list[float], float]]:
        """How likely the agent answers each prompt with each label, after the words `lead`.

        Returns:
            Per prompt, the probabilities of the labels (summing to 1) and the mass that all labels
            together had of the whole vocabulary, in [0, 1].
        """
        raise Unsupported(f"{type(self).__name__} gives no label probabilities; let the judge parse text")


def reply_together(calls: Sequence[Call]) -> list[list[list[Reply]]]:
    """The replies to each call; agents that share weights write in one batch."""
    done: dict[int, list[list[Reply]]] = {}
    for company in dict.fromkeys(call.agent.company for call in calls):
        own = [i for i, call in enumerate(calls) if call.agent.company == company]
        found = calls[own[0]].agent.reply_calls([calls[i] for i in own])
        done |= dict(zip(own, found, strict=True))
    return [done[i] for i in range(len(calls))]
