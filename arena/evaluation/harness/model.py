"""A local agent as lm-eval sees a model: every likelihood and every text comes from our own engine.

https://github.com/EleutherAI/lm-evaluation-harness. So what is measured is what was trained: the same weights
in the same precision, the same adapter, the same chat template. This module needs the extra `lm-eval`.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from agents import decoding
from agents.backbone import Backbone
from agents.dialogue import Message
from agents.errors import ConfigError
from agents.flight import Ask
from agents.local import Local
from agents.reader import PASS, Prompt
from agents.scoring import Group, Pack, by_chunk, packs
from agents.template import conform, split_thinking
from arena.seeds import seed_of

AT_ONCE = 64
"""Requests whose answers are written down together."""
NEW_TOKENS = 256
"""The limit of a text where its task sets none; lm-eval's own default."""
TAKEN = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}
"""What a task can say of how a text is written."""

Scored = tuple[float, bool]
"""Log-probability in nats of a continuation, and whether greedy decoding would have written it."""


@dataclass(frozen=True)
class Memory:
    """Answers that are on record, and where new ones go."""

    known: Mapping[str, Mapping[str, Any]]
    """Rows with `text`, `logp` and `greedy`, by the key of their request."""
    write: Callable[[str, str, float, bool], object]
    """Is given a key, a text, a log-probability and whether it is greedy."""
    progress: Callable[[str, int, int], object]
    """Is given what is asked, how many are done, and of how many."""


class Seat(TemplateLM):  # type: ignore[misc]
    """Answers lm-eval's requests with a local agent.

    Args:
        agent: who is measured, with its adapter.
        chat: whether prompts are those of the chat template.
        memory: answers of this agent that are on record.
        seed: of texts that a task wants sampled.
    """

    def __init__(self, agent: Local, chat: bool, memory: Memory, seed: int = 0) -> None:
        """Load the weights."""
        super().__init__()
        self.agent, self.chat, self.memory, self.seed = agent, chat, memory, seed
        self.tokenizer = agent.backbone.tokenizer
        longest = getattr(agent.backbone.model.config, "max_position_embeddings", None)
        self.longest: int = longest or sys.maxsize
        """Tokens that the model reads."""
        self.long: set[str] = set()
        """Keys of the requests whose prompt is longer than what the model reads."""

    @property
    def cut(self) -> int:
        """Requests whose beginning was left out, now or when they were answered."""
        return len(self.long)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """The token that a text without a prompt is scored after."""
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else int(begin)

    @property
    def tokenizer_name(self) -> str:
        """The checkpoint."""
        return self.agent.name

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids. The tokenizer's own first token is added unless it is there, or the prompt is a chat."""
        ids = list(self.tokenizer(string, add_special_tokens=False)["input_ids"])
        begin = list(self.tokenizer("")["input_ids"])
        if add_special_tokens is False or self.chat or ids[: len(begin)] == begin:
            return ids
        return [*begin, *ids]

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The text of a chat up to where the agent speaks, or goes on with its last message."""
        messages = [Message(role=each["role"], content=each["content"]) for each in chat_history]
        begun = messages.pop()["content"] if messages[-1]["role"] == "assistant" else ""
        template = self.agent.template
        text = self.tokenizer.apply_chat_template(
            conform(messages, template.folds_system),
            tokenize=False,
            add_generation_prompt=True,
            **template.options,
        )
        return f"{text}{begun}"

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[Scored]:
        """Scores of continuations of prompts, without a bar of lm-eval's."""
        found: list[Scored] = super().loglikelihood(requests, disable_tqdm=True)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probabilities in nats of whole texts, in windows of what the model reads."""
        pairs, owners = [], []
        for number, request in enumerate(requests):
            windows = get_rolling_token_windows(
                self.tok_encode(request.args[0], add_special_tokens=False),
                self.prefix_token_id,
                self.longest - 1,
                1,
            )
            for place, window in enumerate(map(make_disjoint_window, windows)):
                pairs.append(((request.args[0], f"window {place}"), *window))
                owners.append(number)
        totals = [0.0] * len(requests)
        for owner, (logp, _) in zip(owners, self._loglikelihood_tokens(pairs), strict=True):
            totals[owner] += logp
        return totals

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[Scored]:
        """Scores of continuations; those of one prompt are scored in one reading of it."""
        keys = [_key("score", texts, self.chat) for texts, _, _ in requests]
        found = {k: (row["logp"], row["greedy"]) for k, row in self.memory.known.items() if k in set(keys)}
        pairs = {key: pair for key, (_, *pair) in zip(keys, requests, strict=True)}
        prompts: dict[tuple[int, ...], list[str]] = {}
        for key, (context, continuation) in pairs.items():
            if not continuation:
                raise ConfigError("a choice of this task has no token: mend the task's doc_to_choice")
            read = self._read(key, context, len(continuation))
            if key not in found:
                prompts.setdefault(read, []).append(key)
        asked = list(prompts.items())
        for start in range(0, len(asked), AT_ONCE):
            part = asked[start : start + AT_ONCE]
            scores = self._score([(context, [pairs[key][1] for key in own]) for context, own in part])
            for key, (logp, greedy) in zip((key for _, own in part for key in own), scores, strict=True):
                self.memory.write(key, "", logp, greedy)
                found[key] = logp, greedy
            self.memory.progress("likelihoods", len(found), len(set(keys)))
        return [found[key] for key in keys]

    def _read(self, key: str, context: Sequence[int], further: int) -> tuple[int, ...]:
        """The prompt of a request, of which the model reads the end if it is too long."""
        room = max(self.longest - further, 1)
        if len(context) > room:
            self.long.add(key)
        return tuple(context[-room:])

    def _score(self, groups: Sequence[Group]) -> list[Scored]:
        engine, backbone = self.agent.engine, self.agent.backbone

        def work() -> list[Scored]:
            found: list[Scored] = []
            with backbone.speaking_as(self.agent.adapter):
                for part in packs(groups, min(engine.tokens, PASS)):
                    pack = Pack.of([groups[i] for i in part], backbone.device)
                    states = backbone.read(pack.ids, pack.plan)[pack.places]
                    logps, greedy = by_chunk(_greedy, backbone, states, pack.targets)
                    parts = (torch.split(column, list(pack.lengths)) for column in (logps, greedy))
                    found += [(float(p.sum()), bool(g.all())) for p, g in zip(*parts, strict=True)]
            return found

        with torch.no_grad():
            return engine.attempt(work)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What the agent writes to each prompt, greedily unless the task says otherwise."""
        keys = [
            _key(f"write {number if _samples(request.args[1]) else 0}", request.args, self.chat)
            for number, request in enumerate(requests)
        ]
        found = {key: row["text"] for key, row in self.memory.known.items() if key in set(keys)}
        asked = {}
        for key, (text, wanted) in {k: r.args for k, r in zip(keys, requests, strict=True)}.items():
            settings = _settings(wanted)
            read = self._read(key, self.tok_encode(text), settings["max_gen_toks"])
            asked[key] = read, settings
        new = [key for key in asked if key not in found]
        for start in range(0, len(new), AT_ONCE):
            part = new[start : start + AT_ONCE]
            for key, text in zip(part, self._write({key: asked[key] for key in part}), strict=True):
                self.memory.write(key, text, 0.0, False)
                found[key] = text
            self.memory.progress("texts", len(found), len(set(keys)))
        return [found[key] for key in keys]

    def _write(self, asked: Mapping[str, tuple[tuple[int, ...], dict[str, Any]]]) -> list[str]:
        """Texts to prompts with their settings, by the key of the request, from which their seeds are."""
        contexts = [context for context, _ in asked.values()]
        shared = len(os.path.commonprefix(contexts)) if len(contexts) > 1 else 0
        shared = min(shared, *(len(context) - 1 for context in contexts))
        asks = [
            Ask(
                Prompt(context, self.agent.adapter, (shared,)),
                decoding.Sampling(own["temperature"], own.get("top_p", 1.0)),
                1,
                own["max_gen_toks"],
                self.agent.ends,
                seed_of(self.seed, "lm-eval", key),
            )
            for key, (context, own) in asked.items()
        ]
        texts = []
        for [draft], (_, own) in zip(decoding.write(self.agent.engine, asks), asked.values(), strict=True):
            text, _ = split_thinking(self.tokenizer.decode(draft.ids, skip_special_tokens=True))
            texts.append(_until(text, own["until"]))
        return texts


def _greedy(
    backbone: Backbone, states: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens,) log-probabilities in nats, and whether each token is the likeliest."""
    logits = backbone.logits(states)
    logps = logits.gather(-1, targets[:, None])[:, 0] - logits.logsumexp(-1)
    return logps, logits.argmax(-1) == targets


def _settings(wanted: dict[str, Any]) -> dict[str, Any]:
    """How a text is written, in lm-eval's own reading of what the task says.

    Raises:
        ConfigError: the task wants what the engine does not do.
    """
    found: dict[str, Any] = normalize_gen_kwargs(wanted, NEW_TOKENS)
    if odd := sorted(set(found) - TAKEN):
        raise ConfigError(
            f"a task wants generation_kwargs {', '.join(odd)}; texts are written by "
            f"{', '.join(sorted(TAKEN))}: take another task, or a copy of its YAML file without them in "
            "evaluation.folder"
        )
    return found


def _samples(wanted: dict[str, Any]) -> bool:
    return bool(_settings(wanted)["temperature"])


def _until(text: str, stops: Sequence[str]) -> str:
    """`text` up to the first stop."""
    for stop in filter(None, stops):
        text = text.partition(stop)[0]
    return text


def _key(kind: str, request: Sequence[Any], chat: bool) -> str:
    """What a request is known by."""
    spelled = json.dumps([kind, chat, *request], sort_keys=True)
    return hashlib.sha256(spelled.encode("utf-8", "replace")).hexdigest()[:24]
