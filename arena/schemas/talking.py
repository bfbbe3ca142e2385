"""The settings of commands in which agents talk: arena.run, collect, revise, serve."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from arena.schemas.common import Common, defaults_of


@dataclass
class Run(Common):
    """What a run of the arena is made of."""

    defaults: list[Any] = field(default_factory=lambda: defaults_of("smollm_duo"))
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

    defaults: list[Any] = field(default_factory=lambda: defaults_of("by_difficulty"))
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

    defaults: list[Any] = field(default_factory=lambda: defaults_of("self_feedback"))
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
class Serve(Common):
    """What a reward server is made of."""

    defaults: list[Any] = field(default_factory=lambda: defaults_of("reward_server"))
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
