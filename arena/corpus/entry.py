"""One row of a data set, read column by column; every fault is told by file, line and column."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TypeVar

from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from arena import jsonl
from arena.problems import Problem
from rewards.verdict import Example, Preference, Ranking, Review

Record = Example | Preference | Ranking | Problem | Review
ROLES = ("system", "user", "assistant")

_FRAME = re.compile(r"\A(?:[ \t]*\r?\n)*(?: (?=\S))?")
"""Empty lines, and the one space that parts a text from the label before it."""


class Nothing(Exception):
    """A row is in order, but no record comes of it; says why."""


@dataclass(frozen=True)
class Skip:
    """What is counted in place of a record."""

    reason: str


@dataclass(frozen=True)
class Entry:
    """A row, or an object inside one."""

    row: jsonl.Row
    where: str
    """What a message names: `'x.jsonl', line 3`."""
    path: Path
    source: str
    """The name of the file or run in ids: `oasst_human_ranks`."""
    number: int
    """Of the row in its file, from 1."""

    @property
    def id(self) -> str:
        """`oasst_human_ranks:17`."""
        return f"{self.source}:{self.number}"

    @property
    def place(self) -> str:
        """The file and line, as `Problem.where` has them."""
        return f"{self.path.name}, line {self.number}"

    def has(self, *columns: str) -> bool:
        """Whether each of these columns holds something."""
        return all(self.row.get(column) is not None for column in columns)

    def fault(self, column: str, wanted: str) -> ConfigError:
        """What to raise for a column that holds the wrong thing."""
        return ConfigError(
            f"{self.where}: column {column!r} holds {jsonl.brief(jsonl.cell(self.where, self.row, column))}, "
            f"and must be {wanted}: mend or remove the row, name another column by "
            f"data.columns={{{column}: NAME}}, or another form by data.form=NAME"
        )

    def text(self, column: str) -> str:
        """The text of a column without its framing; Nothing if it is empty, ConfigError if it is no text."""
        text = jsonl.cell(self.where, self.row, column)
        if not isinstance(text, str):
            raise self.fault(column, "a text")
        if not (plain := unframed(text)):
            raise Nothing(f"empty {column}")
        return plain

    def optional(self, column: str) -> str:
        """The text of a column, `""` where there is none."""
        value = self.row.get(column)
        return self.text(column) if value is not None and value != "" else ""

    def number_of(self, column: str) -> float:
        """The finite number in a column."""
        value = jsonl.cell(self.where, self.row, column)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise self.fault(column, "a finite number")
        return float(value)

    def part(self, column: str) -> "Entry":
        """The object that a column holds."""
        value = jsonl.cell(self.where, self.row, column)
        if not isinstance(value, dict):
            raise self.fault(column, "an object with named columns")
        return replace(self, row=value, where=f"{self.where}, column {column!r}")

    def parts(self, column: str) -> list["Entry"]:
        """The objects that a column lists."""
        value = jsonl.cell(self.where, self.row, column)
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.fault(column, "a list of objects")
        where = f"{self.where}, column {column!r}"
        return [replace(self, row=each, where=f"{where}, item {n}") for n, each in enumerate(value, start=1)]

    def messages(self, column: str, role: str = "role", content: str = "content") -> list[Message]:
        """The messages that a column lists, each with a role of `ROLES` and a text.

        Args:
            column: holds the list.
            role: the key of the role in each message.
            content: the key of the text.
        """
        said = []
        for each in self.parts(column):
            name = _ROLE_NAMES.get(str(jsonl.cell(each.where, each.row, role)))
            if name is None:
                raise each.fault(role, f"a role: {', '.join(ROLES)}")
            said.append(Message(role=name, content=each.text(content)))
        if not said:
            raise Nothing(f"empty {column}")
        return said

    def talk(self, column: str, role: str) -> list[Message]:
        """The messages of a column that holds a list of them, or one text, which `role` says."""
        if isinstance(jsonl.cell(self.where, self.row, column), str):
            return [Message(role=role, content=self.text(column))]
        return self.messages(column)

    def preference(
        self,
        prompt: Sequence[Message],
        chosen: str,
        rejected: str,
        margin: float = 1.0,
        sides: tuple[str, str] = ("chosen", "rejected"),
    ) -> Preference:
        """A pair of this row; `sides` are the names of the two in their ids. Nothing if they are equal."""
        if chosen == rejected:
            raise Nothing("equal texts")
        better, worse = (f"{self.id}.{side}" for side in sides)
        return Preference(
            asked(prompt), Reply(chosen), Reply(rejected), margin, better, worse, kind=self.source
        )


_ROLE_NAMES = {role: role for role in ROLES} | {"human": "user", "gpt": "assistant", "chatgpt": "assistant"}
"""What the formats call their speakers."""

Maker = Callable[[Sequence[Entry], int], Iterator[Record | Skip]]
"""From the rows of one file and a seed to records."""
G = TypeVar("G")


def each(adapter: Callable[[Entry], Iterable[Record]]) -> Maker:
    """A maker from what takes one row: all its records, or the reason why there are none."""
    return gathered(iter, adapter)


def gathered(
    groups: Callable[[Sequence[Entry]], Iterable[G]], adapter: Callable[[G], Iterable[Record]]
) -> Maker:
    """A maker from what takes one group of rows."""

    def make(entries: Sequence[Entry], seed: int) -> Iterator[Record | Skip]:
        for group in groups(entries):
            try:
                yield from list(adapter(group))
            except Nothing as reason:
                yield Skip(str(reason))

    return make


def problems(
    adapter: Callable[[Entry], Iterable[Example | Preference | Ranking]], task: str = "dialogue"
) -> Maker:
    """A maker of the prompts alone: the first one of each row, with the completion as reference."""

    def ask(entry: Entry) -> Iterator[Problem]:
        for record in adapter(entry):
            reference = record.completion if isinstance(record, Example) else ""
            yield Problem(task, record.prompt, reference, entry.place)
            return

    return each(ask)


def unframed(text: str) -> str:
    r"""`text` without empty lines and white space around it; what indents its first line stays.

    >>> unframed("\n\n good")
    'good'
    >>> unframed("  indented\n")
    '  indented'
    """
    return _FRAME.sub("", text.rstrip())


def user(content: str) -> list[Message]:
    """A prompt of one message."""
    return [Message(role="user", content=content)]


def asked(messages: Sequence[Message]) -> tuple[Message, ...]:
    """A prompt that chat templates take: at most one system message, then turns from user to user.

    Raises:
        Nothing: its messages are in another order.
    """
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if len(turns) % 2 == 0 or turns != (["user", "assistant"] * len(turns))[: len(turns)]:
        raise Nothing("messages out of turn")
    return tuple(messages)
