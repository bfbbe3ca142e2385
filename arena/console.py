"""Displays of a running job: live on a terminal, lines in a log, JSON for programs, or quiet."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Self, TextIO

from agents.errors import ConfigError
from agents.human import printable
from arena.display import Display, Fields
from arena.live import Live
from arena.logline import words
from arena.records import now
from arena.spelling import did_you_mean


class Plain(Display):
    """Lines that begin with the time of day: for logs, where nothing can be drawn over.

    Args:
        out: where to write; default: standard output.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        """Take the output."""
        super().__init__()
        self.out = out or sys.stdout

    def show(self, kind: str, fields: Fields) -> None:
        """One line, for some events a few, flushed."""
        at = time.strftime("%H:%M:%S")
        for label, text in words(kind, fields, self.progress):
            self.out.write(f"{at} {label:<9} {_line(text)}\n")
        self.out.flush()


class Json(Display):
    """One JSON object per line, and nothing else on standard output: what others print goes to stderr.

    Plain ASCII, so that no character of a text can do harm.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        """Take the output; default: standard output."""
        super().__init__()
        self.out = out or sys.stdout

    def __enter__(self) -> Self:
        """Keep standard output for this display."""
        self.stack.enter_context(redirect_stdout(sys.stderr))
        return self

    def show(self, kind: str, fields: Fields) -> None:
        """One line, flushed; `sample` becomes an object, a number that is not finite a text."""
        row = {"event": kind, "ts": now(), **{key: _finite(value) for key, value in fields.items()}}
        if row.get("sample"):
            row["sample"] = dict(
                zip(("dialogue", "speaker", "text", "rating"), fields["sample"], strict=True)
            )
        self.out.write(json.dumps(row, default=str) + "\n")
        self.out.flush()


class Quiet(Display):
    """Only what must not be missed, on stderr: alarms, and how to continue."""

    def show(self, kind: str, fields: Fields) -> None:
        """Alarms and the stop."""
        if kind in ("alarm", "stopped"):
            for label, text in words(kind, fields, self.progress):
                print(f"{label} {_line(text)}", file=sys.stderr, flush=True)


def _auto() -> Display:
    drawable = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return Live() if drawable else Plain()


_MODES: Mapping[str, Callable[[], Display]] = {
    "auto": _auto,
    "live": Live,
    "plain": Plain,
    "json": Json,
    "quiet": Quiet,
}


def choose(mode: str = "auto") -> Display:
    """The display for `auto`, `live`, `plain`, `json` or `quiet`; `auto` is live on a terminal, else plain.

    Raises:
        ConfigError: another mode.
    """
    if mode not in _MODES:
        raise ConfigError(
            f"display={mode!r} is not known{did_you_mean(mode, _MODES) or ';'} "
            f"allowed are {', '.join(_MODES)}"
        )
    return _MODES[mode]()


def _line(text: str) -> str:
    return " ".join(printable(text).split())


def _finite(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
