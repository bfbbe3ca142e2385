"""What every text on a terminal has in common: it is clean, and a speaker keeps its colour."""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from agents.human import printable

PALETTE = ("cyan", "yellow", "magenta", "green", "blue")
"""Colours of speakers; red is for what went wrong."""

WIDTH = 100
"""Columns where there is no terminal, and the most that are comfortable to read on one."""


def colours(speakers: Iterable[str]) -> dict[str, str]:
    """A colour for each speaker, by its place in the order."""
    return {speaker: PALETTE[i % len(PALETTE)] for i, speaker in enumerate(dict.fromkeys(speakers))}


def clean(text: str, style: str = "") -> Text:
    """A text of a model, a user or a file, without control characters; its markup is not markup."""
    return Text(printable(text), style)


def one_line(text: str, limit: int) -> str:
    """A clean text on one line, shortened to `limit` characters with an ellipsis.

    >>> one_line("a long" + chr(10) + "  story", 9)
    'a long...'
    """
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


class Output(Console):
    """A console whose reader may leave, as `head` does when it has enough."""

    def on_broken_pipe(self) -> None:
        """End quietly and well."""
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(0) from None


def stdout_console() -> Console:
    """Standard output: as wide as the terminal, else `WIDTH`; what it cannot encode becomes `?`."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    width = None if sys.stdout.isatty() else WIDTH
    return Output(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
