"""Differences between two arms, each with a paired interval that is clustered by topic."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from arena.comparing.arms import Arm
from arena.comparing.estimates import Mean, Whole, apart, shown, told
from arena.comparing.measures import Column, Measure
from arena.comparing.pairing import Left, left, refuse_unpaired
from arena.comparing.recorded import Place
from arena.comparing.settings import Setting, changed
from arena.comparing.trust import refused
from arena.stats.power import spread_of
from arena.stats.resampling import Interval

QUARTER = 4
"""The end of a training is its last 1 / QUARTER of steps."""


@dataclass(frozen=True)
class Difference:
    """One measure of two arms."""

    measure: Measure
    part: str
    """Of the run, as in `Column`."""
    label: str
    a: Interval
    b: Interval
    difference: Interval
    """Of b less a; paired, unless `paired` says otherwise."""
    spread: float
    """Standard deviation of the values within the sides; 0 where all are equal."""
    noise: float
    """Standard deviation of the difference between clusters; nan with fewer than two."""
    paired: bool
    left: tuple[int, int]
    """Values of each side that are not in it, since they have no partner."""

    @property
    def clusters(self) -> int:
        """Independent topics behind it, or steps, or seeds; of two sides apart those of the smaller one."""
        return self.difference.clusters


@dataclass(frozen=True)
class Comparison:
    """What came of comparing two arms."""

    a: Arm
    b: Arm
    paired: bool
    rows: tuple[Difference, ...]
    refused: dict[str, str]
    """Label -> why it is not compared."""
    left: tuple[Left, Left]
    """Drafts of each side without a partner."""
    changed: tuple[Setting, ...]
    seconds: tuple[float | None, float | None]
    """Mean seconds of a step of each side: for information, as machines and their load differ."""

    def row(self, name: str) -> Difference | None:
        """The first row of a measure."""
        return next((row for row in self.rows if row.measure.name == name), None)


def compare(a: Arm, b: Arm, names: Sequence[str], paired: bool = True) -> Comparison:
    """Compare two arms.

    Args:
        a: what is compared with.
        b: what is compared.
        names: the measures, in order.
        paired: whether only values of equal topic, seed and turn are compared; else means of all.

    Raises:
        ArenaError: nothing can be paired; says why.
    """
    if paired:
        drafts = {draft.place for draft in a.drafts} & {draft.place for draft in b.drafts}
        both = drafts if a.drafts or b.drafts else _common_updates(a, b)
        refuse_unpaired(a, b, len(both))
    rows, reasons = [], {}
    for name in names:
        for key in [key for key in a.columns if key[0] == name]:
            one, other = a.columns[key], b.columns.get(key)
            if other is None:
                continue
            why = refused(one, a, b)
            row = None if why else difference(*ended(one, other), paired)
            if row:
                rows.append(row)
            else:
                reasons[one.label] = why or _nothing(one)
        for label in _alone(name, a, b):
            reasons[label] = "only one of the two has it on record"
    return Comparison(
        a, b, paired, tuple(rows), reasons, (left(a, b), left(b, a)), tuple(changed(a.settings, b.settings)),
        (seconds(a), seconds(b)),
    )  # fmt: skip


def _nothing(column: Column) -> str:
    if column.measure.per == "update":
        return "the last quarter of the steps is not on record on both sides"
    return "none of its values has a partner"


def _common_updates(a: Arm, b: Arm) -> set[Place]:
    sides = [{place for column in arm.columns.values() for place in column.values} for arm in (a, b)]
    return sides[0] & sides[1]


def _alone(name: str, a: Arm, b: Arm) -> list[str]:
    """Labels of columns of a measure that one arm has and the other lacks."""
    return [
        (a.columns | b.columns)[key].label for key in sorted({*a.columns} ^ {*b.columns}) if key[0] == name
    ]


def ended(one: Column, other: Column) -> tuple[Column, Column]:
    """Of a learner's updates those at the end: the last quarter of the steps that either side has.

    A mean of steps, never the best one: a minimum falls with their number, whatever is learned.
    """
    if one.measure.per != "update":
        return one, other
    steps = sorted({place.time for column in (one, other) for place in column.values})
    first = steps[-math.ceil(len(steps) / QUARTER)]
    return tuple(  # type: ignore[return-value]
        replace(column, values={p: value for p, value in column.values.items() if p.time >= first})
        for column in (one, other)
    )


def difference(one: Column, other: Column, paired: bool) -> Difference | None:
    """The difference of two columns of one measure; None where nothing is left to compare."""
    own, theirs = sorted(one.places, key=_order), sorted(other.places, key=_order)
    if paired:
        known = {place for place in theirs if other.scales.get(place) == one.scales.get(place)}
        own = theirs = [place for place in own if place in known]
    elif one.scales:
        scale = _common_scale(one, other)
        own, theirs = (
            [place for place in places if column.scales[place] == scale]
            for column, places in ((one, own), (other, theirs))
        )
    if not own or not theirs:
        return None
    groups = [clusters(one.measure, places, [*own, *theirs]) for places in (own, theirs)]
    whole = bool(one.grams)
    sides = [
        Whole(c, p, g) if whole else Mean(c, p, g)
        for c, p, g in zip((one, other), (own, theirs), groups, strict=True)
    ]
    a, b = (side.interval() for side in sides)
    if a is None or b is None:
        return None
    change = sides[0].less(sides[1]) if paired else apart(a, b)
    if change is None:
        return None
    noise = spread_of(sides[0].changes(sides[1]), groups[0]) if paired else math.nan
    columns = zip((one, other), (own, theirs), strict=True)
    gone = tuple(len(list(column.places)) - len(places) for column, places in columns)
    return Difference(
        one.measure,
        one.part,
        one.label,
        shown(a, one.measure),
        shown(b, one.measure),
        told(change),
        _within(sides),
        noise,
        paired,
        (gone[0], gone[1]),
    )


def _common_scale(one: Column, other: Column) -> str:
    """The scale that most values of both sides are on; `""` if they share none."""
    scales = [[*column.scales.values()] for column in (one, other)]
    both = sorted({*scales[0]} & {*scales[1]})
    return max(both, key=lambda scale: min(own.count(scale) for own in scales), default="")


def _order(place: Place) -> tuple[str, ...]:
    """Seeds that are not on record are no numbers; any order will do, if it is always the same."""
    return tuple(map(str, place))


def clusters(measure: Measure, places: Sequence[Place], everything: Sequence[Place]) -> list[Hashable]:
    """What each place belongs to: its topic; of an update its seed, or with one seed alone its step."""
    if measure.per != "update":
        return [place.text for place in places]
    several = len({place.seed for place in everything}) > 1
    return [place.seed if several else place.time for place in places]


def _within(sides: Sequence[Mean]) -> float:
    """Root mean square of the standard deviations within the sides."""
    return float(np.sqrt(np.mean([np.var(side.values) for side in sides])))


def seconds(arm: Arm) -> float | None:
    """Mean seconds of a step: drafting, judging and learning; None where no steps are on record."""
    found = []
    for run in arm.runs:
        learning = {row["id"]: row.get("seconds", 0.0) for row in run.rows("metrics")}
        steps = [
            row["seconds_drafting"]
            + row["seconds_judging"]
            + learning.get(f"{row['speaker']}@{row['step']}", 0.0)
            for row in run.rows("steps")
        ]
        found += steps
    return fmean(found) if found else None
