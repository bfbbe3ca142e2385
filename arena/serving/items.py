"""Items: what a reward is asked for, and how a judge is given them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from agents.base import Agent
from agents.dialogue import Message, Reply
from arena.seeds import seed_of
from rewards.judge import Judge
from rewards.verdict import Case, Verdict


@dataclass(frozen=True)
class Item:
    """One completion that is to be judged."""

    id: str
    """Whatever the client calls it; comes back with the reward."""
    prompt: tuple[Message, ...]
    """What the completion answers; at least one message."""
    completion: str

    @property
    def key(self) -> str:
        """A digest of prompt and completion: the same for equal items, whatever they are called.

        >>> Item("a", (), "x").key == Item("b", (), "x").key != Item("a", (), "y").key
        True
        """
        content = json.dumps([self.prompt, self.completion])
        return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def rate(judge: Judge, agent: Agent, seed: int, items: Sequence[Item]) -> list[Verdict]:
    """One verdict per item, in order.

    What a judge draws depends on the seed and the item's content, not on its id or its neighbours: equal
    items get equal rewards as far as the judge is deterministic.

    Raises:
        RuntimeError: the judge returned another number of verdicts.
    """
    cases = [Case(item.key, _topic(item), item.prompt, Reply(item.completion)) for item in items]
    verdicts = judge.rate(agent, cases, [seed_of(seed, "reward", case.id) for case in cases])
    if len(verdicts) != len(items):
        raise RuntimeError(f"the judge gave {len(verdicts)} verdicts on {len(items)} items")
    return verdicts


def _topic(item: Item) -> str:
    """What the conversation began with."""
    asked = [message["content"] for message in item.prompt if message["role"] != "system"]
    return asked[0] if asked else ""
