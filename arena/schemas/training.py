"""The settings of commands that train, or talk with what was trained: arena.train, study, chat."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from omegaconf import MISSING

from arena.schemas.common import Common, defaults_of, named


@dataclass
class Train(Common):
    """What training an adapter is made of."""

    defaults: list[Any] = field(default_factory=lambda: defaults_of("practice"))
    hydra: Any = field(default_factory=lambda: named("runs/${run_name:}"))
    verb: str = "train"
    persona: str = ""
    """What the agent is told; nothing by default, since records speak for themselves."""
    judge: Any = None
    """Who rewards what the agent writes, for learners that let it write."""
    train: Any = MISSING
    """The learner."""
    data: Any = None
    """The records that it learns from; for a learner that lets the agent write, its prompts."""
    heldout: Any = None
    """The records that it is measured on; null: a share of `data`."""
    valid: float = 0.1
    """The share of `data` that is held out where `heldout` is null, in [0, 1)."""
    most: int = 0
    """The most records to learn from, and to hold out, drawn by the seed from each side; 0: all."""
    problems: Any = None
    """Where prompts come from, instead of `data`."""
    count: int = 0
    """How many prompts; 0: all of `data`, 64 of `problems`."""
    passes: int = 1
    """Of online_dpo and ppo: how often each prompt is written to; other learners have train.epochs."""
    batch: int = 8
    """Of online_dpo and ppo: prompts of one step; others have train.batch or train.batch_size."""
    drafts: int = 4
    """Of online_dpo and ppo: texts that are written to each prompt of a step; others have train.drafts."""
    save_every: int = 10
    """Of online_dpo and ppo: steps between checkpoints; others have train.save_every."""
    gain: bool = True
    """Of online_dpo and ppo: whether the held-out prompts are answered and judged before and after."""
    report_to: list[str] = field(default_factory=list)
    """Trackers that get every row of metrics: tensorboard, wandb, trackio, mlflow, comet_ml, ..."""
    stages: list[str] = field(default_factory=list)
    """Confs that are trained one after the other instead; arena.evaluate of this conf compares them."""
    evaluation: Any = None
    """What arena.evaluate measures."""


@dataclass
class Chat(Train):
    """What a talk in the terminal is made of: `agents.policy` is who answers."""

    takes: ClassVar[tuple[str, ...]] = ("train", "chat")
    defaults: list[Any] = field(default_factory=lambda: defaults_of("talk"))
    stream: bool = True
    """Whether words appear as they are written."""


@dataclass
class Scale:
    """How big a study is."""

    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    settings: list[str] = field(default_factory=list)
    """Settings of every arm, as on the command line, which comes after them."""


@dataclass
class Study(Train):
    """What a study of several arms and seeds is made of: the conf trains one arm as it stands."""

    defaults: list[Any] = field(default_factory=lambda: defaults_of("wim_study"))
    hydra: Any = field(default_factory=lambda: named("runs/${hydra:runtime.choices.conf}-${scale}"))
    verb: str = "study"
    trains: str = MISSING
    """The conf that every arm trains."""
    arms: dict[str, list[str]] = MISSING
    """Arm -> the settings in which it differs, as on the command line."""
    control: str = MISSING
    """The arm that the others are compared with."""
    contrasts: list[list[str]] = field(default_factory=list)
    """Pairs of arms whose difference is what the study asks for: the first less the second."""
    drafts_of: str = MISSING
    """The arm on whose drafts the judge is looked at by itself."""
    scales: dict[str, Scale] = MISSING
    """The sizes that the study has."""
    scale: str = "laptop"
    """One of `scales`."""
    seeds: list[int] = field(default_factory=list)
    """Default: those of the scale."""
    only: list[str] = field(default_factory=list)
    """Arms to train and no more, for machines that share a study; a last command without it reports."""
