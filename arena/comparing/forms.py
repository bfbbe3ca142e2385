"""Comparisons for files and programs: Markdown, CSV and JSON, all with the same numbers."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agents.human import printable
from arena.comparing.arms import Arm
from arena.comparing.comparison import Comparison, Difference
from arena.comparing.pairing import Left
from arena.comparing.wording import about, besides, cells, head, method, pairing
from arena.markdown import inline
from arena.report import table
from arena.stats.resampling import Interval

SCHEMA = "arena.compare/1"
HEAD = (
    "measure", "part", "per", "arm", "run", "value", "low", "high", "against", "difference",
    "difference_low", "difference_high", "n", "clusters", "paired", "these_seeds_low", "these_seeds_high",
)  # fmt: skip
"""Columns of the CSV; an end that is not known is empty."""
Doubts = Sequence[Mapping[str, str]]


def markdown(comparisons: Sequence[Comparison], doubts: Doubts) -> str:
    """A page that can stand in a repository: what a user or a model wrote shows as it is."""
    lines = ["# Comparison of runs", ""]
    for of, against in zip(comparisons, doubts, strict=True):
        lines += [f"## {of.b.letter} beside A", ""]
        lines += [f"- {arm.letter}: {inline(about(arm))}" for arm in (of.a, of.b)]
        lines += ["", inline(pairing(of)), ""]
        if of.rows:
            lines += table(
                [inline(name) for name in head(of)], [map_inline(cells(of, row)) for row in of.rows]
            )
        lines += [line for text in besides(of) for line in (inline(text), "")]
        lines += ["### Warnings", "", *(f"- {inline(text)}" for text in against.values() or ["None."]), ""]
        lines += ["### What was set differently", ""]
        changed = [map_inline((each.key, each.a, each.b)) for each in of.changed]
        lines += table(["key", "A", of.b.letter], changed) if changed else ["Nothing that is on record.", ""]
    lines += [line for text in method(comparisons) for line in (inline(text), "")]
    return "\n".join(lines)


def map_inline(texts: Iterable[str]) -> tuple[str, ...]:
    """Each text on one line that shows as it is."""
    return tuple(map(inline, texts))


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """A row for each measure of each arm: numbers in full precision."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEAD)
    for of in comparisons:
        for row in of.rows:
            writer.writerows(_lines(of, row))
    return file.getvalue()


def _lines(of: Comparison, row: Difference) -> Iterator[list[Any]]:
    for arm, side, change in ((of.a, row.a, None), (of.b, row.b, row.difference)):
        own = _numbers(side)
        less, these = _numbers(change), _numbers(row.these_seeds if change else None)
        yield [
            row.measure.name, printable(row.part), row.measure.per, arm.letter, printable(arm.name),
            own["value"], own["low"], own["high"], "A" if change else "", less["value"], less["low"],
            less["high"], row.difference.n, row.clusters, row.paired, these["low"], these["high"],
        ]  # fmt: skip


def _numbers(found: Interval | None) -> Mapping[str, Any]:
    """Value and ends; nothing stands for what is not known."""
    numbers = found.numbers() if found else dict.fromkeys(("value", "low", "high"))
    return {key: "" if value is None else value for key, value in numbers.items()}


def as_json(comparisons: Sequence[Comparison], doubts: Doubts) -> str:
    """All of it: null is a number that is not known. Only ASCII, so that no text can command a terminal."""
    arms = [comparisons[0].a, *(of.b for of in comparisons)]
    found = {
        "schema": SCHEMA,
        "arms": [_arm(arm) for arm in arms],
        "comparisons": [_comparison(of, against) for of, against in zip(comparisons, doubts, strict=True)],
        "notes": list(method(comparisons)),
    }
    return json.dumps(found, indent=1, allow_nan=False)


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "arm": arm.letter,
        "runs": [run.path.as_posix() for run in arm.runs],
        "conf": arm.conf,
        "states": arm.states,
        "seeds": arm.seeds,
        "drafts": len(arm.drafts),
        "contestants": arm.contestants,
    }


def _comparison(of: Comparison, doubts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "a": of.a.letter,
        "b": of.b.letter,
        "paired": of.paired,
        "left_out": {arm.letter: _left(side) for arm, side in zip((of.a, of.b), of.left, strict=True)},
        "rows": [_row(row) for row in of.rows],
        "not_compared": of.refused,
        "seconds_per_step": dict(zip((of.a.letter, of.b.letter), of.seconds, strict=True)),
        "warnings": dict(doubts),
        "settings": [{"key": each.key, "a": each.a, "b": each.b} for each in of.changed],
    }


def _left(side: Left) -> dict[str, Any]:
    return {"of": side.of, "count": side.count, "reasons": side.reasons}


def _row(row: Difference) -> dict[str, Any]:
    return {
        "measure": row.measure.name,
        "part": row.part,
        "label": row.label,
        "per": row.measure.per,
        "a": row.a.numbers(),
        "b": row.b.numbers(),
        "difference": row.difference.numbers(),
        "these_seeds": row.these_seeds.numbers() if row.these_seeds else None,
        "paired": row.paired,
        "left_out": {"a": row.left[0], "b": row.left[1]},
    }
