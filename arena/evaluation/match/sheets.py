"""A report with more tables than one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arena.evaluation.findings import Report
from arena.markdown import inline
from arena.report import table

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Sheet:
    """A table beside the findings."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Their first column is text, the others are numbers."""

    def markdown(self) -> list[str]:
        """The table under its title."""
        cells = [tuple(map(inline, row)) for row in self.rows]
        return [f"## {inline(self.title)}", "", *table(self.head, cells)]

    def shown(self) -> "RenderableType":
        """The same for the terminal."""
        from rich.table import Table

        from arena.terminal import clean

        shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for place, name in enumerate(self.head):
            cells = [name, *(row[place] for row in self.rows)]
            if place:
                shown.add_column(name, justify="right", no_wrap=True, min_width=max(map(len, cells)))
            else:
                shown.add_column(clean(self.title, "bold"), overflow="fold")
        for row in self.rows:
            shown.add_row(*map(clean, row))
        return shown


@dataclass(frozen=True)
class MatchReport(Report):
    """A report with more tables than one."""

    sheets: tuple[Sheet, ...] = ()
    more: Mapping[str, Any] | None = None
    """Numbers for programs beside the findings."""

    @property
    def results(self) -> dict[str, Any]:
        """All of it for programs."""
        return {**super().results, **(self.more or {})}

    def markdown(self, title: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
        """The README.md of the folder, with the tables at its end."""
        sheets = [line for sheet in self.sheets for line in sheet.markdown()]
        return "\n".join([super().markdown(title, tables), *sheets])

    def _parts(self) -> "Iterator[RenderableType]":
        first, *rest = super()._parts()
        yield first
        yield from (sheet.shown() for sheet in self.sheets)
        yield from rest
