"""A picture of a comparison: the differences with their intervals, and reward and margin over the steps."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from agents.errors import ConfigError
from agents.human import printable
from arena import plots
from arena.comparing.arms import Arm
from arena.comparing.comparison import Comparison
from arena.comparing.forest import drawable, limit
from arena.comparing.recorded import PERFORMANCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[int, float]
"""Mean by step."""
_LONG = 40


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw all comparisons with one arm as a PNG file, which is replaced as a whole.

    Args:
        comparisons: one or more, all with the same first arm.
        path: the file; not in a run folder.

    Raises:
        ConfigError: matplotlib is missing, or the file is no PNG or lies in a run that is compared.
    """
    if not plots.can_draw():
        raise ConfigError("--plot needs matplotlib: pip install -e '.[plot]'")
    arms = [comparisons[0].a, *(of.b for of in comparisons)]
    figure = plots.blank(height=9.0)
    layout = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    _forest(figure.add_subplot(layout[0, :]), comparisons)
    left, right = (figure.add_subplot(layout[1, place]) for place in (0, 1))
    for axes, lines, name, of in ((left, rewards, "reward", "drafts"), (right, margins, "margin", "updates")):
        told = not any(label.startswith(name) for each in comparisons for label in each.refused)
        _steps(axes, {arm: lines(arm) for arm in arms} if told else {}, f"{name} of {of}")
        if not told:
            axes.text(0.5, 0.5, "not compared", ha="center", transform=axes.transAxes)
    plots.save(figure, path)


def check(path: Path, arms: Sequence[Arm]) -> None:
    """Refuse a file in a run folder, which readers do not write to, and one that says to be no PNG.

    Raises:
        ConfigError: it is one of these, or its folder is not there.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--plot {str(path)!r}: pictures are PNG files; name it FILE.png")
    if not path.parent.is_dir():
        raise ConfigError(f"--plot {str(path)!r}: there is no folder {str(path.parent)!r}; make it first")
    runs = {run.path.resolve() for arm in arms for run in arm.runs}
    if runs & {path.resolve().parent, *path.resolve().parents}:
        raise ConfigError(
            f"--plot {str(path)!r} lies in a run folder, where nothing is written: name another place"
        )


def rewards(arm: Arm) -> Line:
    """Mean reward of drafts by step."""
    return _means(
        (row["step"], row["reward"])
        for run in arm.runs
        for row in run.rows("verdicts")
        if row["about"] != PERFORMANCE
    )


def margins(arm: Arm) -> Line:
    """Mean margin of updates by step, seats and seeds together."""
    return _means(
        (row["step"], row["margin"]) for run in arm.runs for row in run.rows("metrics") if "margin" in row
    )


def _means(values: Iterable[tuple[int, float]]) -> Line:
    found: dict[int, list[float]] = {}
    for step, value in values:
        found.setdefault(step, []).append(value)
    return {step: fmean(found[step]) for step in sorted(found)}


def _forest(axes: "Axes", comparisons: Sequence[Comparison]) -> None:
    """A row for each measure, the arms in colours below each other."""
    rows = {of.b: {row.label: row for row in drawable(of.rows)} for of in comparisons}
    labels = list(dict.fromkeys(label for own in rows.values() for label in own))
    for number, (arm, own) in enumerate(rows.items()):
        shift = (number - (len(rows) - 1) / 2) * 0.8 / len(rows)
        places = [labels.index(label) + shift for label in own]
        values = [row.difference.value / row.spread for row in own.values()]
        below = [(row.difference.value - row.difference.low) / row.spread for row in own.values()]
        above = [(row.difference.high - row.difference.value) / row.spread for row in own.values()]
        axes.errorbar(
            values,
            places,
            xerr=[below, above],
            fmt=plots.MARKERS[number % len(plots.MARKERS)],
            color=plots.COLOURS[number % len(plots.COLOURS)],
            capsize=3,
            label=_name(arm),
        )
    axes.axvline(0, color="grey", linewidth=1)
    axes.set_yticks(range(len(labels)), [_plain(label) for label in labels])
    axes.invert_yaxis()
    if everything := [row for own in rows.values() for row in own.values()]:
        end = 1.05 * limit(everything)
        axes.set_xlim(-end, end)
        axes.legend(frameon=False)
    how = "paired" if comparisons[0].paired else "UNPAIRED"
    axes.set(
        xlabel=f"difference from {_name(comparisons[0].a)}, in standard deviations of the values",
        title=f"Differences and their 95 % intervals, {how}",
    )


def _steps(axes: "Axes", lines: Mapping[Arm, Line], what: str) -> None:
    for number, (arm, line) in enumerate(lines.items()):
        if line:
            colour = plots.COLOURS[-1 if not number else (number - 1) % (len(plots.COLOURS) - 1)]
            axes.plot(list(line), list(line.values()), color=colour, label=arm.letter)
    axes.set(xlabel="step", ylabel=f"mean {what}")
    if axes.get_lines():
        axes.legend(frameon=False)


def _name(arm: Arm) -> str:
    return f"{arm.letter}: {_plain(arm.name)}"


def _plain(text: str) -> str:
    """A text that matplotlib does not take for mathematics."""
    short = printable(text)
    return (short if len(short) <= _LONG else f"...{short[3 - _LONG :]}").replace("$", r"\$")
