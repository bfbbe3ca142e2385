"""Local: an agent whose weights are on this machine."""

import os
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from agents import adapters
from agents import backbone as backbones
from agents import decoding as decodings
from agents.base import Agent, Call, Prompt
from agents.dialogue import Reply
from agents.engine import Engine, Sampled
from agents.errors import ConfigError
from agents.flight import Ask
from agents.prefixes import Node
from agents.reader import PASS
from agents.reader import Prompt as ReadPrompt
from agents.scoring import Group, Pack, completion_logps, packs
from agents.template import Template, split_thinking

if TYPE_CHECKING:
    from agents.backbone import Backbone, Lora


class Local(Agent):
    """Speaks with weights of this machine. A model family is a subclass that holds only differences.

    Constructing one touches no disk; the weights come with the first use and are shared with every
    agent of the same checkpoint, revision, precision and device.

    Args:
        checkpoint: a name for `agents.weights.resolve`; default: the family's own.
        revision: of the hub repository; default: the family's own.
        system: the persona; `{topic}` stands for the topic.
        precision: `auto`, `nf4`, `bf16` or `fp32`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        decoding: `Sampling` (default) or `Contrastive`.
        max_new_tokens: the most tokens of one reply.
        batch_tokens: tokens that all rows in flight hold together, at least 1; the smallest number
            that agents on the same weights ask for is the one that counts.
        kept_gb: gigabytes of keys and values that stay for the next prompt that begins alike.
        adapter: a LoRA adapter to speak with: its folder, or the run folder of a learner; `""` for the
            bare checkpoint. What the agent learns later begins there, and is held against it.
    """

    checkpoint: ClassVar[str] = ""
    revision: ClassVar[str] = "main"
    architecture: ClassVar[dict[str, Any]] = {}
    """The published configuration of the family's checkpoint, for plans and for random weights."""
    lora_targets: ClassVar[str | tuple[str, ...]] = "all-linear"
    folds_system: ClassVar[bool] = False
    """Whether the chat template has no system role."""
    template_options: ClassVar[dict[str, Any]] = {}
    turn_ends: ClassVar[tuple[str, ...]] = ()
    """Tokens that end a turn, beside the tokenizer's own end-of-sequence token; the usual one first."""
    spelled_delimiters: ClassVar[tuple[str, ...]] = ()
    """What the template writes around turns that may be no tokens of their own but plain text."""

    reads_labels = True

    def __init__(
        self,
        checkpoint: str = "",
        revision: str = "",
        system: str = "",
        precision: str = "auto",
        device: str = "auto",
        decoding: decodings.Decoding | None = None,
        max_new_tokens: int = 256,
        batch_tokens: int = 16384,
        kept_gb: float = 1.0,
        adapter: str = "",
    ) -> None:
        """Take the settings; nothing is loaded."""
        super().__init__(system, max_new_tokens)
        self.source = (checkpoint or self.checkpoint, revision or self.revision, precision, device)
        if not self.source[0]:
            raise ConfigError(f"{type(self).__name__} has no checkpoint of its own: name one by checkpoint=")
        self.decoding = decoding or decodings.Sampling()
        if batch_tokens < 1 or kept_gb < 0:
            raise ConfigError(
                f"batch_tokens must be at least 1 and kept_gb at least 0, got {batch_tokens!r}, {kept_gb!r}"
            )
        self.batch_tokens, self.kept_gb = batch_tokens, kept_gb
        self.initial = adapter
        self.updates = 0
        self._learned = ""
        self._reference: str | None = None
        self._template: Template | None = None

    @property
    def name(self) -> str:
        """The checkpoint's short name."""
        return Path(self.source[0]).name

    @property
    def version(self) -> str:
        """`adapter@updates` of what it learns, else its initial adapter, `""` for the bare checkpoint."""
        return f"{self._learned}@{self.updates}" if self._learned else self.reference

    @property
    def adapter(self) -> str:
        """The adapter that speaks, by its name on the weights; `""` for the bare checkpoint."""
        return self._learned or self.reference

    @property
    def reference(self) -> str:
        """The adapter that it began with, which learning is held against; `""` for the bare checkpoint."""
        if self.initial and self._reference is None:
            self._reference = self.backbone.take_adapter(adapters.stored(self.initial))
        return self._reference or ""

    @property
    def backbone(self) -> "Backbone":
        """The shared weights; loaded when first asked for."""
        return backbones.load(*self.source)

    @property
    def engine(self) -> Engine:
        """The engine of the shared weights, within this agent's budget."""
        engine = self.backbone.engine
        engine.tokens = min(engine.tokens, self.batch_tokens)
        engine.prefixes.limit = min(engine.prefixes.limit, int(self.kept_gb * 1e9))
        return engine

    @property
    def company(self) -> Hashable:
        """Agents on the same weights."""
        return self.source

    @property
    def voice(self) -> Hashable:
        """Agents of one family on the same weights, with the same adapter and way of decoding."""
        return type(self), self.source, self.adapter, self.decoding

    @property
    def template(self) -> Template:
        """The chat template, with this family's policy."""
        if self._template is None:
            self._template = Template(
                self.backbone.tokenizer, self.folds_system, self.template_options, self.spelled_delimiters
            )
        return self._template

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end a turn."""
        tokenizer, generation = self.backbone.tokenizer, self.backbone.model.generation_config
        named = getattr(generation, "eos_token_id", None)
        found = {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named]), *self._turn_ends}
        return frozenset(found - {None})

    @property
    def _turn_ends(self) -> list[int]:
        vocabulary = self.backbone.tokenizer.get_added_vocab()
        return [vocabulary[token] for token in self.turn_ends if token in vocabulary]

    def learn_as(self, adapter: str, lora: "Lora") -> None:
        """From now on speak with an adapter to be trained: a fresh one, or a copy of the initial one.

        Raises:
            ConfigError: the initial adapter has another shape than `lora`.
        """
        if self.initial:
            found = adapters.stored(self.initial)
            found.check_shape(lora.rank, lora.alpha)
            lora = replace(lora, targets=found.targets)
        self.backbone.add_adapter(adapter, lora)
        if self.reference:
            self.backbone.load_adapter_state(adapter, self.backbone.adapter_state(self.reference))
        self._learned, self.updates = adapter, 0

    def fixed(self) -> "Local":
        """This agent without the adapter that learns: as it began."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__, _learned="", updates=0)
        return twin

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """`n` replies to each prompt, decoded in one batch."""
        return self.reply_calls([Call(self, prompts, n, seeds, max_new_tokens)])[0]

    def reply_calls(self, calls: Sequence[Call]) -> list[list[list[Reply]]]:
        """Replies of several agents on the same weights, each with its own adapter, in one batch."""
        asked = [call.agent._asks(call) for call in calls if isinstance(call.agent, Local)]
        drafts = iter(decodings.write(self.engine, [ask for asks in asked for ask in asks]))
        return [
            [[self._reply(draft, len(ask.prompt.ids)) for draft in next(drafts)] for ask in asks]
            for asks in asked
        ]

    def _asks(self, call: Call) -> list[Ask]:
        limit = call.max_new_tokens or self.max_new_tokens
        return [
            Ask(self._prompt(prompt), self.decoding, call.n, limit, self.ends, seed)
            for prompt, seed in zip(call.prompts, call.seeds or range(len(call.prompts)), strict=True)
        ]

    def _reply(self, draft: Sampled, tokens_in: int) -> Reply:
        raw = self.backbone.tokenizer.decode(draft.ids, skip_special_tokens=True)
        text, thinking = split_thinking(raw)
        return Reply(text, "stop" if draft.ended else "length", draft.ids, tokens_in, thinking)

    def _prompt(self, prompt: Prompt, lead: Sequence[int] = ()) -> ReadPrompt:
        """A prompt for the engine; others may share all but its last message, or all but the lead."""
        asked = prompt[:-1] if prompt[-1]["role"] == "assistant" else prompt
        ids = (*self.prompt_ids(prompt), *lead)
        cuts = (self.template.shared(asked, ids), len(self.prompt_ids(asked)))
        return ReadPrompt(ids, self.adapter, cuts)

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt. One that ends with an assistant message is to be gone on from there."""
        if prompt[-1]["role"] != "assistant":
            return self.template.ids(prompt)
        return self.template.ids(prompt[:-1]) + self.template.text_ids(prompt[-1]["content"])

    def completion_ids(self, reply: Reply) -> list[int]:
        """The tokens of a reply: those that were sampled, else its text and an end of turn."""
        if reply.ids:
            return list(reply.ids)
        end = (*self._turn_ends, self.backbone.tokenizer.eos_token_id)[0]
        return [*self.template.text_ids(reply.text), end]

    def logps(self, prompts: Sequence[Prompt], replies: Sequence[Reply]) -> list[list[float]]:
        """Log-probability in nats of each token of each reply, given its prompt."""
        groups = [
            (self.prompt_ids(prompt), [self.completion_ids(reply)])
            for prompt, reply in zip(prompts, replies, strict=True)
        ]
        with torch.no_grad():
            return self.engine.attempt(lambda: self._score(groups))

    def _score(self, groups: Sequence[Group]) -> list[list[float]]:
        out: list[list[float]] = []
        with self.backbone.speaking_as(self.adapter):
            for part in packs(groups, min(self.engine.tokens, PASS)):
                pack = Pack.of([groups[i] for i in part], self.backbone.device)
                rows = torch.split(completion_logps(self.backbone, pack), list(pack.lengths))
                out += [row.tolist() for row in rows]
        return out

    def rate(
        self, prompts: Sequence[Prompt], labels: Sequence[str], lead: str = ""
    ) -> list[tuple[list[float], float]]:
        """Label probabilities from one prefill (and one token more where a label begins another).

        What was read stays for whoever goes on from the same prompt, such as a question for what is missing.
        """
        if not prompts:
            return []
        spelled = [self.template.text_ids(lead + label) for label in labels]
        shared = len(os.path.commonprefix(spelled))
        shared = min(shared, *(len(ids) - 1 for ids in spelled))
        rows = [self._prompt(prompt, spelled[0][:shared]) for prompt in prompts]
        nodes = self.engine.read(rows)
        return self._label_probabilities(nodes, [ids[shared:] for ids in spelled])

    def _label_probabilities(
        self, nodes: Sequence[Node], labels: Sequence[Sequence[int]]
    ) -> list[tuple[list[float], float]]:
        """Probabilities of labels of one or two tokens, the first of which may begin another ("1", "10")."""
        if any(len(label) > 2 for label in labels):
            raise ConfigError("a label takes more than two tokens of this tokenizer: choose shorter labels")
        states = torch.stack([node.hidden for node in nodes])
        firsts = sorted({label[0] for label in labels})
        place = {token: column for column, token in enumerate(firsts)}
        share = self.backbone.label_logits(states, firsts).softmax(-1)  # (nodes, first tokens)
        mass = self.backbone.logits(states).softmax(-1)[:, firsts].sum(-1)
        columns = [share[:, place[label[0]]] for label in labels]
        for first in sorted({label[0] for label in labels if len(label) == 2}):
            after = self.backbone.logits(self.engine.after(nodes, self.adapter, first)).softmax(-1)
            seconds = {i: label[1] for i, label in enumerate(labels) if len(label) == 2 and label[0] == first}
            taken = after[:, list(seconds.values())].sum(-1)
            for i, label in enumerate(labels):
                if i in seconds:
                    columns[i] = columns[i] * after[:, seconds[i]]
                elif label[0] == first:
                    columns[i] = columns[i] * (1 - taken)
        probs = torch.stack(columns, -1)
        probs = probs / probs.sum(-1, keepdim=True)
        return list(zip(probs.tolist(), mass.tolist(), strict=True))
