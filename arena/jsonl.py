"""Files of JSON lines that a user names: read as a whole, every fault told by file and line."""

import difflib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from agents.errors import ConfigError

Row = Mapping[str, object]
"""One object of a file: its named columns."""


def expanded(path: str) -> Path:
    """`path` with its `~` and environment variables followed."""
    return Path(os.path.expandvars(path)).expanduser()


def rows(path: Path, kind: str = "file") -> Iterator[tuple[int, Row]]:
    """(line number from 1, object) of each line that is not empty.

    Args:
        path: a file in UTF-8, with or without a byte order mark; lines end in LF or CRLF.
        kind: what the file is to the user, for messages: `topic file`.

    Raises:
        ConfigError: the file cannot be read, or a line is no JSON object; names file and line.
    """
    name = repr(str(path))
    # A JSON string may hold U+2028, which ends a line for splitlines() but not in a file.
    for number, line in enumerate(text(path, kind).split("\n"), start=1):
        if line.strip():
            yield number, checked(f"{name}, line {number}", parsed(name, line, number))


def text(path: Path, kind: str = "file") -> str:
    """The text of a file in UTF-8, without a byte order mark; ConfigError if it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the {kind} {str(path)!r}: {error.strerror}; give its path in full or from "
            f"{str(Path.cwd())!r}, and set the environment variables that it names"
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{str(path)!r}, line {line}: not UTF-8; save the file as UTF-8") from error


def parsed(name: str, source: str, first_line: int = 1) -> object:
    """The JSON value of `source`, which begins at `first_line` of the file `name`; ConfigError if none."""
    try:
        value: object = json.loads(source)
    except json.JSONDecodeError as error:
        line = source.split("\n")[error.lineno - 1]
        raise ConfigError(
            f"{name}, line {first_line + error.lineno - 1}: not JSON ({error.msg}, column {error.colno}): "
            f"{brief(line)}; mend or remove the line"
        ) from error
    return value


def checked(where: str, value: object) -> Row:
    """`value`, if it is an object; else ConfigError."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {brief(value)} is no object with named columns; mend or remove it")
    return value


def cell(where: str, row: Row, column: str) -> object:
    """What `row` holds in `column`; a ConfigError without one says which columns there are."""
    if column not in row:
        raise ConfigError(f"{where}: no column {column!r}; {choice(column, row)}")
    return row[column]


def brief(value: object) -> str:
    """The first sixty characters of a value as Python writes it."""
    return f"{value!r:.60}"


def choice(name: str, names: Iterable[str]) -> str:
    """What there is instead of `name`, and which of it is nearest."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1)
    return f"there is {', '.join(map(repr, names))}" + (f"; did you mean {near[0]!r}?" if near else "")
