"""Answers that people, or another judge, have rated: rows with an answer and `score` or `scores`."""

import glob
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean

from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from arena import jsonl
from arena.calibration.items import Rated
from arena.corpus.entry import unframed, user
from arena.corpus.rankings import SUMMARISE
from rewards.verdict import Case

OVERALL, MEAN = "overall", "mean"
"""The label that is taken where none is named: `overall`, else the mean of all."""
USR = {
    "understandability": (0.0, 1.0), "naturalness": (1.0, 3.0), "coherence": (1.0, 3.0),
    "engagingness": (1.0, 3.0), "groundedness": (0.0, 1.0), "overall": (1.0, 5.0),
}  # fmt: skip
"""Scales of Mehri and Eskenazi 2020 (https://arxiv.org/abs/2005.00456), whose rows name none."""
_AUTO_J = re.compile(r"\[Query\]: (.*)\n\*\*\*\n\[Response\]: (.*)\n\*\*\*\n\[END DATA\]", re.DOTALL)
_PROMETHEUS = re.compile(
    r"###The instruction to evaluate:\n(.*)\n###Response to evaluate:\n(.*)\n###Reference Answer[^\n]*:\n"
    r"(.*)\n###Score Rubrics:",
    re.DOTALL,
)


@dataclass(frozen=True)
class _Row:
    """A row of a file of ratings."""

    where: str
    """What a message names: `'x.jsonl', line 3`."""
    row: jsonl.Row

    def text(self, column: str) -> str:
        """The text of a column, which must not be empty."""
        value = jsonl.cell(self.where, self.row, column)
        if not isinstance(value, str) or not unframed(value):
            raise self.fault(column, "a text")
        return unframed(value)

    def answer(self, column: str) -> str:
        """The text of a column that may be empty: a judge abstains there, and that is counted."""
        value = jsonl.cell(self.where, self.row, column)
        return "" if value == "" else self.text(column)

    def fault(self, column: str, wanted: str) -> ConfigError:
        """What to raise for a column that holds the wrong thing."""
        held = jsonl.brief(jsonl.cell(self.where, self.row, column))
        return ConfigError(
            f"{self.where}: column {column!r} holds {held}, and must be {wanted}: mend the row"
        )

    def number(self, column: str, value: object) -> float:
        """A finite number that a column holds; true is 1 and false 0."""
        if not isinstance(value, bool | int | float) or not isfinite(value):
            raise self.fault(column, "a finite number, numbers by label, or a list of numbers")
        return float(value)


@dataclass(frozen=True)
class _Form:
    """How a file of ratings is written."""

    columns: frozenset[str]
    """In every row."""
    score: str
    """The column that holds the ratings."""
    read: Callable[[_Row], tuple[Sequence[Message], str, str]]
    """Prompt, answer and reference of a row."""
    scales: Mapping[str, tuple[float, float]] | None = None
    """Of each label, where the rows do not name one scale for all."""


def _article(row: _Row) -> tuple[Sequence[Message], str, str]:
    return user(SUMMARISE + row.text("article")), row.answer("response"), ""


def _turn(row: _Row) -> tuple[Sequence[Message], str, str]:
    """A reply to a conversation, which may use a fact: its turns, the user's last."""
    turns = [line.strip() for line in row.text("context").split("\n") if line.strip()]
    roles = ("user", "assistant")
    said = [
        Message(role=roles[(len(turns) - 1 - place) % 2], content=turn) for place, turn in enumerate(turns)
    ]
    fact = Message(role="system", content=f"A fact that the reply may use: {row.text('fact')}")
    return [fact, *(said if said[0]["role"] == "user" else said[1:])], row.answer("response"), ""


def _marked(row: _Row, column: str, pattern: re.Pattern[str], marks: str) -> Sequence[str]:
    match = pattern.search(row.text(column))
    if not match:
        raise row.fault(column, f"a text with {marks}")
    return [unframed(part) for part in match.groups()]


def _auto_j(row: _Row) -> tuple[Sequence[Message], str, str]:
    asked, answer = _marked(row, "usrmsg", _AUTO_J, "[Query] and [Response]")
    return user(asked), answer, ""


def _prometheus(row: _Row) -> tuple[Sequence[Message], str, str]:
    marks = "an instruction, a response and a reference answer, each under its ### heading"
    asked, answer, reference = _marked(row, "instruction", _PROMETHEUS, marks)
    return user(asked), answer, reference


def _chat(row: _Row) -> tuple[Sequence[Message], str, str]:
    """A whole conversation on a topic is what is rated."""
    turns = jsonl.cell(row.where, row.row, "turns")
    if not isinstance(turns, list) or not all(isinstance(t, list) and len(t) == 2 for t in turns):
        raise row.fault("turns", "a list of [speaker, text]")
    said = "\n".join(f"{speaker}: {text}" for speaker, text in turns)
    topic = row.answer("topic")
    return user(f"Talk about this: {topic}" if topic else "Talk with each other."), said, ""


def _plain(question: str, answer: str) -> Callable[[_Row], tuple[Sequence[Message], str, str]]:
    def read(row: _Row) -> tuple[Sequence[Message], str, str]:
        return user(row.text(question)), row.answer(answer), ""

    return read


def _form(columns: str, score: str, read: Callable[[_Row], tuple[Sequence[Message], str, str]]) -> _Form:
    return _Form(frozenset(columns.split()), score, read)


FORMS = (
    _form("article response scores", "scores", _article),
    _Form(frozenset(("context", "fact", "response", "scores")), "scores", _turn, USR),
    _form("usrmsg score", "score", _auto_j),
    _form("instruction scores", "scores", _prometheus),
    _form("topic ratings turns", "ratings", _chat),
    _Form(frozenset(("question", "answer", "truthful")), "truthful", _plain("question", "answer"),
          {"truthful": (0.0, 1.0)}),
    _form("prompt response score", "score", _plain("prompt", "response")),
    _form("prompt response scores", "scores", _plain("prompt", "response")),
    _form("question answer score", "score", _plain("question", "answer")),
    _form("question answer scores", "scores", _plain("question", "answer")),
)  # fmt: skip
NEEDED = (
    "a row needs prompt and response (or question and answer, article and response, context, fact and "
    "response, topic and turns, usrmsg, instruction), score or scores, and scale"
)


def read_scores(name: str, label: str = "", limit: int = 0, seed: int = 0) -> list[Rated]:
    """Up to `limit` (0: all) rated answers of each file that `name` means, drawn by the seed.

    Args:
        name: a file or a pattern; `~` and environment variables are followed.
        label: which of several labels: default `overall`, else the mean of all.
        limit: the most answers of a file.
        seed: of the draw.

    Raises:
        ConfigError: there is no such file, a row cannot be read, or it has no answer that can be judged.
    """
    path = jsonl.expanded(name)
    paths = [path] if path.is_file() else sorted(map(Path, glob.glob(str(path), recursive=True)))
    if not paths:
        raise ConfigError(
            f"no file {str(path)!r} (scores has {name!r}, from {str(Path.cwd())!r}): give its path by "
            "scores=[FILE], or set the environment variable ARENA_DATA to the folder of the data sets"
        )
    found: list[Rated] = []
    for each in paths:
        own = [_rated(each, number, row, label) for number, row in jsonl.rows(each, "file of ratings")]
        if not own:
            raise ConfigError(f"{str(each)!r} has no rows: name another file by scores=[FILE]")
        random.Random(f"{seed}").shuffle(own)
        found += own[: limit or None]
    return found


def _rated(path: Path, number: int, row: jsonl.Row, label: str) -> Rated:
    where = f"{str(path)!r}, line {number}"
    form = next((form for form in FORMS if form.columns <= row.keys()), None)
    if form is None:
        raise ConfigError(f"{where}: {_why_not(row)}")
    held = _Row(where, row)
    prompt, answer, reference = form.read(held)
    name, score = _score(held, form.score, label)
    low, high = _scale(held, form, name)
    if not low <= score <= high:
        raise ConfigError(f"{where}: {name} is {score:g}, and its scale {low:g} to {high:g}: mend the row")
    case = Case(
        f"{path.stem}:{number}", prompt[-1]["content"], tuple(prompt), Reply(answer), reference=reference
    )
    return Rated(case, path.stem, score, (low, high), name)


def _why_not(row: jsonl.Row) -> str:
    if "review" in row and "response" not in row:
        return "a review of answers that are not in the row has nothing to be judged: name another file"
    if "output" in row and not {"prompt", "question", "instruction"} & row.keys():
        return "an answer without the prompt that it answers cannot be judged: name another file"
    if {"a", "b"} <= row.keys() or "chosen" in row:
        return "these are pairs: name the file by pairs=[FILE]"
    return f"{NEEDED}; it has {', '.join(map(repr, row))}"


def _score(row: _Row, column: str, label: str) -> tuple[str, float]:
    """(name, value) of the label that is wanted."""
    value = jsonl.cell(row.where, row.row, column)
    if isinstance(value, Mapping) and value:
        by_name = {str(name): row.number(column, each) for name, each in value.items()}
        wanted = label or (OVERALL if OVERALL in by_name else MEAN)
        if wanted in by_name:
            return wanted, by_name[wanted]
        if wanted == MEAN:
            return MEAN, fmean(by_name.values())
        raise ConfigError(f"{row.where}: no label {label!r}; {jsonl.choice(label, [*by_name, MEAN])}")
    if label not in ("", MEAN, column):
        raise ConfigError(
            f"{row.where}: label={label!r} chooses one of several labels, and {column!r} is the only one "
            "here: leave label out"
        )
    if isinstance(value, list) and value:
        return MEAN, fmean(row.number(column, each) for each in value)
    return column, row.number(column, value)


def _scale(row: _Row, form: _Form, label: str) -> tuple[float, float]:
    if form.scales is not None and label in form.scales:
        return form.scales[label]
    value = row.row.get("scale")
    if not isinstance(value, list) or len(value) != 2:
        if form.scales is not None:
            raise ConfigError(
                f"{row.where}: these labels have different scales, and no mean: choose one by label=, of "
                f"{', '.join(form.scales)}"
            )
        raise ConfigError(f"{row.where}: the row needs a column 'scale', such as [1, 10]: add it")
    low, high = (row.number("scale", each) for each in value)
    if not low < high:
        raise row.fault("scale", "[LEAST, GREATEST]")
    return low, high
