"""The run's README.md: what came of it, and the card of its tables as a data set."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from arena.rundir import TABLES, RunFolder
from arena.stats.intervals import Estimate, clustered_mean, wilson
from rewards.scores import SCALE

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]
"""Rows by the name of their table."""


def report(run: RunFolder, conf: str, alarms: Mapping[str, str]) -> str:
    """Markdown with a data set card in front; every mean with its 95 % interval and its controls.

    Intervals are clustered by topic: what is said to one topic rises and falls together.
    """
    rows = {name: list(run.rows(name)) for name in TABLES}
    topics = {row["dialogue"]: row["topic"] for row in rows["exchanges"]}
    drafts = [row for row in rows["verdicts"] if row["about"] == "draft"]
    with_wim = [row for row in drafts if row["wim_status"] == "ok" and row["controls"]]
    means = {
        "rating, 1 to 10": ("rating", [row for row in drafts if row["scale"] != SCALE]),
        "reward": ("reward", drafts),
        "cosine with what is missing": ("cosine", with_wim),
        "control: with another answer's": ("cosine_shuffled", with_wim),
        "control: with the bare topic": ("cosine_topic", with_wim),
        "words in threes that the WIM repeats": ("echo", with_wim),
    }
    lines = [
        *card([name for name in TABLES if rows[name]]),
        f"# {conf}",
        "",
        f"{len(rows['exchanges'])} turns, {len(rows['turns'])} drafts, {len(rows['verdicts'])} verdicts, "
        f"{len(rows['preferences'])} pairs, {len(rows['failures'])} failures.",
        "",
        *table(
            ["judged drafts", "mean ± 95 %", "n (topics)"],
            [(label, *_by_topic(name, own, topics)) for label, (name, own) in means.items() if own],
        ),
        *learning(rows["metrics"]),
        *alarmed(alarms),
        *failures(rows["failures"]),
    ]
    return "\n".join(lines)


def card(tables: Sequence[str]) -> list[str]:
    """The head that lets `datasets.load_dataset` read the folder; a table of no rows would fail it."""
    lines = ["---", "configs:"]
    for name in tables:
        lines += [f"- config_name: {name}", f"  data_files: {name}.jsonl"]
    return [*lines, "---", ""]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table in Markdown and an empty line after it."""
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:], ""]


def _by_topic(name: str, rows: Sequence[Row], topics: Mapping[str, str]) -> tuple[str, str]:
    """The mean of a column, and of how many rows and topics; a dialogue without one is its own topic."""
    clusters = [topics.get(row["dialogue"], row["dialogue"]) for row in rows]
    return interval([row[name] for row in rows], 3, clusters), f"{len(rows)} ({len(set(clusters))})"


def interval(values: Sequence[float], digits: int, clusters: Sequence[Hashable] | None = None) -> str:
    """Mean ± half width at 95 % of one value or more, by `arena.stats.intervals.clustered_mean`.

    Args:
        values: (n,) what was found.
        digits: behind the point.
        clusters: (n,) the topic or problem of each value; None: each has its own.
    """
    found = _estimate(values, clusters)
    shown, one = f"{found.value:.{digits}f}", "one value" if found.n == 1 else "all of one topic"
    return f"{shown} ± {found.half:.{digits}f}" if isfinite(found.half) else f"{shown}, {one}"


def _about(values: Sequence[float]) -> str:
    """Mean ± half width at 95 %, in four digits: learning rates and tokens stand in one table."""
    found = _estimate(values, None)
    return f"{found.value:.4g} ± {found.half:.2g}" if isfinite(found.half) else f"{found.value:.4g}"


def _estimate(values: Sequence[float], clusters: Sequence[Hashable] | None) -> Estimate:
    found = clustered_mean(values, range(len(values)) if clusters is None else clusters)
    assert found is not None, "a mean needs a value"
    return found


def share(count: int, n: int) -> str:
    """A share in per cent with its 95 % interval (Wilson), or that there was nothing to count."""
    if not n:
        return "none of none"
    low, high = wilson(count / n, n)
    return f"{count / n:.1%} ({low:.1%} to {high:.1%})"


def pictures(paths: Sequence[Path]) -> list[str]:
    """Pictures that lie beside the report."""
    if not paths:
        return []
    return ["## Pictures", "", *(f"![{path.stem.replace('_', ' ')}]({path.name})\n" for path in paths)]


def failures(rows: Sequence[Row]) -> list[str]:
    """How many of each kind, under a title; nothing where nothing failed."""
    if not rows:
        return []
    kinds = [row["what"] for row in rows]
    return ["## Failures", "", *(f"- {kind}: {kinds.count(kind)}" for kind in sorted(set(kinds))), ""]


def alarmed(alarms: Mapping[str, str]) -> list[str]:
    """What a run says against itself."""
    found = [f"- **{name}**: {text}" for name, text in alarms.items()]
    return ["## Alarms", "", *(found or ["None."]), ""]


def learning(metrics: Sequence[Row]) -> list[str]:
    """First and last third of each learner's updates: means, never minima."""
    lines = []
    for seat in dict.fromkeys(row["speaker"] for row in metrics):
        own = [row for row in metrics if row["speaker"] == seat]
        third = max(1, len(own) // 3)
        names = [key for key in own[0] if key not in ("schema", "id", "speaker", "step", "ts")]
        cells = (
            (
                name.replace("_", " "),
                _about([row[name] for row in own[:third]]),
                _about([row[name] for row in own[-third:]]),
            )
            for name in names
        )
        head = [f"{seat}, {len(own)} updates", "first third, mean ± 95 %", "last third"]
        lines += table(head, cells)
    return lines
