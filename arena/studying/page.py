"""The report of a study as a Markdown page: what differs from what, by how much, how well that is known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from agents.human import printable
from arena.evaluation.findings import Report
from arena.evaluation.room import BARE
from arena.markdown import inline
from arena.report import table
from arena.stats.intervals import Estimate
from arena.studying.arms import Measured
from arena.studying.pooled import (
    AT_LENGTH,
    LABELS,
    LEARNING,
    Cell,
    Learned,
    arms_of,
    cells,
    false_alarms,
    half_of,
)

MANY_CUT = 0.3
"""Share of texts cut at the token limit from which an arm's length is that of the limit."""
STILL = 0.01
"""Log-ratio to the untrained checkpoint, nats per token, below which an arm has hardly moved."""
OUTCOMES = ("pairs", "ties", "abstained")
ASKED = ("rating", AT_LENGTH, "likeness", "reference_nats")
"""Measures of how good an answer is."""


@dataclass(frozen=True)
class Results:
    """All that a study has found."""

    conf: str
    scale: str
    control: str
    """The arm that every other one is compared with."""
    contrasts: Sequence[tuple[str, str]]
    """Arms whose difference the study asks for: the first less the second."""
    arms: Mapping[str, Sequence[str]]
    """The settings in which each arm differs."""
    measured: Mapping[int, Sequence[Measured]]
    """By seed."""
    learned: Sequence[Learned]
    judging: Report | None
    """The judge with an answer's own WIM, beside another answer's, on the same drafts."""
    about: Sequence[str]
    """What was trained, on what, in sentences."""
    alarms: Mapping[str, int] = field(default_factory=dict)
    """What the arms' trainings said against themselves: alarm -> how many of them."""

    @property
    def order(self) -> list[str]:
        """The arms that were measured, in the order of the conf."""
        known = arms_of(self.measured)
        return [arm for arm in self.arms if arm in known]

    @property
    def asked(self) -> list[Cell]:
        """The contrasts, measure by measure."""
        return [
            cell
            for arm, against in self.contrasts
            if {arm, against} <= set(self.order)
            for cell in cells(self.measured, [arm], against)
        ]

    @property
    def numbers(self) -> dict[str, Any]:
        """All of it for programs; null where an interval is not known."""
        arms = [BARE, *self.order]
        compared = [
            cell for against in (self.control, BARE, "") for cell in cells(self.measured, arms, against)
        ]
        return {
            "schema": "arena.study/1",
            "conf": self.conf,
            "scale": self.scale,
            "control": self.control,
            "seeds": list(self.measured),
            "arms": {arm: list(self.arms[arm]) for arm in self.order},
            "asked": [cell.result for cell in self.asked],
            "cells": [cell.result for cell in compared],
            "learned": [asdict(each) for each in self.learned],
            "judging": self.judging.results if self.judging else None,
            "alarms": dict(self.alarms),
        }


def summary(found: Results) -> str:
    """What a terminal shows: what was done, and what it shows."""
    return "\n".join([_head(found), *_answers(found)])


def page(found: Results, pictures: Sequence[Path]) -> str:
    """The whole report."""
    parts = [_head(found), *_answers(found), *_contrasts(found), *_arms(found), *_training(found)]
    if found.judging:
        parts += _judging(found.judging)
    parts += [f"![{path.stem.replace('_', ' ')}]({path.name})\n" for path in pictures]
    return "\n".join([*parts, *_how(found)])


def _head(found: Results) -> str:
    seeds = len(found.measured)
    about = " ".join(inline(line) for line in found.about)
    return f"# {inline(found.conf)}, scale {found.scale}: {len(found.order)} arms, {seeds} seeds\n\n{about}\n"


def _answers(found: Results) -> Iterator[str]:
    """What can be said, in sentences that the tables below bear out."""
    yield "## What it shows\n"
    told = [*_moves(found), *_gains(found), *_lengths(found), *_alarmed(found)]
    yield "\n".join(f"- {line}" for line in told) + "\n"


def _moves(found: Results) -> Iterator[str]:
    for cell in cells(found.measured, found.order, ""):
        if cell.measure == "moved" and abs(cell.value) < STILL:
            yield f"`{cell.arm}` has hardly moved: {cell.value:+.4f} nats/token from {BARE}."


def _gains(found: Results) -> Iterator[str]:
    """The contrasts, and each arm against the control, in what tells a good answer."""
    if len(found.measured) < 2:
        yield "One seed: there is no interval over seeds, and nothing is told of the differences."
        return
    control = cells(found.measured, found.order, found.control)
    for asked, of in ((found.asked, ""), (control, f" (all less the one control `{found.control}`)")):
        counted = [cell for cell in asked if cell.measure in ASKED]
        for measure in ASKED:
            if own := [cell for cell in counted if cell.measure == measure]:
                yield f"{LABELS[measure]}{of}: {_shown(own)}"
        if counted:
            yield f"Of these differences{of}: {false_alarms(counted)}"


def _shown(own: Sequence[Cell]) -> str:
    """Which differences leave 0 out, and how large one may be that does not."""
    shown = [f"`{cell.arm}` - `{cell.against}` {_signed(cell)}" for cell in own if cell.shown]
    hidden = [half for cell in own if not cell.shown and (half := half_of(cell.over_seeds))]
    told = f"shown are {', '.join(shown)}." if shown else "no difference is shown."
    return told + (f" One of less than {max(hidden):.3f} may have gone unseen." if hidden else "")


def _lengths(found: Results) -> Iterator[str]:
    for cell in cells(found.measured, found.order, found.control):
        if cell.measure == "words" and cell.shown:
            more = "longer" if cell.value > 0 else "shorter"
            half = half_of(cell.over_seeds) or 0.0
            yield (
                f"The texts of `{cell.arm}` are {more} than those of `{found.control}`, by "
                f"{abs(cell.value):.1f} ± {half:.1f} words: what differs may be length."
            )
    for cell in cells(found.measured, found.order, ""):
        if cell.measure == "cut" and cell.value > MANY_CUT:
            yield f"{cell.value:.0%} of the texts of `{cell.arm}` were cut at the token limit."


def _alarmed(found: Results) -> Iterator[str]:
    if found.alarms:
        told = ", ".join(f"{name} in {count}" for name, count in found.alarms.items())
        yield f"Alarms of the {len(found.learned)} trainings: {told}."


def _signed(cell: Cell, digits: int = 3) -> str:
    return f"{cell.value:+.{digits}f}{_half(cell.over_seeds, digits)}"


def _half(found: Estimate | None, digits: int) -> str:
    half = half_of(found)
    return "" if half is None else f" ± {half:.{digits}f}"


def _contrasts(found: Results) -> Iterator[str]:
    if found.asked:
        yield f"## The differences that are asked for\n\nPaired by seed and prompt. {_READ}\n"
        yield from _matrix(found.asked)
    yield f"## Against the control\n\nEach arm less `{found.control}`, in the same way.\n"
    yield from _matrix(cells(found.measured, found.order, found.control))


def _arms(found: Results) -> Iterator[str]:
    yield f"## Against the checkpoint that all began with\n\nEach arm less {BARE}, in the same way.\n"
    yield from _matrix(cells(found.measured, found.order, BARE))
    yield "## The arms by themselves\n"
    yield from _matrix(cells(found.measured, [BARE, *found.order], ""))


_READ = (
    "± is the half width of the 95 % interval of the mean over seeds (Student's t; each seed has prompts and "
    "samples of its own). In brackets the one over the prompts of these very seeds, which says nothing of "
    "other seeds. Bold: the interval over seeds leaves 0 out."
)


def _matrix(own: Sequence[Cell]) -> list[str]:
    """A row for each arm or difference, a column for each measure that differs anywhere."""
    by_measure = {name: [cell for cell in own if cell.measure == name] for name in LABELS}
    measures = [name for name, column in by_measure.items() if _vary(column)]
    rivals = len({cell.against for cell in own}) > 1
    names = {
        (cell.arm, cell.against): f"`{cell.arm}` - `{cell.against}`" if rivals else f"`{cell.arm}`"
        for cell in own
    }
    at = {(cell.arm, cell.against, cell.measure): cell for cell in own}
    rows = [(name, *(_cell(at.get((*key, measure))) for measure in measures)) for key, name in names.items()]
    return table(["", *(LABELS[measure] for measure in measures)], rows)


def _vary(column: Sequence[Cell]) -> bool:
    """Whether a column tells anything: not where nothing differs, as when all texts are rated."""
    values = {value for cell in column for value in cell.seeds.values()}
    return bool(values - {0.0}) if any(cell.against for cell in column) else len(values) > 1


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    sign = "+" if cell.against else ""
    digits = 1 if cell.measure == "words" else 3
    narrow = half_of(cell.over_prompts)
    told = f"{cell.value:{sign}.{digits}f}{_half(cell.over_seeds, digits)}"
    bold = f"**{told}**" if cell.shown and cell.against else told
    return bold + (f" ({narrow:.{digits}f})" if narrow is not None else "")


def _training(found: Results) -> Iterator[str]:
    """What the learners say of themselves at the end: means of the last fourth, over seeds."""
    yield (
        "## Training\n\nLoss to KL: means over the last fourth of a seed's updates (three at least), and "
        "over seeds. What became of the turns and drafts: over all of them.\n"
    )
    rows = []
    for arm in found.order:
        own = [each for each in found.learned if each.arm == arm]
        turns, drafts = sum(e.exchanges for e in own), sum(e.drafts for e in own)
        ends = [_mean([e.end[name] for e in own if name in e.end]) for name in LEARNING]
        counted = [_share(sum(getattr(e, key) for e in own), turns) for key in OUTCOMES]
        cut = _share(sum(e.truncated for e in own), drafts)
        rows.append((f"`{arm}`", sum(e.updates for e in own), *ends, *counted, cut))
    head = ["", "updates", *LEARNING.values(), *OUTCOMES, "drafts cut"]
    yield from table(head, rows)


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):.4f}" if values else "-"


def _share(count: int, of: int) -> str:
    return f"{count / of:.0%}" if of else "-"


def _judging(report: Report) -> Iterator[str]:
    yield "## The judge on the same drafts\n"
    yield inline(report.about) + "\n"
    rows = [tuple(map(inline, finding.cells)) for finding in report.findings]
    yield from table([name.replace("\n", " ") for name in report.head], rows)
    yield from (inline(note) + "\n" for note in report.notes)
    yield from (f"- **{name}**: {printable(text)}\n" for name, text in report.alarms.items())


def _how(found: Results) -> Iterator[str]:
    yield "## How\n"
    rows = [(f"`{arm}`", f"`{' '.join(words)}`") for arm, words in found.arms.items() if arm in found.order]
    yield from table(["arm", "differs by"], rows)
    seeds = ", ".join(map(str, found.measured))
    yield f"`python -m arena.study conf={found.conf} scale={found.scale}`, seeds {seeds}.\n"
