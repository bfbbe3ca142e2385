"""The report on two judges: how it is put together, written and shown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arena.evaluation.findings import Report
from arena.rejudging.comparison import Comparison
from arena.rejudging.doubts import doubts
from arena.rejudging.naming import in_words
from arena.rejudging.sides import Bench, Side, joined
from arena.rejudging.stored import Stored
from arena.rundir import replace_text

if TYPE_CHECKING:
    from rewards.wim import Embedder

WIDTH = 80
"""Columns of a report on the terminal."""
NOTES = (
    "Intervals are of whole topics: drafts of one are not independent. Pairs are all pairs of drafts of one "
    "exchange; an abstention and two scales make none, and rewards within a judge's tie_margin are a tie.",
    "Gaps are between the two drafts of a pair: a rating as it is, a cosine x as 5x + 5 (as the WIM paper "
    "maps it), and raw in units of the reward. 'WIM orders as rating' is over pairs that neither ties: 50 % "
    "is a coin, and the WIM paper's notebook has 54.2 %.",
    "'less shuffled' and 'less topic' are the cosine with a draft's own WIM less that with another draft's, "
    "and with the bare topic: at 0 the WIM says nothing of its own. 'echo' is the share of its words, in "
    "threes, that stand in the draft.",
)


def against(
    stored: Stored,
    folder: Path,
    way: str,
    changed: Mapping[str, tuple[object, object]],
    seed: int,
    second: str,
    device: str,
) -> Report:
    """What there is to say of a rejudging: the verdicts of the run, and those in the new folder.

    Args:
        stored: the run.
        folder: where the new verdicts are.
        way: how they came about, in words.
        changed: the settings that differ, as they were and are.
        seed: of the intervals.
        second: as for `report_on`.
        device: as for `report_on`.
    """
    bench = joined(stored, Stored(folder), ("stored", "new"), seed)
    about = f"The {len(bench.drafts)} drafts of {stored.path}, judged again by {way}."
    if unjudged := len(stored.turns) - len(bench.drafts):
        about += f" {unjudged} more were not judged then, and are left out."
    return report_on(bench, f"{about} What differs: {in_words(changed)}.", second, device)


def report_on(bench: Bench, about: str, second: str = "", device: str = "cpu") -> Report:
    """What there is to say of two judges.

    Args:
        bench: the judges and the drafts.
        about: what was judged, in a sentence or two.
        second: a second embedding model, under which the order by WIM is looked at again; `""` for none.
        device: where it runs.
    """
    found = Comparison(bench, _second(bench, second, device))
    one, other = bench.sides
    told = f" WIM order flips: under {second}." if second else ""
    return Report(
        f"{about} {one.name} is {one.judge}; {other.name} is {other.judge}.{told}",
        found.findings,
        f"less\n{one.name}",
        NOTES,
        _counts(bench),
        found.bars,
        doubts(found),
    )


def _second(bench: Bench, checkpoint: str, device: str) -> dict[str, dict[str, float]]:
    """Judge -> id of a draft -> cosine of the draft with what that judge finds missing, by another model."""
    if not checkpoint:
        return {}
    from agents.backbone import pick_device
    from rewards.wim import Embedder

    embedder = Embedder(checkpoint, pick_device(device))
    found = {side.name: _cosines(bench, side, embedder) for side in bench.sides}
    return {name: own for name, own in found.items() if own}


def _cosines(bench: Bench, side: Side, embedder: "Embedder") -> dict[str, float]:
    drafts = [draft for draft in bench.drafts if side.cosine(draft) is not None]
    if not drafts:
        return {}
    said = embedder([draft.text for draft in drafts])
    missing = embedder([side.verdicts[draft.id].wim for draft in drafts])
    return {d.id: float(cosine) for d, cosine in zip(drafts, np.sum(said * missing, axis=1), strict=True)}


def _counts(bench: Bench) -> dict[str, int]:
    counts = {"drafts": len(bench.drafts), "exchanges": len(bench.exchanges), "pairs": len(bench.pairs)}
    counts["topics"] = len({draft.cluster for draft in bench.drafts})
    if bench.left:
        counts["drafts in one folder only"] = bench.left
    for side in bench.sides:
        counts |= {f"{side.name}: {status}": number for status, number in side.abstentions.items()}
    return counts


def write(
    report: Report, folder: Path, title: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Leave the report and its numbers in a folder."""
    replace_text(folder / "README.md", report.markdown(title, tables))
    text = json.dumps(report.results, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    replace_text(folder / "results.json", text)


def show(report: Report, display: str) -> None:
    """Print the report, or its numbers as one line for programs; nothing where it is to be quiet."""
    from arena.terminal import stdout_console

    if display == "json":
        print(json.dumps({"event": "results", **report.results}))
    elif display != "quiet":
        console = stdout_console()
        console.width = min(console.width, WIDTH)
        console.print()
        report.print(console)
