"""Comparisons on a terminal: at most 80 columns, a block for each, and every text clean."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from arena.comparing.comparison import Comparison
from arena.comparing.forest import forest
from arena.comparing.wording import about, besides, cells, head, method, pairing
from arena.terminal import clean, one_line

WIDTH = 80
_VALUE = 24
"""Letters of a setting's value."""


def show(console: Console, comparisons: Sequence[Comparison], doubts: Sequence[Mapping[str, str]]) -> None:
    """Print comparisons with one arm.

    Args:
        console: where.
        comparisons: one or more, all with the same first arm.
        doubts: what speaks against each.
    """
    width = min(console.width, WIDTH)
    for number, (each, against) in enumerate(zip(comparisons, doubts, strict=True)):
        if number:
            console.print()
        console.print(Group(*_block(each, against)), width=width)
    console.print()
    for text in method(comparisons):
        console.print(clean(text, "dim"), width=width)


def _block(of: Comparison, doubts: Mapping[str, str]) -> Iterator[RenderableType]:
    for arm in (of.a, of.b):
        yield clean(f"{arm.letter}  {about(arm)}", "bold")
    yield clean(pairing(of), "" if of.paired else "bold red")
    yield Text()
    if of.rows:
        yield _table(of)
    if lines := forest(of.rows):
        yield Text()
        yield clean(f"{of.b.letter} - A in standard deviations of the values", "dim")
        yield Text("\n".join(lines), no_wrap=True)
    yield Text()
    for line in besides(of):
        yield clean(line, "dim")
    for text in doubts.values():
        yield clean(f"! {text}", "yellow")
    yield from _settings(of)


def _table(of: Comparison) -> RenderableType:
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("", overflow="fold")
    rows = [cells(of, row) for row in of.rows]
    for place, name in enumerate(head(of)[1:], start=1):
        widest = max(len(name), *(len(row[place]) for row in rows))
        shown.add_column(name, justify="right", no_wrap=True, min_width=widest)
    for row, cell in zip(of.rows, rows, strict=True):
        shown.add_row(*map(clean, cell), style="bold" if row.difference.sign else "")
    return shown


def _settings(of: Comparison) -> Iterator[RenderableType]:
    if not of.changed:
        yield clean("the settings on record are the same", "dim")
        return
    yield Text()
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column("what was set differently", overflow="fold")
    for arm in (of.a, of.b):
        shown.add_column(arm.letter, overflow="fold", max_width=_VALUE)
    for each in of.changed:
        shown.add_row(clean(each.key), *(clean(one_line(value, _VALUE)) for value in (each.a, each.b)))
    yield shown
