"""Training from what the agent writes: prompts, drafts, rewards, updates; and what was gained in the end."""

from collections.abc import Sequence
from dataclasses import asdict

from agents.errors import ConfigError
from arena import alarms
from arena.problems import Problem
from arena.records import problem_of
from arena.session import Session, on_record
from arena.train.course import Course
from arena.train.gain import gain
from arena.train.practice import Practice, practise, presentations


def train_online(course: Course) -> int:
    """Let the agent write to prompts, be rewarded and learn; returns the exit code."""
    for key in ("passes", "batch", "drafts", "save_every"):
        if getattr(course, key) < 1:
            raise ConfigError(f"{key} must be at least 1, got {getattr(course, key)}")
    if course.drafts < course.learner.least_drafts:
        raise ConfigError(
            f"{type(course.learner).__name__} compares drafts of one prompt: drafts must be at least "
            f"{course.learner.least_drafts}, got {course.drafts}"
        )
    judge = course.judged()
    judge.ready(course.policy)
    train, heldout = course.records(Problem)
    table = _table(course, train)
    course.begin(
        f"{len(table.problems)} prompts, {course.batch} in a step, {course.drafts} drafts each, "
        f"{len(heldout)} prompts held out",
        steps=len(table.problems) // course.batch,
    )
    course.learner.attach(course.policy, course.seat)
    session = Session(
        course.files, table, {course.seat: course.learner}, course.display, course.stop, course.save_every,
        course.trackers,
    )  # fmt: skip

    def work() -> None:
        for event in practise(table, course.seat, course.batch):
            session.take(event)
        session.save(session.trained)
        course.desk.finish(course.learner.save)
        if course.gain and len(heldout) > 1:
            course.desk.check()
            found = gain(course.policy, judge, heldout, course.seed, session.scribe)
            course.desk.evaluated(session.trained, found)
        course.desk.check()

    def raised() -> dict[str, str]:
        found = alarms.raised(session.steps, session.verdicts, session.metrics, [course.seat])
        return alarms.with_gain(found, list(course.files.rows("evaluations")), course.seat)

    return course.carry_out(work, raised)


def _table(course: Course, problems: Sequence[Problem]) -> Practice:
    """The table, with the prompts that the run began with, and what is on record."""
    rows = course.files.remember(
        "problems",
        lambda: [asdict(p) for p in presentations(problems, course.passes, course.batch, course.seed)],
    )
    told, judged = on_record(course.files)
    return Practice(
        seats={course.seat: course.policy},
        judge=course.judged(),
        opening="",
        turns=1,
        drafts={course.seat: course.drafts},
        seed=course.seed,
        told=told,
        judged=judged,
        problems={f"d{number:04d}": problem_of(row) for number, row in enumerate(rows)},
    )
