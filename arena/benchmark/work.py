"""The fixed work: real topics, real prompts, and replies of an exact number of tokens.

Two sides can be compared only if they do the same. So no reply ends early, on any side, and whatever
is asked of our agents is put on record to be asked again, word for word, of another.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from agents.base import Agent, Call, Prompt
from agents.decoding import Sampling
from agents.dialogue import Dialogue, Message, Reply
from agents.errors import ArenaError, ConfigError
from agents.local import Local
from arena.topics import Shipped

DRAWN = 64
"""Topics that the prompts are made of."""
TOKENS_PER_WORD = 1.3
"""Of English, about."""
NEVER = -1e4
"""The logit of a token that may not come; finite, so that no gradient becomes NaN."""


@dataclass(frozen=True)
class Asked:
    """What an agent was asked once, and how long it took."""

    prompts: tuple[Prompt, ...]
    seconds: float
    """Of a batch that agents share, the part of the new tokens that were this one's."""
    drafts: int = 0
    """Replies to each prompt; 0 for a rating."""
    limit: int = 0
    labels: tuple[str, ...] = ()
    lead: str = ""
    read: tuple[int, ...] = ()
    """Tokens of each prompt, where replies were asked for."""
    written: tuple[int, ...] = ()
    """New tokens in answer to each prompt."""
    agent: Agent | None = None
    """Who was asked."""

    def again(self, agent: Agent, every: int) -> "Asked":
        """Ask every `every`-th prompt of another agent.

        Raises:
            ArenaError: it read or wrote another number of tokens than is on record.
        """
        prompts = self.prompts[::every]
        start = time.perf_counter()
        if not self.drafts:
            agent.rate(prompts, self.labels, self.lead)
            return replace(self, prompts=prompts, seconds=time.perf_counter() - start)
        replies = agent.reply(prompts, self.drafts, max_new_tokens=self.limit)
        took = time.perf_counter() - start
        found = replace(asked(Call(agent, prompts, self.drafts, (), self.limit), replies), seconds=took)
        if (found.read, found.written) != (self.read[::every], self.written[::every]):
            raise ArenaError(
                f"the work is not equal: {sum(found.read)} tokens read and {sum(found.written)} written, "
                f"{sum(self.read[::every])} and {sum(self.written[::every])} on record"
            )
        return found


class Recorded(Local):
    """A local agent whose replies never end early, and that keeps a record of what it is asked."""

    calls: list[Asked]
    silenced: frozenset[int]
    """The tokens that would end a turn, and do not come."""

    @property
    def ends(self) -> frozenset[int]:
        """None: every reply has as many tokens as it may."""
        return frozenset()

    def reply_calls(self, calls: Sequence[Call]) -> list[list[list[Reply]]]:
        """As the agent does."""
        start = time.perf_counter()
        found = super().reply_calls(calls)
        took = time.perf_counter() - start
        record = [asked(call, replies) for call, replies in zip(calls, found, strict=True)]
        together = sum(sum(one.written) for one in record)
        self.calls += [replace(one, seconds=took * sum(one.written) / together) for one in record]
        return found

    def rate(
        self, prompts: Sequence[Prompt], labels: Sequence[str], lead: str = ""
    ) -> list[tuple[list[float], float]]:
        """As the agent does."""
        start = time.perf_counter()
        rated = super().rate(prompts, labels, lead)
        took = time.perf_counter() - start
        self.calls.append(Asked(tuple(prompts), took, labels=tuple(labels), lead=lead, agent=self))
        return rated


def asked(call: Call, replies: Sequence[Sequence[Reply]]) -> Asked:
    """A call on record, which took no time yet.

    Raises:
        ArenaError: a reply has another number of tokens than was asked for.
    """
    limit = call.max_new_tokens or call.agent.max_new_tokens
    written = tuple(sum(len(reply.ids) for reply in own) for own in replies)
    if set(written) != {call.n * limit}:
        raise ArenaError(f"{call.n} replies of exactly {limit} tokens were asked for, found {set(written)}")
    read = tuple(own[0].tokens_in for own in replies)
    return Asked(tuple(call.prompts), 0.0, call.n, limit, read=read, written=written, agent=call.agent)


@contextmanager
def recorded(agents: Mapping[str, Agent], new_tokens: int) -> Iterator[dict[str, Recorded]]:
    """The agents on the same weights, as `Recorded` ones with one record in common.

    Raises:
        ConfigError: an agent has no weights on this machine.
    """
    calls: list[Asked] = []
    found = {}
    with ExitStack() as stack:
        for seat, agent in agents.items():
            if not isinstance(agent, Local):
                raise ConfigError(
                    f"the seat {seat!r} has no weights here ({type(agent).__name__}): only local agents can "
                    "be measured; name one by agent@agents.SEAT=..."
                )
            kind = type(type(agent).__name__, (Recorded, type(agent)), {})
            twin: Recorded = object.__new__(kind)
            found[seat] = twin
            twin.__dict__.update(agent.__dict__, calls=calls, max_new_tokens=new_tokens, silenced=agent.ends)
            stack.enter_context(unending(agent.backbone.model, twin.silenced))
        yield found


@contextmanager
def unending(model: Any, ends: frozenset[int]) -> Iterator[None]:
    """While the body runs, a causal language model does not end its turn, whoever samples from it.

    Else a text would hold ends of turns in its middle, which no template gives back.
    """
    places = torch.tensor(sorted(ends))

    def silence(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_fill_(-1, places.to(logits.device), NEVER)

    hook = model.get_output_embeddings().register_forward_hook(silence)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def own_attention(model: Any) -> Iterator[None]:
    """While the body runs, a model attends as transformers itself has it, not by our engine's plans."""
    before = model.config._attn_implementation
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def sampling(agent: Local) -> Sampling:
    """How an agent samples.

    Raises:
        ConfigError: it decodes in another way, which others have not.
    """
    if not isinstance(agent.decoding, Sampling):
        raise ConfigError(
            f"{type(agent.decoding).__name__} decoding cannot be compared with others: "
            "set decoding@agents.SEAT.decoding=sampling"
        )
    return agent.decoding


def dialogues(seats: Sequence[str], count: int, seed: int, in_turn: bool = True) -> list[Dialogue]:
    """Dialogues on shipped topics drawn by the seed; the seats open them in turn, or the first opens all."""
    openers = seats if in_turn else seats[:1]
    topics = Shipped()(count, seed, {})
    return [Dialogue(f"d{i:04d}", topic, openers[i % len(openers)]) for i, topic in enumerate(topics)]


def passages(count: int, tokens: int, seed: int) -> list[list[Message]]:
    """`count` prompts of about `tokens` tokens, made of shipped topics; no two begin in the same way."""
    topics = Shipped()(DRAWN, seed, {})
    words = round(tokens / TOKENS_PER_WORD)
    found = []
    for place in range(count):
        first = place % DRAWN
        text = " ".join([f"{place + 1}.", *topics[first:], *topics[:first]])
        found.append([Message(role="user", content=" ".join(text.split()[:words]))])
    return found
