"""Pictures of a study: each arm's difference from the control, and the margins of the steps."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import TYPE_CHECKING

from arena import plots
from arena.studying.page import Results
from arena.studying.pooled import AT_LENGTH, LABELS, Cell, cells, half_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = ("rating", AT_LENGTH, "likeness", "reference_nats", "words")
"""Measures that have a panel."""
TITLE = 18
"""Letters of a line above a panel."""


def draw(found: Results, folder: Path) -> list[Path]:
    """Draw the differences where another arm is left, and the margins where the learners have them.

    Returns:
        The pictures; none without matplotlib.
    """
    if not plots.can_draw():
        return []
    drawn = []
    if contrast := cells(found.measured, found.order, found.control):
        drawn.append(_differences(found.control, contrast, folder / "differences_from_the_control.png"))
    if any(each.margins for each in found.learned):
        drawn.append(_margins(found, folder / "margins_of_steps.png"))
    return drawn


def _differences(control: str, contrast: Sequence[Cell], path: Path) -> Path:
    """A panel for each measure: a dot for each seed, the mean, and its interval over seeds."""
    panels = [name for name in SHOWN if any(cell.measure == name for cell in contrast)]
    figure = plots.blank()
    for number, (axes, name) in enumerate(
        zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True)
    ):
        own = [cell for cell in contrast if cell.measure == name]
        _panel(axes, own)
        axes.set_title(fill(LABELS[name], TITLE), fontsize=9)
        if number == 0:
            axes.set_yticks(range(len(own)), [cell.arm for cell in own])
            axes.invert_yaxis()
    figure.suptitle(f"less {control}: each seed, mean, 95 % over seeds", fontsize=10)
    return plots.save(figure, path)


def _panel(axes: "Axes", own: Sequence[Cell]) -> None:
    axes.axvline(0, color="grey", linewidth=1)
    for place, cell in enumerate(own):
        values = list(cell.seeds.values())
        axes.plot(values, [place] * len(values), "o", color=plots.COLOURS[0], alpha=0.4, markersize=4)
        axes.errorbar(
            [cell.value], [place], xerr=half_of(cell.over_seeds), fmt="s", color=plots.COLOURS[1], capsize=3
        )


def _margins(found: Results, path: Path) -> Path:
    """The mean margin of each step over the seeds that had pairs in it, a line for each arm."""
    figure = plots.blank()
    axes = figure.subplots()
    for i, arm in enumerate(found.order):
        runs = [each.margins for each in found.learned if each.arm == arm and each.margins]
        steps = sorted({step for run in runs for step in run})
        axes.plot(
            [1 + step for step in steps],
            [fmean(run[step] for run in runs if step in run) for step in steps],
            color=plots.COLOURS[i % len(plots.COLOURS)],
            marker=plots.MARKERS[i % len(plots.MARKERS)],
            linestyle="-" if i < len(plots.COLOURS) else "--",
            label=arm,
        )
    axes.axhline(0, color="grey", linewidth=1)
    axes.set(xlabel="step", ylabel="margin of its pairs, nats", title="Margins, mean over seeds")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    return plots.save(figure, path)
