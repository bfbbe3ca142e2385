"""The plan of collecting feedback: who answers, who teaches, by which rules, and what is on record."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.base import Agent
from agents.errors import ConfigError
from arena.feedback.events import TEACHER, Feedback
from arena.feedback.floor import Floor
from arena.feedback.routing import Routing
from rewards.pairwise import Pairwise
from rewards.rubric import form


@dataclass(frozen=True)
class Gathering:
    """Who answers, who teaches, by which rules."""

    floor: Floor
    """Seats: the students, and `teacher`."""
    routing: Routing
    pairwise: Pairwise
    samples: int = 1
    """Answers of each student to each problem, at least 1; feedback is given on the first."""
    pair_truncated: bool = False
    """Whether texts that were cut at the token limit may make a pair."""
    rewrite: str = "rewrite"
    """The form in which a student is shown a comment."""
    comment_tokens: int = 0
    """The most tokens of a comment; 0: the teacher's own limit."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """Turn id -> mean negative log-likelihood on record, nats per token."""
    compared: Mapping[str, Feedback] = field(default_factory=dict)
    """Comparisons on record, by the feedback's id."""

    @property
    def students(self) -> list[str]:
        """The seats that answer."""
        return [seat for seat in self.floor.seats if seat != TEACHER]

    @property
    def teacher(self) -> Agent:
        """Who gives feedback."""
        return self.floor.seats[TEACHER]

    def check(self) -> None:
        """Refuse settings that cannot work; ConfigError says what to do."""
        if not self.students:
            raise ConfigError("nobody answers: seat a student by +agent@agents.NAME=smollm")
        form(self.rewrite, comment="")  # a wrong name is better known before the answers than after
        if self.samples < 1:
            raise ConfigError(f"samples must be at least 1, got {self.samples}")
        if "preference" in self.routing.asked and len(self.students) == 1 and self.samples < 2:
            raise ConfigError(
                "preference compares two answers, and there is one student with one: seat a second "
                "student, or set samples=2, or take an assignment without p"
            )
        for seat in self.students:
            if type(self.floor.seats[seat]).logps is Agent.logps:
                raise ConfigError(
                    f"{seat} gives no log-probabilities, from which difficulty is measured: seat a local "
                    "model or agent=served, or let the model on the server be the teacher"
                )
        whose = self.routing.whose
        if whose != "mean" and whose not in self.students:
            raise ConfigError(f"whose={whose!r} is no student; allowed are mean, {', '.join(self.students)}")
