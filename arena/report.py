"""The run's README.md: what came of it, and the card of its tables as a data set."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from arena.alarms import mean_interval
from arena.rundir import TABLES, RunFolder

Row = Mapping[str, Any]


def report(run: RunFolder, conf: str, alarms: Mapping[str, str]) -> str:
    """Markdown with a data set card in front; every mean with its 95 % interval and its controls."""
    table = {name: list(run.rows(name)) for name in TABLES}
    drafts = [row for row in table["verdicts"] if row["about"] == "draft"]
    with_wim = [row for row in drafts if row["wim_status"] == "ok" and row["controls"]]
    lines = [
        *_card([name for name in TABLES if table[name]]),
        f"# {conf}",
        "",
        f"{len(table['exchanges'])} turns, {len(table['turns'])} drafts, {len(table['verdicts'])} verdicts, "
        f"{len(table['preferences'])} pairs, {len(table['failures'])} failures.",
        "",
        "| judged drafts | mean ± 95 % | n |",
        "|---|---|---|",
        _mean("rating, 1 to 10", [row["rating"] for row in drafts]),
        _mean("reward", [row["reward"] for row in drafts]),
        _mean("cosine with what is missing", [row["cosine"] for row in with_wim]),
        _mean("control: with another answer's", [row["cosine_shuffled"] for row in with_wim]),
        _mean("control: with the bare topic", [row["cosine_topic"] for row in with_wim]),
        _mean("words in threes that the WIM repeats", [row["echo"] for row in with_wim]),
        "",
        *_learning(table["metrics"]),
        "## Alarms",
        "",
        *([f"- **{name}**: {text}" for name, text in alarms.items()] or ["None."]),
        "",
        *_failures(table["failures"]),
    ]
    return "\n".join(line for line in lines if line is not None)


def _card(tables: Sequence[str]) -> list[str]:
    """The head that lets `datasets.load_dataset` read the folder."""
    lines = ["---", "configs:"]
    for name in tables:
        lines += [f"- config_name: {name}", f"  data_files: {name}.jsonl"]
    return [*lines, "---", ""]


def _mean(label: str, values: Sequence[float]) -> str | None:
    return f"| {label} | {_interval(values, 3)} | {len(values)} |" if values else None


def _interval(values: Sequence[float], digits: int) -> str:
    mean, half = mean_interval(values)
    return f"{mean:.{digits}f} ± {half:.{digits}f}" if isfinite(half) else f"{mean:.{digits}f}, one value"


def _learning(metrics: Sequence[Row]) -> list[str]:
    """First and last third of each seat's updates: means, never minima."""
    if not metrics:
        return []
    lines = [
        "| learner | updates | pairs | loss, first third | last third | margin, last third | KL, last third |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for seat in dict.fromkeys(row["speaker"] for row in metrics):
        own = [row for row in metrics if row["speaker"] == seat]
        third = max(1, len(own) // 3)
        first, last = own[:third], own[-third:]
        cells = [
            seat,
            str(len(own)),
            str(sum(row["pairs"] for row in own)),
            _interval([row["loss"] for row in first], 4),
            _interval([row["loss"] for row in last], 4),
            _interval([row["margin"] for row in last], 4),
            _interval([row["kl"] for row in last], 4),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _failures(failures: Sequence[Row]) -> list[str]:
    if not failures:
        return []
    kinds = [row["what"] for row in failures]
    return ["## Failures", "", *(f"- {kind}: {kinds.count(kind)}" for kind in sorted(set(kinds))), ""]
