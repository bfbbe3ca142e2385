"""What comes of working on answers: events of the loops that collect feedback and that revise."""

from collections.abc import Sequence
from dataclasses import dataclass

from agents.base import Agent
from agents.dialogue import Message, Reply, Turn
from arena.feedback.floor import Said, Unsaid
from arena.problems import Problem
from rewards.verdict import Case, Example, Preference, Verdict

TEACHER = "teacher"
"""The seat of whoever gives feedback to others."""


@dataclass(frozen=True)
class Work:
    """A problem that is worked on, as a dialogue with an id."""

    id: str
    problem: Problem

    def turn_id(self, number: int, draft: str = "a") -> str:
        """The id of a draft of a turn."""
        return f"{self.id}.{number:02d}{draft}"

    def view(self, agent: Agent, *after: Message) -> tuple[Message, ...]:
        """The problem as `agent` sees it, and what came after it."""
        system = agent.system.replace("{topic}", self.problem.question)
        persona = [Message(role="system", content=system)] if system else []
        return (*persona, *self.problem.prompt, *after)

    def case(self, turn: Turn, reply: Reply | None = None) -> Case:
        """An answer to this problem, to be judged; `reply` where not all that was said counts."""
        problem = self.problem
        return Case(
            turn.id, problem.question, problem.prompt, reply or turn.reply, reference=problem.reference
        )


@dataclass(frozen=True)
class Measured:
    """How likely a student found its own answers."""

    turns: tuple[Turn, ...]
    nll: tuple[float, ...]
    """Mean negative log-likelihood of each answer, nats per token."""
    done: int
    of: int
    seconds: float


@dataclass(frozen=True)
class Staged:
    """A part of something is done."""

    what: str
    done: int
    of: int
    seconds: float


@dataclass(frozen=True)
class Routed:
    """What a problem's difficulty is, and which feedback it gets."""

    work: Work
    difficulty: float
    """Nats per token; 0.0 where there is no group."""
    group: str
    """`""` for a problem that is not grouped."""
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Feedback:
    """One piece of feedback, and what came of it."""

    id: str
    kind: str
    """`critique`, `refinement`, `preference`, `feedback`, `panel`, `comparison`."""
    about: str
    by: str
    status: str
    """Of a comparison: `about`, `other`, `tie`, `flipped`, or why it abstains; of a stop verdict: as
    `rewards.stopping` says; else `given` or why there is none."""
    outcome: str
    """`pair`, `revised`, `stopped`, ... or why nothing came of it."""
    other: str = ""
    comment: str = ""
    result: str = ""
    score: float | None = None
    """In 1..10; of a comparison the probability in [0, 1] that `about` is better, over both orders."""
    overruled: bool = False
    raw: str = ""


@dataclass(frozen=True)
class Given:
    """Feedback was given; with the pair that came of it, if one did."""

    feedback: Feedback
    preference: Preference | None = None
    speaker: str = ""
    """Whose the chosen answer is."""


@dataclass(frozen=True)
class Rated:
    """A judge has rated answers and revisions."""

    judge: str
    verdicts: tuple[Verdict, ...]
    kinds: tuple[str, ...]
    """Of each: `answer` or `revision`."""
    done: int
    of: int
    seconds: float


@dataclass(frozen=True)
class Preferred:
    """A judge's ratings make a pair."""

    preference: Preference
    speaker: str
    judge: str


@dataclass(frozen=True)
class Made:
    """A chain became an example for supervised learning."""

    example: Example
    speaker: str


Event = Said | Unsaid | Measured | Staged | Routed | Given | Rated | Preferred | Made


def messages(*said: tuple[str, str]) -> Sequence[Message]:
    """Messages of (role, content)."""
    return [Message(role=role, content=content) for role, content in said]
