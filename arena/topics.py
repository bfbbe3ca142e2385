"""Where topics come from: the shipped list, a file, or an agent that makes them.

A source is called as `source(count, seed, agents)` and gives `count` distinct topics. One that has
too few says so; none repeats itself. The same seed draws the same topics on every machine.
"""

import csv
import io
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents import Agent, ArenaError, ConfigError, Message, Reply
from arena import jsonl
from arena.problems import Problem
from arena.topic_text import clean_topic

__all__ = ["File", "Made", "Questions", "Shipped", "Source", "clean_topic"]

Source = Callable[[int, int, Mapping[str, Agent]], list[str]]
"""From a count (1 or more), a seed and the agents by seat, to that many distinct topics."""

Row = tuple[str, jsonl.Row]
"""Where a row stands, in words, and its fields."""

KIND = "topic file"
"""What error messages call it."""

MAX_WORDS = 60
"""A made sentence of more words is no topic."""

LISTS = ("topics", "themes")
"""The lists that come with the arena: `topics.txt`, `themes.txt`."""

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shipped:
    """The topics that come with the arena, from many fields, in an order drawn by the seed."""

    def __call__(self, count: int, seed: int, agents: Mapping[str, Agent]) -> list[str]:
        """The first `count` topics of the seed's order; ConfigError if there are fewer."""
        return _first(_shuffled(_lines("topics"), seed), count, "the shipped list")


@dataclass(frozen=True)
class Questions:
    """A shipped list as problems: prompts for training, called as the sources of `arena.problems`."""

    of: str = "topics"
    """`topics`, or `themes` of papers."""
    form: str = "{}"
    """What is asked, around the line that stands for `{}`."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.form.count("{}") != 1:
            raise ConfigError(f"form must hold {{}} once, in place of the topic, got {self.form!r}")
        if self.of not in LISTS:
            raise ConfigError(f"of={self.of!r} is no shipped list; there are {', '.join(LISTS)}")

    def __call__(self, count: int, seed: int) -> list[Problem]:
        """The first `count` lines in the seed's order; ConfigError if there are fewer."""
        return [
            Problem(
                "dialogue",
                (Message(role="user", content=self.form.replace("{}", line)),),
                where=f"{self.of}, {line}",
            )
            for line in _first(_shuffled(_lines(self.of), seed), count, f"the shipped list of {self.of}")
        ]


@dataclass(frozen=True)
class File:
    """One column of a file: `.jsonl`, `.json` (a list of objects) or `.csv` (with a header), in UTF-8."""

    path: str
    """May hold `~` and environment variables; a relative path starts at the working directory."""
    column: str
    """The field that holds the topic; of a list of texts, such as user turns, the first is taken."""
    shuffle: bool = True
    """Whether the seed draws the order; otherwise the file's order is kept."""

    def __call__(self, count: int, seed: int, agents: Mapping[str, Agent]) -> list[str]:
        """The first `count` topics that differ by more than case and spacing.

        Raises:
            ConfigError: the file cannot be read, it holds too few topics, or a row gives none. Every
                row is looked at, whatever the count.
        """
        path = jsonl.expanded(self.path)
        found: dict[str, str] = {}
        for where, row in _rows(path):
            topic = _value(where, row, self.column)
            found.setdefault(_key(topic), topic)
        topics = list(found.values())
        return _first(_shuffled(topics, seed) if self.shuffle else topics, count, repr(str(path)))


@dataclass(frozen=True)
class Made:
    """Topics that an agent invents. They are as good as the agent, and as varied as its sampling."""

    seat: str = ""
    """Who invents them; default: the first seat."""
    attempts: int = 4
    """How often to ask, 1 or more; each time for all topics that are still missing, in one batch."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.attempts < 1:
            raise ConfigError(f"attempts must be 1 or more, got {self.attempts}")

    def __call__(self, count: int, seed: int, agents: Mapping[str, Agent]) -> list[str]:
        """`count` topics that differ by more than case and punctuation.

        Raises:
            ConfigError: no agent has the seat.
            ArenaError: too many replies repeated a topic, or held none.
        """
        _positive(count)
        seat = self._seat(agents)
        text = (_HERE / "prompts" / "topic.txt").read_text(encoding="utf-8").strip()
        prompt = [Message(role="user", content=text)]
        found: dict[str, str] = {}
        asked = 0
        for attempt in range(self.attempts):
            seeds = [_seed(seed, attempt, index) for index in range(count - len(found))]
            asked += len(seeds)
            for replies in agents[seat].reply([prompt] * len(seeds), 1, seeds=seeds):
                topic = _topic_of(replies[0])
                if topic and _bare(topic) not in _bare(text):  # weak models say the prompt again
                    found.setdefault(_bare(topic), topic)
            if len(found) == count:
                return list(found.values())
        raise ArenaError(
            f"seat {seat!r} made {len(found)} distinct topics of {count}, in {asked} replies and "
            f"{self.attempts} attempts; give it a higher temperature, let another seat make them, "
            "or take them from a file (arena.topics.File)"
        )

    def _seat(self, agents: Mapping[str, Agent]) -> str:
        if not agents:
            raise ConfigError("no agent has a seat, so none can make topics; add one, or take a topic file")
        seat = self.seat or next(iter(agents))
        if seat not in agents:
            raise ConfigError(f"no agent has the seat {seat!r} to make topics; {jsonl.choice(seat, agents)}")
        return seat


def _lines(name: str) -> list[str]:
    """The lines of a shipped list."""
    lines = (_HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _topic_of(reply: Reply) -> str:
    """The topic in `reply`; `""` for none, one that is too long, or one cut at the token limit."""
    topic = clean_topic(reply.text)
    cut = reply.truncated and not topic.endswith((".", "?", "!")) and reply.text.rstrip().endswith(topic)
    return "" if cut or len(topic.split()) > MAX_WORDS else topic


def _seed(seed: int, attempt: int, index: int) -> int:
    """A number of 31 bits, which every sampler takes."""
    return random.Random(f"topic {seed} {attempt} {index}").getrandbits(31)


def _shuffled(topics: Sequence[str], seed: int) -> list[str]:
    return random.Random(f"topics {seed}").sample(topics, len(topics))


def _first(topics: list[str], count: int, where: str) -> list[str]:
    _positive(count)
    if count > len(topics):
        raise ConfigError(
            f"{where} has {len(topics)} distinct topics, {count} were asked for; ask for no more than "
            "there are, or take a longer file (arena.topics.File)"
        )
    return topics[:count]


def _positive(count: int) -> None:
    if count < 1:
        raise ConfigError(f"the number of topics must be 1 or more, got {count}")


def _key(topic: str) -> str:
    return " ".join(topic.casefold().split())


def _bare(topic: str) -> str:
    return _key(re.sub(r"[^\w\s]|_", " ", topic))


def _value(where: str, row: Mapping[str, object], column: str) -> str:
    """The topic of a row."""
    value = jsonl.cell(where, row, column)
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            f"{where}: column {column!r} holds {jsonl.brief(row[column])}; a topic is a text, or a list that "
            "begins with one: mend the row or choose another column"
        )
    return value.strip()


def _rows(path: Path) -> Iterator[Row]:
    """The rows of a topic file, by its suffix."""
    readers = {".jsonl": _jsonl_rows, ".json": _json_rows, ".csv": _csv_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(
            f"a topic file ends in {', '.join(readers)}, got {str(path)!r}; convert the file or rename it"
        )
    return reader(path)


def _jsonl_rows(path: Path) -> Iterator[Row]:
    return ((f"{str(path)!r}, line {number}", row) for number, row in jsonl.rows(path, KIND))


def _json_rows(path: Path) -> Iterator[Row]:
    name = repr(str(path))
    rows = jsonl.parsed(name, jsonl.text(path, KIND))
    if not isinstance(rows, list):
        raise ConfigError(
            f"{name} holds {jsonl.brief(rows)}; a .json topic file is a list of objects: mend it"
        )
    for number, row in enumerate(rows, start=1):
        where = f"{name}, entry {number}"
        yield where, jsonl.checked(where, row)


def _csv_rows(path: Path) -> Iterator[Row]:
    name = repr(str(path))
    reader = csv.reader(io.StringIO(jsonl.text(path, KIND), newline=""), strict=True)
    columns: list[str] = []
    try:
        for fields in filter(None, reader):
            where = f"{name}, line {reader.line_num}"
            if columns and len(fields) != len(columns):
                raise ConfigError(
                    f"{where}: {len(fields)} fields under a header of {len(columns)}; "
                    "put fields that hold commas in quotation marks"
                )
            if columns:
                yield where, dict(zip(columns, fields, strict=True))
            columns = columns or fields
    except csv.Error as error:
        raise ConfigError(f"{name}, line {reader.line_num}: not CSV ({error}); mend the line") from error
