"""Reading: the tables of a run folder joined to transcripts. Read only.

A folder can be read while a job writes to it: what is not on record yet is simply not there.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.errors import ArenaError
from arena.feedback.events import Feedback
from arena.feedback.rows import feedback_of
from arena.records import Row, turn_of, verdict_of
from arena.rundir import rows
from arena.runs import read_json
from arena.transcript import Draft, Failure, Judged, Pair, Performance, Question, Round, Transcript

LATEST_FIRST = (
    "metrics", "feedback", "preferences", "problems", "exchanges", "failures", "verdicts", "turns",
)  # fmt: skip
"""The order of reading, against the order of writing: what a row speaks of is then there."""

_VERSIONS = ("answer", "revision")
"""Kinds of turns that a revision can revise."""


@dataclass(frozen=True)
class Run:
    """A run folder as a reader sees it."""

    path: Path

    @cached_property
    def dialogues(self) -> list[str]:
        """The ids of the dialogues, the one that was written to last at the end."""
        order: dict[str, None] = {}
        for row in rows(self.path / "turns.jsonl"):
            order.pop(row["dialogue"], None)
            order[row["dialogue"]] = None
        return list(order)

    def transcripts(self, ids: Iterable[str]) -> list[Transcript]:
        """The dialogues named, in order."""
        wanted = dict.fromkeys(ids)
        found: dict[str, dict[str, list[Row]]] = {id: {name: [] for name in LATEST_FIRST} for id in wanted}
        trained = {(row["speaker"], row["step"]) for row in rows(self.path / "metrics.jsonl")}
        # Exchanges tell of their pairs; the rows of preferences hold whole prompts besides.
        paired = next(rows(self.path / "exchanges.jsonl"), None) is not None
        for name in [name for name in LATEST_FIRST[1:] if not (paired and name == "preferences")]:
            for row in rows(self.path / f"{name}.jsonl"):
                if row["dialogue"] in found:
                    found[row["dialogue"]][name].append(row)
        topics, questions = self._list("topics"), self._list("problems")
        return [
            _Dialogue(id, tables, trained).transcript(topics.get(id, ""), questions.get(id))
            for id, tables in found.items()
            if tables["turns"]
        ]

    def _list(self, name: str) -> dict[str, Any]:
        """What the run began with, by dialogue; known before the first turn is decided."""
        return {f"d{number:04d}": each for number, each in enumerate(read_json(self.path / f"{name}.json"))}


class _Dialogue:
    """The rows of a dialogue, found by what they speak of."""

    def __init__(
        self, id: str, tables: Mapping[str, list[Row]], trained: Collection[tuple[str, int]]
    ) -> None:
        self.id, self.trained = id, trained
        # Turns of runs from before they had kinds are replies.
        self.turns = {row["id"]: {"kind": "reply", **row} for row in tables["turns"]}
        self.exchanges = {row["id"]: row for row in tables["exchanges"]}
        self.judged = {
            row["id"]: Judged(verdict_of(row), row["judge"], row["zeta"]) for row in tables["verdicts"]
        }
        self.failures = [Failure(row["of"], row["what"], row["by"], row["raw"]) for row in tables["failures"]]
        self.feedback = [feedback_of(row) for row in tables["feedback"]]
        self.pairs = [Pair.of(row) for row in tables["preferences"]]
        self.problem = tables["problems"][0] if tables["problems"] else None

    def transcript(self, topic: str, begun: Row | None) -> Transcript:
        """The dialogue; `begun` is its problem as the run began with it."""
        turns: dict[int, list[Row]] = {}
        for row in self.turns.values():
            turns.setdefault(row["turn"], []).append(row)
        rounds = tuple(self._round(own) for _, own in sorted(turns.items()))
        speakers = dict.fromkeys(each.speaker for each in rounds)
        performances = [self._performance(seat) for seat in speakers]
        used = {failure for each in rounds for failure in each.failures}
        used |= {failure for each in rounds for draft in each.drafts for failure in draft.failures}
        used |= {failure for performance in performances for failure in performance.failures}
        first = next(iter(self.exchanges.values()), {})
        problem = self.problem or begun
        question = Question.of(problem) if problem else None
        replies = rounds[0].drafts[0].turn.kind == "reply"
        return Transcript(
            self.id,
            first.get("topic", topic) or (question.text if question else ""),
            first.get("opener", rounds[0].speaker if replies else ""),
            rounds,
            tuple(p for p in performances if p.judged or p.failures),
            tuple(failure for failure in self.failures if failure not in used),
            question,
            tuple(each for each in self.feedback if each.other),
            tuple(self.pairs),
        )

    def _round(self, own: list[Row]) -> Round:
        """A turn's drafts in the order of their letters."""
        exchange = self.exchanges.get(f"{self.id}.{own[0]['turn']:02d}", {})
        ordered = sorted(own, key=lambda row: (len(row["id"]), row["id"]))
        drafts = tuple(self._draft(row, exchange) for row in ordered)
        first = drafts[0]
        updated = (first.turn.speaker, first.step) in self.trained
        about = self._about(first.turn.id.removesuffix(first.letter))
        return Round(drafts, exchange.get("outcome", ""), updated, about)

    def _draft(self, row: Row, exchange: Mapping[str, Any]) -> Draft:
        """One draft; `exchange` is empty while the turn is not decided, and where answers are worked on."""
        id = row["id"]
        feedback = tuple(each for each in self.feedback if id in _places(each))
        revision, before = _revision(row, self.turns)
        return Draft(
            turn_of({**row, "ids": ""}),
            row["step"],
            row["tokens_out"],
            row["model"],
            self.judged.get(id),
            self._about(id),
            said=id == exchange.get("said"),
            chosen=id == exchange.get("chosen") or any(id == pair.chosen for pair in self.pairs),
            rejected=id == exchange.get("rejected") or any(id == pair.rejected for pair in self.pairs),
            outcome=exchange.get("outcome", "") or _came(id, feedback),
            revision=revision,
            before=before,
            feedback=feedback,
        )

    def _performance(self, seat: str) -> Performance:
        id = f"{self.id}.{seat}"
        return Performance(seat, self.judged.get(id), self._about(id))

    def _about(self, id: str) -> tuple[Failure, ...]:
        return tuple(failure for failure in self.failures if failure.of == id)


def _places(feedback: Feedback) -> tuple[str, ...]:
    """The turns at which feedback is shown; a comparison is at none."""
    led = tuple(filter(None, (feedback.comment, feedback.result)))
    return led or (() if feedback.other else (feedback.about,))


def _came(id: str, feedback: Iterable[Feedback]) -> str:
    """What came of a turn that feedback led to."""
    return next((each.outcome for each in feedback if each.result == id), "")


def _revision(row: Row, turns: Mapping[str, Row]) -> tuple[int, str | None]:
    """Which revision of its speaker a turn is, from 1, and the text that it revises.

    Args:
        row: a turn.
        turns: the turns of its dialogue by id.

    Returns:
        (0, None) for a turn that revises nothing; None too where what it revises is not on record.
    """
    if row["kind"] != "revision":
        return 0, None
    before = list(_before(row, turns))
    versions = [each for each in before if each["kind"] in _VERSIONS]
    number = 1 + sum(each["kind"] == "revision" and each["speaker"] == row["speaker"] for each in before)
    return number, versions[0]["content"] if versions else None


def _before(row: Row, turns: Mapping[str, Row]) -> Iterator[Row]:
    """The turns that a turn goes on from, the nearest first."""
    seen = {row["id"]}
    while (parent := turns.get(row["parent"])) is not None:
        if parent["id"] in seen:
            raise ArenaError(f"turn {parent['id']} goes on from itself: mend the parents in turns.jsonl")
        seen.add(parent["id"])
        yield (row := parent)
