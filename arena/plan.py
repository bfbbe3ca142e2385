"""What a run will load and do: memory by part, turns, judge calls. Counted without weights."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.base import Agent
from agents.errors import ArenaError
from rewards.judge import Judge

if TYPE_CHECKING:
    from agents.local import Local
    from arena.train.learner import Learner

NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of one nf4 weight: 4 bits, 8 bits for a scale per 64, 32 per 256 of those (QLoRA, section 3)."""
BYTES = {"nf4": NF4, "bf16": 2.0, "fp32": 4.0}
EMBEDDERS = {
    "sentence-transformers/all-MiniLM-L6-v2": 22.7,
    "sentence-transformers/all-mpnet-base-v2": 109.5,
}
"""Published millions of parameters of sentence encoders."""


@dataclass(frozen=True)
class Part:
    """One thing in memory."""

    what: str
    gigabytes: float
    how: str


@dataclass(frozen=True)
class Work:
    """How much a run asks of its agents."""

    turns_of: Mapping[str, int]
    """Turns that each seat says."""
    drafts_of: Mapping[str, int]
    """Replies that each seat writes."""
    verdicts_of: Mapping[str, int]
    """Answers that each seat judges, or `judge`."""
    asks_ratings: bool
    asks_wim: bool

    @property
    def turns(self) -> int:
        """Turns that are said."""
        return sum(self.turns_of.values())

    @property
    def drafts(self) -> int:
        """Replies that are written."""
        return sum(self.drafts_of.values())

    @property
    def ratings(self) -> int:
        """Ratings that a judge is asked for."""
        return sum(self.verdicts_of.values()) if self.asks_ratings else 0

    @property
    def wims(self) -> int:
        """Times that a judge is asked what is missing."""
        return sum(self.verdicts_of.values()) if self.asks_wim else 0

    @property
    def judge_calls(self) -> int:
        """Everything that judges are asked."""
        return self.ratings + self.wims


def work(
    seats: Sequence[str], learners: Sequence[str], judge: Judge, dialogues: int, turns: int, drafts: int
) -> Work:
    """Count drafts and judge calls of a run: the seats speak in turn, and open the dialogues in turn."""
    turns_of = dict.fromkeys(seats, 0)
    performances = dict.fromkeys(seats, 0)
    for number in range(dialogues):
        speakers = [seats[(number + turn) % len(seats)] for turn in range(turns)]
        for seat in speakers:
            turns_of[seat] += 1
        for seat in set(speakers):
            performances[seat] += 1
    drafts_of = {seat: count * (drafts if seat in learners else 1) for seat, count in turns_of.items()}
    verdicts_of: dict[str, int] = {}
    for place, seat in enumerate(seats):
        by = "judge" if judge.agent is not None else seats[(place + 1) % len(seats)]
        verdicts_of[by] = verdicts_of.get(by, 0) + drafts_of[seat] + performances[seat]
    return Work(turns_of, drafts_of, verdicts_of, judge.rater.asks, judge.wim is not None)


def memory(agents: Mapping[str, Agent], judge: Judge, learners: Mapping[str, "Learner"]) -> list[Part]:
    """What will lie in memory at once; shared weights are counted once."""
    from agents.local import Local

    parts: dict[tuple[str, ...], Part] = {}
    shapes: dict[tuple[str, ...], Shape] = {}
    everyone: dict[str, Agent] = dict(agents) | ({"judge": judge.agent} if judge.agent else {})
    for seat, agent in everyone.items():
        if not isinstance(agent, Local):
            parts[(seat,)] = Part(f"{seat}: {agent.name}", 0.0, "elsewhere")
            continue
        shape = shapes[agent.source] = shapes.get(agent.source) or Shape.of(agent)
        sharing = {s: a for s, a in everyone.items() if isinstance(a, Local) and a.source == agent.source}
        tokens = min(other.batch_tokens for other in sharing.values())
        kept = min(other.kept_gb for other in sharing.values())
        bytes_ = shape.linear * BYTES[shape.precision] + shape.other * BYTES[shape.unquantised]
        how = f"{(shape.linear + shape.other) / 1e9:.2f} billion parameters, {shape.precision}"
        parts[agent.source] = Part(f"{agent.name} ({', '.join(sharing)})", bytes_ / 1e9, how)
        parts[(*agent.source, "cache")] = Part(
            f"{agent.name}: keys and values",
            shape.cache_bytes * tokens / 1e9 + kept,
            f"{tokens} tokens in flight, and {kept:g} GB kept",
        )
        if seat in learners:
            count = shape.adapter(learners[seat].rank, agent)
            size = count * (4 + 4 + (2 if shape.device == "cuda" else 8)) / 1e9
            parts[(seat, "adapter")] = Part(
                f"{seat}: adapter, gradient, optimiser", size, f"{count / 1e6:.1f} million parameters, fp32"
            )
    if judge.wim is not None:
        parts[("embedder",)] = _embedder(judge.wim.embedder.checkpoint)
    return list(parts.values())


def _embedder(checkpoint: str) -> Part:
    """A sentence encoder, in fp32: from its files where they lie here, else from its published size."""
    from agents.weights import at_hand

    name = checkpoint.rpartition("/")[2]
    found = at_hand(checkpoint)
    if found is not None:
        size = sum(file.stat().st_size for file in found.folder.glob("*.safetensors"))
        return Part(name, size / 1e9, "sentence embeddings")
    millions = EMBEDDERS.get(checkpoint, 0.0)
    how = "sentence embeddings" if millions else "sentence embeddings, of a size not known before it is here"
    return Part(name, millions * 4e-3, how)


@dataclass(frozen=True)
class Shape:
    """The sizes of a model that matter for memory."""

    linear: int
    """Weights in linear layers other than the output head: what is quantised."""
    other: int
    cache_bytes: float
    """Keys and values of one token, in bytes."""
    precision: str
    device: str
    widths: Mapping[str, tuple[int, int, int]]
    """Linear layer's name -> how many there are, inputs, outputs."""

    @property
    def unquantised(self) -> str:
        """The precision of embeddings and norms."""
        return "fp32" if self.precision == "fp32" else "bf16"

    def adapter(self, rank: int, agent: "Local") -> int:
        """Trainable parameters of a LoRA adapter of that rank on the family's targets."""
        targets = agent.lora_targets
        chosen = (
            self.widths
            if isinstance(targets, str)
            else {k: v for k, v in self.widths.items() if k in targets}
        )
        return sum(count * rank * (inputs + outputs) for count, inputs, outputs in chosen.values())

    @classmethod
    def of(cls, agent: "Local") -> "Shape":
        """Built on the meta device, from the configuration at hand: nothing is downloaded or allocated."""
        import torch
        from torch import nn
        from transformers import AutoModelForCausalLM

        from agents.backbone import pick_precision

        config = _config(agent)
        _, _, precision, device = agent.source
        device = (
            "cuda" if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()) else "cpu"
        )
        with torch.device("meta"):
            if config.model_type == "mixtral":
                from agents.experts import LinearMixtral, LinearMixtralConfig

                model = LinearMixtral(LinearMixtralConfig.of(config))
            else:
                model = AutoModelForCausalLM.from_config(config)
        widths: dict[str, tuple[int, int, int]] = {}
        for name, module in model.get_decoder().named_modules():
            if isinstance(module, nn.Linear):
                key = name.rpartition(".")[2]
                count = widths.get(key, (0, 0, 0))[0]
                widths[key] = (count + 1, module.in_features, module.out_features)
        linear = sum(count * inputs * outputs for count, inputs, outputs in widths.values())
        total = sum(parameter.numel() for parameter in model.parameters())
        heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        picked = pick_precision(precision, device)
        cache = 2 * config.num_hidden_layers * heads * width * (4 if picked == "fp32" else 2)
        return cls(linear, total - linear, cache, picked, device, widths)


def _config(agent: "Local") -> Any:
    """The checkpoint's own configuration where it lies on this machine, else the family's published one."""
    from transformers import AutoConfig

    from agents.weights import at_hand

    checkpoint, revision = agent.source[:2]
    found = at_hand(checkpoint, revision)
    if found is not None:
        return AutoConfig.from_pretrained(found.folder, local_files_only=True)
    if checkpoint != type(agent).checkpoint:
        raise ArenaError(
            f"the size of {checkpoint!r} is not known before it is on this machine: "
            f"download it first, or plan with the family's own checkpoint {type(agent).checkpoint!r}"
        )
    return AutoConfig.for_model(**agent.architecture)


def available() -> tuple[float, str]:
    """(gigabytes, of what) that a run can use here: the GPUs' free memory, else the main memory."""
    import torch

    if torch.cuda.is_available():
        free = sum(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
        return free / 1e9, f"free on {torch.cuda.device_count()} GPU(s)"
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, "of main memory, no GPU"


def lines(parts: Sequence[Part], asked: Work) -> list[str]:
    """The plan in words."""
    total = sum(part.gigabytes for part in parts)
    have, where = available()
    text = [f"  {part.gigabytes:7.2f} GB  {part.what} — {part.how}" for part in parts]
    text.append(f"  {total:7.2f} GB  in all; this machine has {have:.1f} GB {where}")
    if total > 0.9 * have:
        text.append(
            "  DOES NOT FIT: take smaller agents (agent@agents.SEAT=llama, qwen, smollm), precision=nf4, "
            "a smaller agents.SEAT.batch_tokens, or a machine with more memory"
        )
    else:
        text.append("  fits")
    text.append(
        f"  {asked.turns} turns, {asked.drafts} drafts, {asked.judge_calls} judge calls "
        f"({asked.ratings} ratings, {asked.wims} times what is missing)"
    )
    return text
