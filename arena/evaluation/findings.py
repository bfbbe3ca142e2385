"""What an evaluation found: numbers with their intervals, for the terminal, for Markdown and for programs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.human import printable
from arena.markdown import inline
from arena.report import alarmed, card, failures, pictures, table
from arena.stats.resampling import Interval

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

BAR = 22
"""Characters of the longest bar of a histogram."""


@dataclass(frozen=True)
class Finding:
    """One measure of one of those who are compared."""

    measure: str
    arm: str
    found: Interval | None
    """None where the measure is not defined, such as the correlation with a constant."""
    against: str = ""
    """With whom the difference is, `""` for nobody."""
    difference: Interval | None = None
    """Paired, on the same items."""
    digits: int = 3

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table shows: measure, arm, value, interval, difference, interval."""
        change = ("", "")
        if self.against:
            change = number(self.difference, self.digits, "+"), ends_of(self.difference, self.digits, "+")
        return (
            self.measure, self.arm, number(self.found, self.digits), ends_of(self.found, self.digits), *change
        )  # fmt: skip

    @property
    def result(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "measure": self.measure,
            "arm": self.arm,
            "found": self.found.numbers() if self.found else None,
            "against": self.against,
            "difference": self.difference.numbers() if self.difference else None,
        }


def number(interval: Interval | None, digits: int, sign: str = "") -> str:
    """The number that an interval is around, or a dash where there is none."""
    return "-" if interval is None else f"{interval.value:{sign}.{digits}f}"


def ends_of(interval: Interval | None, digits: int, sign: str = "") -> str:
    """The two ends of an interval in words."""
    if interval is None:
        return ""
    if not interval.known:
        return "not known"
    return f"{interval.low:{sign}.{digits}f} to {interval.high:{sign}.{digits}f}"


@dataclass(frozen=True)
class Report:
    """What came of an evaluation."""

    about: str
    """What was measured on what, in a sentence or two."""
    findings: tuple[Finding, ...]
    less: str
    """What the difference is: `critic less this`."""
    notes: tuple[str, ...] = ()
    """How to read it."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What was counted beside: judged, abstained, ..."""
    bars: tuple[str, ...] = ()
    """A picture in letters."""
    alarms: Mapping[str, str] = field(default_factory=dict)
    plots: tuple[Path, ...] = ()

    @property
    def results(self) -> dict[str, Any]:
        """All of it for programs: numbers, null where one is not defined or an end is not known."""
        return {
            "schema": "arena.results/1",
            "about": self.about,
            "counts": dict(self.counts),
            "findings": [finding.result for finding in self.findings],
            "alarms": dict(self.alarms),
        }

    @property
    def head(self) -> tuple[str, ...]:
        """What stands above the columns."""
        return "", "", "value", "95 %", self.less, "95 %"

    def markdown(self, title: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
        """The README.md of the folder, with the card of its tables in front."""
        lines = [*card([name for name, rows in tables.items() if rows]), f"# {inline(title)}", ""]
        lines += [inline(self.about), ""]
        lines += table(
            [name.replace("\n", " ") for name in self.head],
            [tuple(map(inline, finding.cells)) for finding in self.findings],
        )
        lines += [line for note in self.notes for line in (inline(note), "")]
        lines += table(list(self.counts), [tuple(self.counts.values())]) if self.counts else []
        bars = [printable(bar).replace("`", "'") for bar in self.bars]
        lines += ["```", *bars, "```", ""] if bars else []
        lines += [*pictures(self.plots), *failures(tables.get("failures", ()))]
        lines += alarmed({name: printable(text) for name, text in self.alarms.items()})
        return "\n".join(lines)

    def print(self, console: "Console") -> None:
        """Show it; nothing is wider than 80 columns but the sentences, which are folded."""
        from arena.terminal import clean

        console.print(clean(self.about))
        for part in self._parts():
            console.print()
            console.print(part)
        for name, text in self.alarms.items():
            console.print()
            console.print(clean(f"ALARM {name}: {text}", "bold red"))

    def _parts(self) -> "Iterator[RenderableType]":
        from rich.text import Text

        from arena.terminal import clean

        yield self._table()
        if self.counts:
            yield clean("; ".join(f"{name}: {count}" for name, count in self.counts.items()))
        if self.bars:
            yield Text("\n".join(map(printable, self.bars)), no_wrap=True)
        for note in self.notes:
            yield clean(note, "dim")

    def _table(self) -> "RenderableType":
        from rich.table import Table

        from arena.terminal import clean

        shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        shown.add_column("", overflow="fold")
        shown.add_column("", overflow="fold")
        for place, name in enumerate(self.head[2:], start=2):
            cells = [*name.split("\n"), *(finding.cells[place] for finding in self.findings)]
            whole = max(map(len, cells))
            shown.add_column(name, justify="right", no_wrap=True, min_width=whole)
        before = ""
        for finding in self.findings:
            if before and finding.measure != before:
                shown.add_row()
            again = finding.measure == before
            shown.add_row("" if again else clean(finding.measure), *map(clean, finding.cells[1:]))
            before = finding.measure
        return shown


def histogram(values: Mapping[str, Sequence[float]], low: int, high: int) -> tuple[str, ...]:
    """Shares of each column's values nearest to each whole number, side by side.

    Args:
        values: one or more columns by name; a column of no values has no bars.
        low: the least number.
        high: the greatest number.
    """
    width = min(BAR, (76 - 4) // len(values) - 2)
    lines = ["    " + "".join(f"{name[:width]:<{width + 2}}" for name in values).rstrip()]
    counts = {
        name: [sum(min(max(math.floor(v + 0.5), low), high) == n for v in own) for n in range(low, high + 1)]
        for name, own in values.items()
    }
    most = max(
        (count / sum(own) for own in counts.values() if sum(own) for count in own), default=1.0
    )  # of all columns: equal bars are equal shares
    for place, label in enumerate(range(low, high + 1)):
        bars = (_bar(own[place], sum(own), most, width) for own in counts.values())
        lines.append(f"{label:>2}  {''.join(bars)}".rstrip())
    return tuple(lines)


def _bar(count: int, of: int, most: float, width: int) -> str:
    """A share as a bar and a number, never a bar of nothing for something."""
    if not count:
        return " " * (width + 2)
    bar = "█" * math.ceil(count / of / most * (width - len(" 100%")))
    return f"{f'{bar} {count / of:.0%}':<{width + 2}}"
