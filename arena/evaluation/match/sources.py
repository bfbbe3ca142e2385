"""What a match is made of must not change while it goes on: its questions and the stored answers."""

import json
from collections.abc import Mapping, Sequence

from agents.errors import ConfigError
from arena import records
from arena.evaluation.inputs import digests
from arena.evaluation.match.answers import files_of
from arena.evaluation.match.questions import Question
from arena.evaluation.room import Room


def same_answers(room: Room, answers: Mapping[str, str]) -> None:
    """Refuse stored answers whose files have changed since the match began.

    Args:
        room: in whose folder the digests are.
        answers: files and folders by the name of the contestant.

    Raises:
        ConfigError: one has changed; names it.
    """
    files = [path for given in answers.values() for path in files_of(given)]
    room.scribe.run.agree("stored answers", digests(files))


def same_questions(room: Room, drawn: Sequence[Question]) -> list[Question]:
    """The questions of a match, which are those that it began with.

    Args:
        room: in whose folder they are.
        drawn: what the settings give now.

    Raises:
        ConfigError: the settings give others than those on record; names the file that has changed.
    """
    rows = json.loads(json.dumps([question.row for question in drawn]))
    known: list[records.Row] = room.scribe.run.remember("problems", lambda: rows)
    if known != rows:
        changed = [row for row in [*known, *rows] if row not in known or row not in rows]
        raise ConfigError(
            f"the questions have changed since this match began, in {_named(changed or known)}: put back "
            "what it began with, or start anew in another folder, hydra.run.dir=runs/NAME"
        )
    return [Question.of(row) for row in known]


def began_with(room: Room) -> str:
    """The files whose questions the match in this folder asks; `""` where it has not begun."""
    path = room.scribe.run.path / "problems.json"
    return _named(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else ""


def _named(rows: Sequence[records.Row]) -> str:
    """The files that questions come from."""
    files = {row["where"].rpartition(", line ")[0] or "a source without a file" for row in rows}
    return ", ".join(sorted(files))
