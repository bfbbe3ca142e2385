"""Pictures of what came of a run, as PNG files 800 pixels wide. Needs matplotlib, the extra `plot`."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.alarms import mean_interval
from arena.feedback.collect_report import by_kind, group_names, grouped
from arena.feedback.lengths import words
from arena.feedback.versions import Rated, Recorded, by_revisions, by_seat, recorded
from arena.report import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INCHES, DPI = (8.0, 4.5), 100
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart with any kind of colour blindness (Okabe and Ito 2008)."""
MARKERS = "osD^vPX"
BINS = 20
POINTS = 2.0
"""Points of the rating that its axis shows at least."""
TICKS = 4
"""The most numbers of revisions that are written on an axis."""


def draw_collect(tables: Tables, folder: Path) -> list[Path]:
    """Draw the difficulty of problems by group, and the words of pairs by kind, into `folder`.

    Returns:
        The pictures: those for which there are rows; none without matplotlib.
    """
    if not can_draw():
        return []
    drawn = []
    if problems := grouped(tables.get("problems", ())):
        drawn.append(save(_difficulty(problems), folder / "difficulty_by_group.png"))
    if preferences := tables.get("preferences", ()):
        drawn.append(save(_words(preferences), folder / "words_of_pairs.png"))
    return drawn


def draw_revise(tables: Tables, folder: Path) -> list[Path]:
    """Draw rating and words by the number of revisions into `folder`.

    Returns:
        The picture, if there are versions of answers; none without matplotlib.
    """
    chains = recorded(tables)
    if not chains or not can_draw():
        return []
    return [save(_revisions(chains), folder / "ratings_by_revisions.png")]


def draw_densities(values: Mapping[str, Sequence[float]], folder: Path) -> list[Path]:
    """Draw the density of each column of ratings, by a Gaussian kernel, into `folder`.

    Args:
        values: ratings in 1 to 10 by name; a column that does not vary is a line.
        folder: where the picture goes.

    Returns:
        The picture; none without matplotlib.
    """
    return [save(_densities(values), folder / "densities_of_ratings.png")] if can_draw() else []


def can_draw() -> bool:
    """Whether matplotlib is here."""
    return find_spec("matplotlib") is not None


def blank(height: float = INCHES[1]) -> "Figure":
    """An empty figure, so many inches high."""
    from matplotlib.figure import Figure

    # Without pyplot: no window, and nothing global.
    return Figure((INCHES[0], height), DPI, layout="constrained")


def save(figure: "Figure", path: Path) -> Path:
    """Replace the picture as a whole; a reader sees the old one or the new one."""
    scratch = path.with_name(f".{path.name}.writing")
    figure.savefig(scratch, format="png")
    os.replace(scratch, path)
    return path


def _difficulty(problems: Sequence[Any]) -> "Figure":
    """Stacked histogram: groups in order, from dark to light."""
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    figure, groups = blank(), group_names(problems)
    axes = figure.subplots()
    values = [[row["difficulty"] for row in problems if row["group"] == group] for group in groups]
    shades = colormaps["cividis"].resampled(max(2, len(groups)))
    axes.hist(
        values,
        BINS,
        stacked=True,
        color=[shades(i) for i in range(len(groups))],
        edgecolor="white",
        label=[f"{group} ({len(own)})" for group, own in zip(groups, values, strict=True)],
    )
    axes.set(xlabel="difficulty (nats/token)", ylabel="problems", title="Difficulty of problems by group")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def _words(preferences: Sequence[Any]) -> "Figure":
    """Words chosen against words rejected; above the line the chosen side is longer."""
    figure = blank()
    axes = figure.subplots()
    seen: list[int] = []
    for i, (kind, rows) in enumerate(by_kind(preferences).items()):
        chosen, rejected = ([max(1, words(row[side])) for row in rows] for side in ("chosen", "rejected"))
        seen += chosen + rejected
        axes.scatter(
            rejected,
            chosen,
            22,
            COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            alpha=0.6,
            linewidths=0,
            label=f"{kind} ({len(rows)})",
        )
    ends = (0.8 * min(seen), 1.25 * max(seen))
    axes.plot(ends, ends, color="grey", linewidth=1, label="equal length")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title="Length of pairs by kind")
    axes.set(xlabel="rejected (words)", ylabel="chosen (words)")
    for axis in (axes.xaxis, axes.yaxis):
        _plain_numbers(axis)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _plain_numbers(axis: "Axis") -> None:
    """1, 2, 5, 10, ... along a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _revisions(chains: Sequence[Recorded]) -> "Figure":
    """Two panels over the number of revisions, a line for each seat."""
    figure = blank()
    left, right = figure.subplots(1, 2)
    versions = {seat: by_revisions(own) for seat, own in by_seat(chains).items()}
    ratings = {seat: [_ratings(some) for some in own] for seat, own in versions.items()}
    lengths = {seat: [[float(each.words) for each in some] for some in own] for seat, own in versions.items()}
    for axes, values in ((left, ratings), (right, lengths)):
        for i, (seat, own) in enumerate(values.items()):
            _line(axes, own, i, seat)
        axes.set_xlabel("revisions")
        _counted(axes, list(values.values()))
    _widen(left, POINTS)
    left.set(ylabel="rating (1 to 10), mean and 95 %", title="Rating")
    right.set(ylabel="words, mean and 95 %", title="Length")
    right.legend(frameon=False)
    return figure


def _ratings(versions: Sequence[Rated]) -> list[float]:
    return [each.rating for each in versions if each.rating is not None]


def _counted(axes: "Axes", seats: Sequence[Sequence[Sequence[float]]]) -> None:
    """Ticks at 0, 1, ... revisions, each with the number of values of a seat behind it."""
    most = max(map(len, seats))
    places = range(0, most, -(-most // TICKS))
    counts = [[len(own[place]) for own in seats if len(own) > place] for place in places]
    axes.set_xticks(places, [f"{place}\n{_n(own)}" for place, own in zip(places, counts, strict=True)])


def _n(counts: Sequence[int]) -> str:
    few, many = min(counts), max(counts)
    return f"n = {few}" if few == many else f"n = {few} to {many}"


def _widen(axes: "Axes", least: float) -> None:
    """Show at least so much of the y axis: what is less than a point must not look like a cliff."""
    low, high = axes.get_ylim()
    spare = (least - (high - low)) / 2
    if spare > 0:
        axes.set_ylim(low - spare, high + spare)


def _line(axes: "Axes", values: Sequence[Sequence[float]], i: int, label: str) -> None:
    """Means of the values after 0, 1, ... revisions; seats stand side by side, so that all are seen."""
    places = [place for place, own in enumerate(values) if own]
    means = [mean_interval(values[place]) for place in places]
    axes.errorbar(
        [place + 0.05 * i for place in places],
        [mean for mean, _ in means],
        [half if isfinite(half) else nan for _, half in means],  # one value: a point without a bar
        color=COLOURS[i % len(COLOURS)],
        marker=MARKERS[i % len(MARKERS)],
        capsize=3,
        label=label,
    )


def _densities(values: Mapping[str, Sequence[float]]) -> "Figure":
    """Kernel density estimates, bandwidths by Scott's rule (Scott 1992)."""
    import numpy as np
    from scipy.stats import gaussian_kde

    figure, places = blank(), np.linspace(1, 10, 361)
    axes = figure.subplots()
    for (name, own), colour in zip(values.items(), COLOURS, strict=False):
        if len(set(own)) > 1:
            density = gaussian_kde(own)(places)
            axes.plot(places, density, color=colour, label=f"{name} ({len(own)})")
            axes.fill_between(places, density, color=colour, alpha=0.15, linewidth=0)
        else:
            axes.axvline(own[0], color=colour, linestyle="--", label=f"{name}, always {own[0]:g}")
    axes.set(xlabel="rating (1 to 10)", ylabel="density", title="Ratings", xlim=(1, 10))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure
