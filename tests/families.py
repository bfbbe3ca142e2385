"""Tiny random checkpoints of each model family, on its real architecture, tokens and chat format."""

import functools
import math
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from agents import families
from agents.attention import Branches
from agents.local import Local

torch.set_num_threads(1)  # matrices as small as these only wait for other threads

TEMPLATES = Path(__file__).parent / "templates"
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}
"""Linear layers in multiples of 64, which is the block of nf4; wide weights, so that context matters."""

WORDS = ("the", "an", "in", "er", "you", "say", "what", "rating", "model", "user")


@dataclass(frozen=True, eq=False)
class Family:
    """What tells the checkpoints of one family from those of another."""

    agent: type[Local]
    config: type[transformers.PreTrainedConfig]
    template: str
    bos: str
    eos: str
    control: tuple[str, ...] = ()
    """Special tokens beside `bos` and `eos`."""
    added: tuple[str, ...] = ()
    """Added tokens that are not special."""
    options: dict[str, Any] = field(default_factory=dict)
    padded: bool = False
    """Whether the vocabulary has places to the next multiple of 64 that no token takes, as most have."""

    @property
    def name(self) -> str:
        """The name of the agent's class."""
        return self.agent.__name__


MIXTRAL = Family(
    families.Mixtral,
    transformers.MixtralConfig,
    "mixtral",
    "<s>",
    "</s>",
    options={"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
)
MISTRAL = Family(
    families.Mistral,
    transformers.MistralConfig,
    "mistral",
    "<s>",
    "</s>",
    ("[INST]", "[/INST]"),
    options={"sliding_window": None},
    padded=True,
)
LLAMA = Family(
    families.Llama,
    transformers.LlamaConfig,
    "llama",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
)
QWEN = Family(
    families.Qwen,
    transformers.Qwen3Config,
    "chatml",
    "<|endoftext|>",
    "<|im_end|>",
    ("<|im_start|>",),
    added=("<think>", "</think>"),
    options={"tie_word_embeddings": True},
    padded=True,
)
GEMMA = Family(
    families.Gemma,
    transformers.Gemma3TextConfig,
    "gemma",
    "<bos>",
    "<eos>",
    ("<start_of_turn>", "<end_of_turn>"),
    added=("\n\n",),
    options={
        "tie_word_embeddings": False,  # tied, a random Gemma only repeats its last token
        "attention_bias": True,
        "query_pre_attn_scalar": 16,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
    },
)
SMOLLM = Family(
    families.SmolLM,
    transformers.LlamaConfig,
    "chatml",
    "<|endoftext|>",
    "<|im_end|>",
    ("<|im_start|>",),
    options={"tie_word_embeddings": True},
)
FAMILIES = (MIXTRAL, MISTRAL, LLAMA, QWEN, GEMMA, SMOLLM)


def merges(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """The merges of a byte-level BPE that make one token of each word, letter by letter."""
    pairs = [(word[:end], word[end]) for word in words for end in range(1, len(word))]
    return list(dict.fromkeys(pairs))


def tokenizer(family: Family, words: tuple[str, ...] = WORDS) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE with the family's added tokens, which has one token for each of `words`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*alphabet, *(left + right for left, right in merges(words))]
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges(words)))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(t, special=True) for t in (family.bos, family.eos, *family.control)])
    core.add_tokens([AddedToken(token, special=False, normalized=False) for token in family.added])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=family.bos,
        eos_token=family.eos,
        chat_template=(TEMPLATES / f"{family.template}.jinja").read_text(),
    )


def save(family: Family, folder: Path, words: tuple[str, ...] = WORDS) -> Path:
    """Write a random checkpoint of `family` to `folder`; always the same weights."""
    tokens = tokenizer(family, words)
    config = family.config(
        **SIZES,
        **family.options,
        vocab_size=64 * math.ceil(len(tokens) / 64) if family.padded else len(tokens),
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = transformers.AutoModelForCausalLM.from_config(config)
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.data.normal_(std=0.2)  # not the zeros of a fresh one
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


@functools.cache
def plain(folder: Path) -> Any:
    """The checkpoint as transformers itself loads it in fp32, for computations without any cleverness."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def read(folder: Path, ids: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (tokens, vocabulary) and last states (tokens, hidden) of one row, read without a cache."""
    out = plain(folder)(torch.tensor([list(ids)]), output_hidden_states=True, use_cache=False)
    return out.logits[0], out.hidden_states[-1][0]


def states(backbone: Any, ids: Sequence[int]) -> torch.Tensor:
    """Last states (tokens, hidden) of one row, as our own backbone reads it."""
    plan = Branches(((len(ids), ()),), backbone.device)
    read: torch.Tensor = backbone.read(torch.tensor(list(ids), device=backbone.device), plan)
    return read


def greedy(folder: Path, row: Sequence[int], limit: int, ends: Collection[int] = ()) -> list[int]:
    """The likeliest continuation, reading everything anew for every token."""
    said: list[int] = []
    while len(said) < limit and not (said and said[-1] in ends):
        said.append(int(read(folder, [*row, *said])[0][-1].argmax()))
    return said


def rows(*lengths: int, shared: int = 0) -> list[list[int]]:
    """Rows of arbitrary byte tokens, `shared` of them in common and then as many as `lengths` says."""
    draw = random.Random(3)
    start = [draw.randrange(256) for _ in range(shared)]
    return [start + [draw.randrange(256) for _ in range(length)] for length in lengths]
