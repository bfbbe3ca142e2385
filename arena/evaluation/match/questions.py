"""Questions of a match: problems with an id, a category, and what the user says after the first answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.dialogue import Message
from agents.errors import ConfigError
from arena import jsonl, records
from arena.problems import File, Problem


@dataclass(frozen=True)
class Question(Problem):
    """A problem that answers are joined by."""

    id: str = ""
    category: str = ""
    later: tuple[str, ...] = ()
    """What the user says after each answer but the last."""

    @property
    def turns(self) -> int:
        """How many answers it asks for."""
        return 1 + len(self.later)

    @property
    def row(self) -> records.Row:
        """An entry of `problems.json`, as `arena.show` and later evaluations read it."""
        return {
            "task": self.task,
            "prompt": list(self.prompt),
            "reference": self.reference,
            "where": self.where,
            "question": self.id,
            "category": self.category,
            "later": list(self.later),
        }

    @classmethod
    def of(cls, row: records.Row) -> "Question":
        """The question that an entry of `problems.json` records."""
        known = vars(records.problem_of(row))
        return cls(**known, id=row["question"], category=row["category"], later=tuple(row["later"]))


@dataclass(frozen=True)
class Questions(File):
    """A file of questions with ids: the user's turns, all of which are asked one after the other."""

    column: str = "turns"
    """Holds the user's turns as a list of texts, or a text; or the messages of a conversation, which ends
    with a user message."""
    id: str = "id"
    """The column of the question's id, which answers name."""
    category: str = "category"
    """The column of the category; a row without one has its task."""

    def problem(self, path: Path, number: int, row: jsonl.Row) -> Question:
        """The question in line `number` of the file; ConfigError if there is none."""
        first = super().problem(path, number, row)
        where = f"{str(path)!r}, line {number}"
        id, turns = jsonl.cell(where, row, self.id), jsonl.cell(where, row, self.column)
        if not isinstance(id, str | int) or isinstance(id, bool) or not str(id).strip():
            raise ConfigError(
                f"{where}: column {self.id!r} holds {jsonl.brief(id)} and must be an id: mend it"
            )
        texts = [turn for turn in turns if isinstance(turn, str)] if isinstance(turns, list) else []
        later = tuple(turn.strip() for turn in texts[1:])
        if not all(later):
            raise ConfigError(f"{where}: a turn in column {self.column!r} is empty: mend or remove it")
        category = str(row.get(self.category) or first.task)
        return Question(**vars(first), id=str(id).strip(), category=category, later=later)


def questions(problems: Sequence[Problem]) -> list[Question]:
    """Problems as questions; one without an id of its own is named by a digest of its words.

    Raises:
        ConfigError: two have the same id.
    """
    found: dict[str, Question] = {}
    for problem in problems:
        question = problem if isinstance(problem, Question) else _named(problem)
        if question.id in found:
            raise ConfigError(
                f"two questions have the id {question.id!r}: {found[question.id].where or 'unknown'} and "
                f"{question.where or 'unknown'}; answers are joined by it: give each its own"
            )
        found[question.id] = question
    return list(found.values())


def _named(problem: Problem) -> Question:
    digest = hashlib.sha256(repr([_said(message) for message in problem.prompt]).encode()).hexdigest()
    return Question(**vars(problem), id=f"q-{digest[:10]}", category=problem.task)


def _said(message: Message) -> tuple[str, str]:
    return message["role"], message["content"]
