"""Answers that are on record already: files, and folders of earlier evaluations. Joined by the question's id.

Never by position: two files in another order, or of another length, would compare answers to different
questions, and nothing would say so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.base import Agent
from agents.dialogue import Reply
from agents.errors import ConfigError
from arena import jsonl, records, rundir, runs
from arena.evaluation.match.questions import Question

IDS = ("question_id", "id")
"""Columns of the question's id."""
TEXTS = ("question", "prompt", "instruction")
"""Columns of the question's exact text, for files without ids."""
FASTCHAT: Mapping[str, range] = {"vicuna_bench": range(1, 81), "mt_bench": range(81, 161)}
"""FastChat's numbers of the questions of its two benchmarks, no number twice: 81 is `mt_bench-81` here."""
ANSWERS = ("answer", "text", "output", "response")
"""Columns of the answer: a text, or a list of texts, one for each of the user's turns."""


class Stored(Agent):
    """A contestant whose answers are on record: it has a name and says nothing new.

    Args:
        source: the file or run folder.
        answers: by the question's id, one for each of the user's turns that it has answered.
        strangers: answers to questions that are not asked here.
    """

    def __init__(self, source: str, answers: Mapping[str, Sequence[Reply]], strangers: int) -> None:
        """Take what was read."""
        super().__init__()
        self.source, self.answers, self.strangers = source, answers, strangers

    @property
    def name(self) -> str:
        """Where the answers come from."""
        return f"stored in {self.source}"


@dataclass(frozen=True)
class _Entry:
    """One stored answer, by whatever names its question."""

    where: str
    key: str
    replies: tuple[Reply, ...]
    by_text: bool = False
    asked: str | None = None
    """The question's text, where the record has it beside the id."""


def stored(given: str, contestant: str, questions: Sequence[Question]) -> Stored:
    """Read a contestant's answers to some questions.

    Args:
        given: a JSONL file; or the folder of an earlier evaluation, with `:NAME` behind it for one of its
            contestants where it has several and none is called as this one.
        contestant: what it is called here.
        questions: what is asked.

    Raises:
        ConfigError: it cannot be read, two answers are to one question, none is to any of these questions, or
            an id is that of a question with other words.
    """
    path, whose = _place(given)
    entries = list(_of_run(path, whose, contestant) if path.is_dir() else _of_file(path))
    answers, strangers = _joined(given, entries, questions)
    return Stored(given, answers, strangers)


def _place(given: str) -> tuple[Path, str]:
    """A file or a folder, and the contestant that stands behind it."""
    folder, colon, name = given.rpartition(":")
    path = jsonl.expanded(folder)
    return (path, name) if colon and path.is_dir() else (jsonl.expanded(given), "")


def files_of(given: str) -> list[Path]:
    """The files that hold what `stored` reads."""
    path, _ = _place(given)
    return [path / name for name in ("problems.json", "turns.jsonl")] if path.is_dir() else [path]


def _joined(
    given: str, entries: Sequence[_Entry], questions: Sequence[Question]
) -> tuple[dict[str, tuple[Reply, ...]], int]:
    """Answers by the id of their question, and how many are to none of these."""
    by_id = {question.id: [question] for question in questions}
    by_text: dict[str, list[Question]] = {}
    for question in questions:
        by_text.setdefault(question.question.strip(), []).append(question)
    seen: dict[tuple[bool, str], str] = {}
    found: dict[str, tuple[Reply, ...]] = {}
    for entry in entries:
        named = entry.by_text, entry.key
        if named in seen:
            raise ConfigError(
                f"{entry.where}: a second answer to {jsonl.brief(entry.key)}, the first is in {seen[named]}: "
                "remove one of them"
            )
        seen[named] = entry.where
        own = by_text.get(entry.key, []) if entry.by_text else _by_id(entry, by_id)
        if not own:
            continue
        if len(own) > 1:
            raise ConfigError(
                f"{entry.where}: {len(own)} questions here have this text, so answers need a question_id"
            )
        [question] = own
        if entry.asked is not None and not _same(entry.asked, question.question):
            raise ConfigError(
                f"{entry.where}: the question {entry.key!r} was {jsonl.brief(entry.asked)}, and is "
                f"{jsonl.brief(question.question)} here: take the file of questions that was answered"
            )
        if question.id in found:
            raise ConfigError(f"{entry.where}: a second answer to the question {question.id!r}: remove one")
        found[question.id] = entry.replies
    if not found:
        raise ConfigError(
            f"none of the {len(entries)} answers in {given!r} is to one of the {len(questions)} questions: "
            f"they name {_some([each.key for each in entries])}, and the questions here are "
            f"{_some(list(by_id))}; mend the answers' ids, or take other ids of questions by "
            "problems.id=COLUMN"
        )
    return found, len(entries) - len(found)


def _by_id(entry: _Entry, by_id: Mapping[str, Sequence[Question]]) -> Sequence[Question]:
    """The questions that an entry names: by their id, or by FastChat's number of them."""
    named = [name for name, numbers in FASTCHAT.items() if entry.key in map(str, numbers)]
    found = [by_id[id] for id in (entry.key, *(f"{name}-{entry.key}" for name in named)) if id in by_id]
    if len(found) > 1:
        raise ConfigError(
            f"{entry.where}: {entry.key!r} is the id of one question here and FastChat's number of another, "
            f"{found[1][0].id!r}: name the whole id"
        )
    return found[0] if found else ()


def _some(keys: Sequence[str], most: int = 3) -> str:
    """The first keys, and how many there are besides."""
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return (", ".join(map(jsonl.brief, keys[:most])) or "nothing") + more


def _same(asked: str, question: str) -> bool:
    """Whether two texts are one question; one of them may have words of a prompt around it."""
    one, other = (" ".join(text.split()).casefold() for text in (asked, question))
    return bool(one and other) and (one in other or other in one)


def _of_file(path: Path) -> Iterator[_Entry]:
    for number, row in jsonl.rows(path, "file of answers"):
        where = f"{str(path)!r}, line {number}"
        column = next((name for name in (*IDS, *TEXTS) if name in row), None)
        if column is None:
            raise ConfigError(
                f"{where} does not say what it answers: it needs the question's id ({' or '.join(IDS)}) "
                f"or its exact text ({', '.join(TEXTS)}); {jsonl.choice('question_id', row)}"
            )
        texts = _texts(where, row)
        replies = tuple(Reply(text) for text in texts)
        asked = next((str(row[name]) for name in TEXTS if isinstance(row.get(name), str)), None)
        yield _Entry(where, str(row[column]).strip(), replies, column in TEXTS, asked)


def _texts(where: str, row: jsonl.Row) -> list[str]:
    """The answers of a row, one for each turn; also where FastChat puts them, in `choices`."""
    column = next((name for name in ANSWERS if name in row), None)
    value = row[column] if column else None
    match row.get("choices"):
        case [{"turns": turns}] if column is None:
            value = turns
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ConfigError(
            f"{where} has no answer: it needs {', '.join(ANSWERS)}, a text or a list of texts; or `choices` "
            "with one entry that has `turns`"
        )
    return texts


def _of_run(path: Path, whose: str, contestant: str) -> Iterator[_Entry]:
    """What one contestant of an earlier evaluation has answered."""
    problems: Any = runs.read_json(path / "problems.json") or []
    asked = [entry for entry in problems if "question" in entry]
    if not asked:
        raise ConfigError(
            f"{path} is no folder of an evaluation of models against models: it has no questions"
        )
    said: dict[str, dict[str, dict[int, Reply]]] = {}
    for row in rundir.rows(path / "turns.jsonl"):
        turns = said.setdefault(row["speaker"], {}).setdefault(row["dialogue"], {})
        turns[row["turn"]] = records.turn_of(row).reply
    speaker = _speaker(path, whose, contestant, said)
    for number, entry in enumerate(asked):
        turns = said[speaker].get(f"d{number:04d}", {})
        replies = tuple(turns[turn] for turn in range(len(turns)) if turn in turns)
        if replies:
            text = entry["prompt"][-1]["content"]
            yield _Entry(f"{path}, question {entry['question']}", entry["question"], replies, asked=text)


def _speaker(path: Path, whose: str, contestant: str, said: Mapping[str, object]) -> str:
    wanted = whose or (contestant if contestant in said else "")
    if not wanted and len(said) == 1:
        wanted = next(iter(said))
    if wanted not in said:
        raise ConfigError(
            f"{path} has the answers of {', '.join(said) or 'nobody'}: say whose, such as "
            f"{path}:{next(iter(said), 'NAME')}"
        )
    return wanted
