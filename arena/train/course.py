"""A course: one training with all that it has; what all trainings begin and end with."""

import hashlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agents.errors import ConfigError
from arena import job
from arena.display import Display
from arena.problems import Problem, Source
from arena.rundir import RunFolder, replace_text
from arena.scribe import Stop
from arena.train.desk import Desk
from arena.train.trackers import Trackers

if TYPE_CHECKING:
    from agents.local import Local
    from rewards.judge import Judge

R = TypeVar("R")

PROMPTS = 64
"""Prompts of a course that takes them from a source without an end of its own."""


class Data(Protocol):
    """Where records come from: see `arena.corpus.reading.Corpus`."""

    skipped: Mapping[str, int]
    """Rows that made no record, by the reason."""

    def read(self, kind: type[R]) -> list[R]:
        """All records of a kind."""


@dataclass(frozen=True)
class Course:
    """One training: whose adapter, by which learner, from what, into which folder."""

    conf: str
    files: RunFolder
    display: Display
    stop: Stop
    trackers: Trackers
    seat: str
    policy: "Local"
    learner: Any
    judge: "Judge | None"
    data: Data | None
    heldout: Data | None
    problems: Source | None
    seed: int
    valid: float
    most: int
    count: int
    passes: int
    batch: int
    drafts: int
    save_every: int
    gain: bool = True
    measured: bool = False
    """Whether the conf says what arena.evaluate is to measure."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Alarms about the judge that were raised before the beginning."""
    started: float = field(default_factory=time.perf_counter)

    @property
    def desk(self) -> Desk:
        """What the learner has of the run."""
        return Desk(self.files, self.display, self.stop, self.seed, self.seat, self.trackers)

    def judged(self) -> "Judge":
        """The judge; ConfigError without one."""
        if self.judge is None:
            raise ConfigError(
                f"{type(self.learner).__name__} has what the agent writes rewarded: name a judge by "
                "judge=..., such as judge=rating, judge=critic, judge=reward_model or judge=reward_server"
            )
        return self.judge

    def records(self, kind: type[R]) -> tuple[list[R], list[R]]:
        """(train, held out) records of a kind.

        Raises:
            ConfigError: there are none, or the source has no such records.
        """
        from arena.corpus.split import hold_out

        if not 0 <= self.valid < 1:
            raise ConfigError(f"valid is a share of the data and must be in [0, 1), got {self.valid!r}")
        if self.problems is not None and kind is Problem:
            found: list[Any] = self.problems(self.count or PROMPTS, self.seed)
        else:
            found = self._read(self.data, kind)
            if kind is Problem and self.count:
                found = random.Random(f"count {self.seed}").sample(found, len(found))[: self.count]
        if self.heldout is None:
            train, valid = hold_out(found, self.valid, self.seed)
        else:
            valid = self._read(self.heldout, kind)
            train = self._apart(found, valid)
        if self.most:
            draw = random.Random(f"most {self.seed}")
            train, valid = (draw.sample(side, len(side))[: self.most] for side in (train, valid))
        self.files.agree("records", {"train": _digest(train), "held out": _digest(valid)})
        return train, valid

    def _apart(self, train: list[R], valid: list[R]) -> list[R]:
        """What is learned from, without what is held out.

        Raises:
            ConfigError: nothing is left.
        """
        from arena.corpus.split import group_of

        known = {group_of(record) for record in valid}  # type: ignore[arg-type]
        kept = [record for record in train if group_of(record) not in known]  # type: ignore[arg-type]
        if not kept:
            raise ConfigError("`data` and `heldout` hold the same prompts or papers: name other files")
        if len(kept) < len(train):
            text = f"{len(train) - len(kept)} records to learn from are held out too, and are left out"
            self.display.say("note", text=text)
        return kept

    def _read(self, data: Data | None, kind: type[R]) -> list[R]:
        if data is None:
            raise ConfigError(
                f"there is nothing to learn from: {type(self.learner).__name__} takes "
                f"{kind.__name__.lower()}s; name files, globs or run folders by data.paths=[...], "
                "or a part by data=NAME"
            )
        found = data.read(kind)
        if data.skipped:
            reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(data.skipped.items()))
            self.display.say("note", text=f"{len(found)} {kind.__name__.lower()}s read; left out: {reasons}")
        return found

    def begin(self, extent: str, steps: int = 0) -> None:
        """Refuse other weights than those on record, and show what begins.

        Args:
            extent: how much there is to learn from, in words.
            steps: of a course in which the agent writes.
        """
        identity = job.identity([self.policy], self.judge)
        self.files.agree("identity", identity)
        self.display.say(
            "start" if steps else "begin",
            conf=self.conf,
            folder=str(self.files.path),
            seats={self.seat: self.policy.name},
            learners=[self.seat],
            dialogues=steps * self.batch,
            turns=1,
            drafts=self.drafts,
            steps=steps,
            judge=judge_name(self.judge),
            extent=f"{type(self.learner).__name__}, {extent}",
            seed=self.seed,
            resumed=self.files.checkpoint() is not None,
            weights=identity,
        )
        job.warn_if_unguarded(self.files, self.display)

    def _next(self, adapter: Path) -> str:
        """The command that the adapter is for."""
        if (adapter / "reward_head.safetensors").exists():
            return f"python -m arena.run judge=reward_model judge.agent.adapter={adapter}"
        verb = "evaluate" if self.measured else "chat"
        return f"python -m arena.{verb} conf={self.conf} agents.{self.seat}.adapter={adapter}"

    def carry_out(self, work: Callable[[], None], alarms: Callable[[], Mapping[str, str]]) -> int:
        """Do the work, then write the report; returns the exit code."""
        from arena.train.train_report import train_report

        if not job.carry_out(self.files, self.display, self.conf, "train", work):
            return job.STOPPED
        raised = alarms()
        for name, text in raised.items():
            self.display.say("alarm", name=name, text=text)
        found = {**self.known, **raised}
        replace_text(self.files.path / "README.md", train_report(self.files, self.conf, found))
        adapter = self.files.path / "adapter"
        hints = [self._next(adapter), f"{self.files.path}/README.md"]
        job.finished(self.files, self.display, time.perf_counter() - self.started, found, hints)
        return 0


def _digest(records: Sequence[object]) -> str:
    """What a continued run must find again."""
    return f"{len(records)} records, {hashlib.sha256(repr(records).encode()).hexdigest()[:12]}"


def judge_name(judge: "Judge | None") -> str:
    """Who judges, in words."""
    if judge is None:
        return "none"
    if judge.agent is not None:
        return f"{judge}, {judge.agent.name}"
    return f"{judge}, the agent as it began" if judge.asks else str(judge)


def train_offline(course: Course) -> int:
    """Train from records; returns the exit code."""
    learner = course.learner
    judge: Sequence[Any] = [course.judged()] if learner.needs_judge else []
    train, heldout = course.records(learner.takes)
    kind = learner.takes.__name__.lower()
    course.begin(f"{len(train)} {kind}s, {len(heldout)} held out")
    return course.carry_out(
        lambda: learner.fit(course.policy, train, heldout, course.desk, *judge), lambda: {}
    )
