"""Rows of the tables that only collecting and revising write; the rules of `arena.records` hold."""

from collections.abc import Sequence

from agents.dialogue import Turn
from arena.feedback.events import Feedback, Routed
from arena.problems import Problem
from arena.records import Row, now

COLLECT_TABLES: Sequence[str] = (
    "turns", "difficulties", "problems", "feedback", "preferences", "failures",
)  # fmt: skip
"""What `arena.collect` writes."""
REVISE_TABLES: Sequence[str] = (
    "turns", "problems", "feedback", "verdicts", "preferences", "examples", "failures",
)  # fmt: skip
"""What `arena.revise` writes."""


def difficulty_row(turn: Turn, nll: float) -> Row:
    """A row of `difficulties.jsonl`: how unlikely an answer was to its own speaker, in nats per token."""
    return {
        "schema": "arena.difficulty/1",
        "id": turn.id,
        "dialogue": turn.id.partition(".")[0],
        "speaker": turn.speaker,
        "nll": float(nll),
        "tokens": len(turn.reply.ids),
        "ts": now(),
    }


def problem_row(routed: Routed) -> Row:
    """A row of `problems.jsonl`; without a group there is no difficulty, and the number is 0.0."""
    problem: Problem = routed.work.problem
    return {
        "schema": "arena.problem/1",
        "id": routed.work.id,
        "dialogue": routed.work.id,
        "task": problem.task,
        "prompt": list(problem.prompt),
        "reference": problem.reference,
        "where": problem.where,
        "difficulty": float(routed.difficulty),
        "group": routed.group,
        "kinds": " ".join(routed.kinds),
        "ts": now(),
    }


def feedback_row(feedback: Feedback) -> Row:
    """A row of `feedback.jsonl`; `score` is 0.0 where `scored` says that there is none."""
    return {
        "schema": "arena.feedback/1",
        "id": feedback.id,
        "dialogue": feedback.about.partition(".")[0],
        "kind": feedback.kind,
        "about": feedback.about,
        "other": feedback.other,
        "comment": feedback.comment,
        "result": feedback.result,
        "by": feedback.by,
        "status": feedback.status,
        "score": float(feedback.score or 0.0),
        "scored": feedback.score is not None,
        "overruled": feedback.overruled,
        "outcome": feedback.outcome,
        "raw": feedback.raw,
        "ts": now(),
    }


def feedback_of(row: Row) -> Feedback:
    """The feedback that a row records."""
    return Feedback(
        id=row["id"],
        kind=row["kind"],
        about=row["about"],
        by=row["by"],
        status=row["status"],
        outcome=row["outcome"],
        other=row["other"],
        comment=row["comment"],
        result=row["result"],
        score=row["score"] if row["scored"] else None,
        overruled=row["overruled"],
        raw=row["raw"],
    )
