"""Differences between two arms, each with a paired interval that is clustered by topic."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from arena.comparing.arms import Arm, matched
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
    """Of b less a; paired, unless `paired` says otherwise. Over seeds where both sides have several."""
    spread: float
    """Standard deviation of the values within the sides; 0 where all are equal."""
    noise: float
    """Standard deviation of the difference between clusters; nan with fewer than two."""
    paired: bool
    left: tuple[int, int]
    """Values of each side that are not in it, since they have no partner."""
    these_seeds: Interval | None = None
    """Of several seeds: the difference over topics, which is of these very seeds and of no other."""
    by_seed: bool = False
    """Whether seeds are what is left out in turn."""

    @property
    def over_seeds(self) -> bool:
        """Whether the interval is over several seeds on each side."""
        return self.by_seed and self.clusters > 1

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
    a, b = matched(a, b)
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
    seeds = by_seed(one.measure, own, theirs)
    sides = _sides(one, other, own, theirs, seeds)
    a, b = (side.interval() for side in sides)
    change = _change(sides, paired)
    if a is None or b is None or change is None:
        return None
    these = None
    if seeds and one.measure.per != "update":
        sides = _sides(one, other, own, theirs, False)
        these = _change(sides, paired)
    noise = spread_of(sides[0].changes(sides[1]), sides[0].groups) if paired else math.nan
    columns = zip((one, other), (own, theirs), strict=True)
    gone = tuple(len(list(column.places)) - len(places) for column, places in columns)
    return Difference(
        one.measure,
        one.part,
        one.label,
        shown(a, one.measure),
        shown(b, one.measure),
        told(change),
        _spread(sides),
        noise,
        paired,
        (gone[0], gone[1]),
        told(these) if these else None,
        seeds,
    )


def _sides(
    one: Column, other: Column, own: Sequence[Place], theirs: Sequence[Place], seeds: bool
) -> tuple[Mean, Mean]:
    """Both sides, by seed or by topic."""
    kind = Whole if one.grams else Mean
    return (
        kind(one, own, clusters(one.measure, own, seeds)),
        kind(other, theirs, clusters(one.measure, theirs, seeds)),
    )


def _change(sides: tuple[Mean, Mean], paired: bool) -> Interval | None:
    """How much more the second side is."""
    if paired:
        return sides[0].less(sides[1])
    a, b = (side.interval() for side in sides)
    return apart(a, b) if a is not None and b is not None else None


def _common_scale(one: Column, other: Column) -> str:
    """The scale that most values of both sides are on; `""` if they share none."""
    scales = [[*column.scales.values()] for column in (one, other)]
    both = sorted({*scales[0]} & {*scales[1]})
    return max(both, key=lambda scale: min(own.count(scale) for own in scales), default="")


def _order(place: Place) -> tuple[str, ...]:
    """Seeds that are not on record are no numbers; any order will do, if it is always the same."""
    return tuple(map(str, place))


def by_seed(measure: Measure, own: Sequence[Place], theirs: Sequence[Place]) -> bool:
    """Whether an interval is over seeds: one over topics is of the trainings at hand, and of no other.

    It takes several on both sides. Updates of two single seeds that differ are nothing to draw from.
    """
    counts = [len({place.seed for place in places}) for places in (own, theirs)]
    different = measure.per == "update" and len({place.seed for place in (*own, *theirs)}) > 1
    return min(counts) > 1 or different


def clusters(measure: Measure, places: Sequence[Place], seeds: bool) -> list[Hashable]:
    """What each place belongs to: its seed; else its topic, or of an update its step."""
    if seeds:
        return [place.seed for place in places]
    return [place.time if measure.per == "update" else place.text for place in places]


def _spread(sides: Sequence[Mean]) -> float:
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
