"""Local: an agent whose weights are on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from agents import backbone as backbones
from agents import decoding as decodings
from agents.base import Agent, Prompt
from agents.dialogue import Reply
from agents.errors import ConfigError
from agents.scoring import Batch, completion_logps
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
        batch_size: prompts that are read at once.
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
        batch_size: int = 16,
    ) -> None:
        """Take the settings; nothing is loaded."""
        super().__init__(system, max_new_tokens)
        self.source = (checkpoint or self.checkpoint, revision or self.revision, precision, device)
        if not self.source[0]:
            raise ConfigError(f"{type(self).__name__} has no checkpoint of its own: name one by checkpoint=")
        self.decoding = decoding or decodings.Sampling()
        self.batch_size = batch_size
        self.adapter = ""
        self.updates = 0
        self._template: Template | None = None

    @property
    def name(self) -> str:
        """The checkpoint's short name."""
        return Path(self.source[0]).name

    @property
    def version(self) -> str:
        """`adapter@updates`, or `""` for the bare checkpoint."""
        return f"{self.adapter}@{self.updates}" if self.adapter else ""

    @property
    def backbone(self) -> "Backbone":
        """The shared weights; loaded when first asked for."""
        return backbones.load(*self.source)

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
        """From now on speak with a fresh adapter, to be trained by a learner."""
        self.backbone.add_adapter(adapter, lora)
        self.adapter, self.updates = adapter, 0

    def fixed(self) -> "Local":
        """This agent on the bare checkpoint: the same weights without the adapter that learns."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__, adapter="", updates=0)
        return twin

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """`n` replies to each prompt, decoded in batches."""
        rows = [self.prompt_ids(prompt) for prompt in prompts]
        seeds = seeds or range(len(rows))
        replies: list[list[Reply]] = []
        step = max(1, self.batch_size // n)
        with self.backbone.speaking_as(self.adapter):
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                drafts = self.decoding.generate(
                    self.backbone,
                    rows[part],
                    n,
                    limit=max_new_tokens or self.max_new_tokens,
                    ends=self.ends,
                    seeds=seeds[part],
                )
                replies += [
                    [self._reply(draft, len(row)) for draft in drafted]
                    for row, drafted in zip(rows[part], drafts, strict=True)
                ]
        return replies

    def _reply(self, draft: decodings.Sampled, tokens_in: int) -> Reply:
        raw = self.backbone.tokenizer.decode(draft.ids, skip_special_tokens=True)
        text, thinking = split_thinking(raw)
        return Reply(text, "stop" if draft.ended else "length", draft.ids, tokens_in, thinking)

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
        rows = [self.prompt_ids(prompt) for prompt in prompts]
        said = [self.completion_ids(reply) for reply in replies]
        out: list[list[float]] = []
        with self.backbone.speaking_as(self.adapter), torch.no_grad():
            for start in range(0, len(rows), self.batch_size):
                part = slice(start, start + self.batch_size)
                batch = Batch.of(rows[part], said[part], self.backbone.device)
                logps = completion_logps(self.backbone, batch).tolist()
                out += [row[: len(ids)] for row, ids in zip(logps, said[part], strict=True)]
        return out

    def rate(
        self, prompts: Sequence[Prompt], labels: Sequence[str], lead: str = ""
    ) -> list[tuple[list[float], float]]:
        """Label probabilities from one prefill (and one token more where a label begins another)."""
        spelled = [self.template.text_ids(lead + label) for label in labels]
        shared = decodings.shared_prefix(spelled)
        endings = [ids[shared:] for ids in spelled]
        rows = [self.template.ids(prompt) + spelled[0][:shared] for prompt in prompts]
        out: list[tuple[list[float], float]] = []
        with self.backbone.speaking_as(self.adapter), torch.no_grad():
            for start in range(0, len(rows), self.batch_size):
                state = decodings.prefill(self.backbone, rows[start : start + self.batch_size])
                out += _label_probabilities(state, endings)
        return out


def _label_probabilities(
    state: decodings.State, labels: Sequence[Sequence[int]]
) -> list[tuple[list[float], float]]:
    """Probabilities of labels of one or two tokens, the first of which may begin another ("1", "10")."""
    if any(len(label) > 2 for label in labels):
        raise ConfigError("a label takes more than two tokens of this tokenizer: choose shorter labels")
    firsts = sorted({label[0] for label in labels})
    place = {token: column for column, token in enumerate(firsts)}
    logits = state.backbone.label_logits(state.hidden, firsts)
    mass = state.backbone.logits(state.hidden).softmax(-1)[:, firsts].sum(-1)
    share = logits.softmax(-1)  # (batch, first tokens)
    columns = [share[:, place[label[0]]] for label in labels]
    for first in sorted({label[0] for label in labels if len(label) == 2}):
        state.feed(torch.full_like(state.positions, first))
        after = state.backbone.logits(state.hidden).softmax(-1)
        state.drop_last()
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
