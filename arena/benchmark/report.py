"""What was measured, as a table for people and as JSON for programs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from arena.benchmark.measure import Samples


@dataclass(frozen=True)
class Line:
    """One quantity."""

    part: str
    what: str
    samples: Samples
    unit: str
    """`x` for a ratio, `%` for a share in [0, 1]."""
    note: str = ""


@dataclass
class Report:
    """Everything that one call of the benchmark measured."""

    conf: str
    vs: str
    machine: Mapping[str, Any]
    sizes: Mapping[str, Any]
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader must know to read the figures rightly."""

    def add(self, part: str, what: str, samples: Samples, unit: str, note: str = "") -> None:
        """Put a quantity down."""
        self.lines.append(Line(part, what, samples, unit, note))

    def ratio(self, part: str, what: str, ours: Samples, theirs: Samples, note: str = "") -> None:
        """Put down how many times faster ours is, from two speeds."""
        self.add(part, what, ours.over(theirs), "x", note)

    def json(self) -> str:
        """One object; every quantity with its median, its extremes and its single values."""
        quantities = [
            {
                "part": line.part,
                "what": line.what,
                "unit": line.unit,
                "median": line.samples.median,
                "low": line.samples.low,
                "high": line.samples.high,
                "values": list(line.samples.values),
                "note": line.note,
            }
            for line in self.lines
        ]
        found = {"schema": "arena.bench/1"} | {k: v for k, v in asdict(self).items() if k != "lines"}
        return json.dumps(found | {"quantities": quantities}, indent=1, allow_nan=False)

    def print(self, console: Console) -> None:
        """The table, the machine, the notes."""
        table = Table("", "median", "low to high", "", box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        part = ""
        for line in self.lines:
            if line.part != part:
                table.add_row(Text(line.part, "bold"))
                part = line.part
            middle = f"{shown(line.samples.median, line.unit)} {line.unit}"
            spread = f"{shown(line.samples.low, line.unit)} to {shown(line.samples.high, line.unit)}"
            table.add_row(f"  {line.what}", middle, spread, line.note)
        console.print(table)
        about = ", ".join(f"{key} {value}" for key, value in {**self.machine, **self.sizes}.items())
        for text in (about, *self.notes):
            console.print(f"\n{text}")

    def write(self, folder: Path) -> Path:
        """Write the JSON below `folder`; the name says what was compared."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.vs or 'bench'}.json"
        path.write_text(self.json() + "\n", encoding="utf-8")
        return path


def shown(value: float, unit: str) -> str:
    """A number with three digits that mean something.

    >>> shown(0.1234, "%"), shown(12345.6, "tokens/s"), shown(1.2345, "x"), shown(0.01234, "s")
    ('12.3', '12346', '1.23', '0.0123')
    """
    value = 100 * value if unit == "%" else value
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
