"""The ancestor's way: one prompt at a time through transformers' own `generate`, all read anew each time.

Each draft is a call of its own with its own keys and values; a rating is read from one forward pass over
the whole prompt; what is missing is one call. The model is transformers' own, as it loads one.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from agents.backbone import Backbone
from agents.base import Agent, Prompt
from agents.dialogue import Reply
from agents.errors import ConfigError
from agents.loading import load_model
from agents.local import Local
from agents.packing import Packed
from arena.benchmark.work import Asked, Recorded, own_attention, sampling, unending


class Sequential(Agent):
    """Speaks as a local agent does, one prompt at a time.

    Args:
        agent: whose checkpoint, template and sampling are used, without its adapter; as on record, none
            of its replies ends early.
    """

    reads_labels = True

    def __init__(self, agent: Local) -> None:
        """Take the agent, and load the model."""
        super().__init__(agent.system, agent.max_new_tokens)
        self.agent, self.decoding = agent, sampling(agent)
        self._model = stock(agent.backbone)
        self._silenced = agent.silenced if isinstance(agent, Recorded) else agent.ends

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """`n` replies to each prompt, one after the other; `seeds` is not followed."""
        limit = max_new_tokens or self.max_new_tokens
        return [[self._reply(self.agent.prompt_ids(prompt), limit) for _ in range(n)] for prompt in prompts]

    @torch.no_grad()
    def _reply(self, row: list[int], limit: int) -> Reply:
        ids = torch.tensor([row], device=self.agent.backbone.device)
        with self._as_it_is(), unending(self._model, self._silenced):
            out = self._model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, **self._sampling()
            )
        said = out[0, len(row) :].tolist()
        text = self.agent.backbone.tokenizer.decode(said, skip_special_tokens=True)
        return Reply(text, "length", tuple(said), len(row))

    @contextmanager
    def _as_it_is(self) -> Iterator[None]:
        """While the body runs, the model is transformers' own in all it does."""
        with self.agent.backbone.speaking_as(""), own_attention(self._model):
            yield

    def _sampling(self) -> dict[str, Any]:
        chosen, tokenizer = self.decoding, self.agent.backbone.tokenizer
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        if chosen.temperature == 0:
            return {"do_sample": False, "pad_token_id": pad}
        return {
            "do_sample": True,
            "temperature": chosen.temperature,
            "top_p": chosen.top_p,
            "top_k": 0,
            "min_p": chosen.min_p or None,
            "pad_token_id": pad,
        }

    @torch.no_grad()
    def rate(
        self, prompts: Sequence[Prompt], labels: Sequence[str], lead: str = ""
    ) -> list[tuple[list[float], float]]:
        """Probabilities of the labels' first tokens: one pass cannot tell 10 from 1, which is the cheaper."""
        template, backbone = self.agent.template, self.agent.backbone
        words = template.text_ids(lead)
        firsts = [template.text_ids(lead + label)[len(words)] for label in labels]
        found = []
        for prompt in prompts:
            ids = torch.tensor([template.ids(prompt) + words], device=backbone.device)
            with self._as_it_is():
                logits = self._model(ids, use_cache=False, logits_to_keep=1).logits[0, -1]
            chances = logits.float().softmax(-1)[firsts]
            found.append(((chances / chances.sum()).tolist(), float(chances.sum())))
        return found


@functools.lru_cache(maxsize=8)
def stock(backbone: Backbone) -> Any:
    """The model of a backbone as transformers loads it; the very same where we have changed nothing."""
    if any(isinstance(layer, Packed) for layer in backbone.model.modules()):
        return load_model(backbone.weights.folder, backbone.precision, str(backbone.device), "sdpa")
    return backbone.model


@dataclass(frozen=True)
class Replayed:
    """A part of a record that was asked again of another."""

    dialogues: float
    """As many as the part is worth."""
    seconds: float

    @property
    def per_hour(self) -> float:
        """Dialogues per hour."""
        return self.dialogues * 3600 / self.seconds


def replay(calls: Sequence[Asked], dialogues: int, every: int) -> Replayed:
    """Ask every `every`-th prompt of each call that `dialogues` dialogues made, one at a time.

    Raises:
        ConfigError: that is no whole number of prompts.
    """
    if any(len(call.prompts) % every for call in calls):
        raise ConfigError(
            f"of {dialogues} dialogues 1 prompt in {every} cannot be taken: let dialogues be a multiple of "
            "the number of seats"
        )
    agents = [Sequential(call.agent) for call in calls if isinstance(call.agent, Recorded)]
    took = [call.again(agent, every).seconds for call, agent in zip(calls, agents, strict=True)]
    return Replayed(dialogues / every, sum(took))
