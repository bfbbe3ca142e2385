"""A forest plot in letters: each difference with its interval, all in standard deviations of their values."""

from collections.abc import Sequence

from arena.comparing.comparison import Difference

LABEL, WIDTH = 29, 48
"""Columns of the names, and of the plot behind them."""
MOST = 3.0
"""Standard deviations at which the plot ends at the latest; what lies beyond is an arrow."""


def drawable(rows: Sequence[Difference]) -> list[Difference]:
    """The rows whose interval is known and whose values vary: others have no place on the axis."""
    return [row for row in rows if row.spread > 0 and row.difference.known]


def limit(rows: Sequence[Difference]) -> float:
    """Where the axis ends on both sides, in standard deviations, for one row or more."""
    ends = [max(abs(row.difference.low), abs(row.difference.high)) / row.spread for row in rows]
    return min(max(*ends, 0.1), MOST) if ends else MOST


def forest(rows: Sequence[Difference]) -> list[str]:
    """Lines of at most `LABEL` + `WIDTH` columns: an axis, and a line for each row that can be drawn."""
    shown = drawable(rows)
    if not shown:
        return []
    end = limit(shown)
    left, middle, right = f"{-end:.1f}", "0", f"{end:+.1f}"
    half = WIDTH // 2
    axis = left + middle.rjust(half + 1 - len(left)) + right.rjust(WIDTH - half - 1)
    return [" " * LABEL + axis, *(f"{_label(row.label):<{LABEL}}{_line(row, end)}".rstrip() for row in shown)]


def _label(text: str) -> str:
    return text if len(text) < LABEL else text[: LABEL - 4] + "..."


def _line(row: Difference, end: float) -> str:
    """One interval: a dot between its ends, an arrow where an end is beyond the axis."""
    places = [row.difference.low, row.difference.value, row.difference.high]
    low, value, high = (_column(place / row.spread, end) for place in places)
    letters = [" "] * WIDTH
    letters[WIDTH // 2] = "│"
    letters[low : high + 1] = "─" * (high + 1 - low)
    letters[value] = "●"
    if places[0] / row.spread < -end * 1.001:
        letters[0] = "<"
    if places[2] / row.spread > end * 1.001:
        letters[-1] = ">"
    return "".join(letters)


def _column(value: float, end: float) -> int:
    """Of a number in standard deviations; 0 stands at the middle."""
    half = WIDTH // 2
    room = half if value < 0 else WIDTH - 1 - half
    return min(max(half + round(value / end * room), 0), WIDTH - 1)
