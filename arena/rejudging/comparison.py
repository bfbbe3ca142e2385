"""Two judges compared on the same drafts, as findings with intervals clustered by topic.

What the WIM paper reports of its judge (ties, mean differences), and what its notebook shows beside (how
often the order by WIM is the order by rating), is measured for each of the two.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from arena.evaluation.findings import Finding, histogram
from arena.rejudging.sides import Bench, Draft, Gap, Pair, Side, sign
from arena.stats.agreement import flip, kappa, rank_correlation
from arena.stats.resampling import Interval, Items, Statistic
from arena.stats.shares import mean, share

Column = Sequence[float | None]
"""A number of each item; None where it has none."""

AGREEMENT, KAPPA, RHO = "same order", "kappa", "rank correlation"
DECIDED = "both decide"
TIES, POINTS, RAW, JUDGED = "tied pairs", "mean gap, 1 to 10", "mean gap, raw", "pairs judged"
ORDERS, COSINE, SHUFFLED, TOPIC = "WIM orders as rating", "cosine", "less shuffled", "less topic"
ECHO, FLIPS, LENGTH = "echo", "WIM order flips", "correlation\nwith length"
SHARE, RATING, COSINES, CHANGES = (0.0, 1.0), (1.0, 10.0), (-1.0, 1.0), (-2.0, 2.0)
"""Scales, from end to end: of shares, ratings, cosines and correlations, differences of cosines."""
SCALES = {TIES: SHARE, POINTS: (0.0, 10.0), RAW: (0.0, math.inf), JUDGED: SHARE}
"""Of the measures of pairs; rewards have no greatest one."""
BOTH = "both"
"""The arm of a measure that is the same for both, item by item."""


@dataclass(frozen=True)
class Comparison:
    """All that is told of two judges.

    Args:
        bench: the judges and the drafts.
        second: side -> id of a draft -> its cosine by a second embedding model.
    """

    bench: Bench
    second: Mapping[str, Mapping[str, float]]
    _items: dict[tuple[str, ...], Items] = field(default_factory=dict)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Every measure that is defined for one of the judges."""
        parts = (self._agreement, self._correlations, self._ratings, self._gaps, self._wim, self._flips)
        return tuple(finding for part in (*parts, self._lengths) for finding in part())

    @property
    def bars(self) -> tuple[str, ...]:
        """How often which rating was given."""
        columns = {side.name: [value for _, value in self._known(side.rating)] for side in self.bench.sides}
        return histogram(columns, 1, 10) if any(columns.values()) else ()

    def found(self, measure: str, arm: str) -> Interval | None:
        """What was found; None where that is not defined, or nobody asked."""
        hits = [f.found for f in self.findings if (f.measure, f.arm) == (measure, arm)]
        return hits[0] if hits else None

    def _agreement(self) -> list[Finding]:
        """Whether the two order the drafts alike, in pairs."""
        one, other = self.bench.sides
        labels = [(pair[0].cluster, one.label(pair), other.label(pair)) for pair in self.bench.pairs]
        both = [(cluster, a, b) for cluster, a, b in labels if a is not None and b is not None]
        decided = [row for row in both if "tie" not in row]
        at = [cluster for cluster, _, _ in decided]
        return [
            Finding(AGREEMENT, DECIDED, share([float(a == b) for _, a, b in decided], at)),
            Finding(KAPPA, DECIDED, self._interval(at, _kappa(decided))),
            Finding(KAPPA, "or tie", self._interval([cluster for cluster, _, _ in both], _kappa(both))),
        ]

    def _correlations(self) -> list[Finding]:
        """Whether their rewards rise together, over all drafts and among those of one exchange."""
        one, other = self.bench.sides
        rewards = [(draft, one.reward(draft), other.reward(draft)) for draft in self.bench.drafts]
        known = [(draft, a, b) for draft, a, b in rewards if a is not None and b is not None]
        at = [draft.cluster for draft, _, _ in known]
        whole = self._interval(at, _rho([a for _, a, _ in known], [b for _, _, b in known]))
        exchanges: dict[str, list[tuple[Draft, float, float]]] = {}
        for row in known:
            exchanges.setdefault(row[0].exchange, []).append(row)
        each = [
            (rows[0][0].cluster, rank_correlation([a for _, a, _ in rows], [b for _, _, b in rows]))
            for rows in exchanges.values()
        ]
        defined = [(cluster, rho) for cluster, rho in each if math.isfinite(rho)]
        within = mean([rho for _, rho in defined], [cluster for cluster, _ in defined], *COSINES)
        return [Finding(RHO, "all drafts", whole), Finding(RHO, "in exchanges", within)]

    def _ratings(self) -> list[Finding]:
        """How high the ratings are."""
        drafts, sides = self.bench.drafts, self.bench.sides
        columns = {side.name: [side.rating(draft) for draft in drafts] for side in sides}
        return self._sided("rating", "", columns, RATING)

    def _gaps(self) -> list[Finding]:
        """Of each reward that the same verdicts make: how often it ties, how far it holds drafts apart."""
        measures: Mapping[str, Callable[[Gap | None, Side], float | None]] = {
            TIES: lambda gap, side: None if gap is None else float(not sign(gap, side.tie_margin)),
            POINTS: lambda gap, _: None if gap is None or gap.points is None else abs(gap.points),
            RAW: lambda gap, _: None if gap is None else abs(gap.raw),
            JUDGED: lambda gap, _: float(gap is not None),
        }
        gaps = {
            label: {name: [gap(pair) for pair in self.bench.pairs] for name, gap in own.items()}
            for label, own in _rewards(self.bench.sides).items()
        }
        return [
            finding
            for measure, of in measures.items()
            for label, own in gaps.items()
            for finding in self._sided(
                measure,
                label,
                {
                    side.name: [of(g, side) for g in own[side.name]]
                    for side in self.bench.sides
                    if side.name in own
                },
                SCALES[measure],
                pairs=True,
            )
        ]

    def _wim(self) -> list[Finding]:
        """Whether WIM says the same as the rating, and whether it says more than that of another answer."""
        sides = [side for side in self.bench.sides if self._known(side.cosine)]
        verdicts = {side.name: [side.verdicts[d.id] for d in self.bench.drafts] for side in sides}
        orders = {side.name: [_same_order(side, pair) for pair in self.bench.pairs] for side in sides}
        own = {n: [v.cosine for v in rows] for n, rows in verdicts.items()}
        shuffled = {n: [_less(v.cosine, v.cosine_shuffled) for v in rows] for n, rows in verdicts.items()}
        topic = {n: [_less(v.cosine, v.cosine_topic) for v in rows] for n, rows in verdicts.items()}
        echo = {n: [None if v.cosine is None else v.echo for v in rows] for n, rows in verdicts.items()}
        found = self._sided(ORDERS, "", orders, SHARE, pairs=True) + self._sided(COSINE, "", own, COSINES)
        found += self._sided(SHUFFLED, "", shuffled, CHANGES) + self._sided(TOPIC, "", topic, CHANGES)
        return found + self._sided(ECHO, "", echo, SHARE)

    def _flips(self) -> list[Finding]:
        """How often the order by WIM turns around under the second embedding model."""
        columns = {
            side.name: [_flipped(side, self.second[side.name], pair) for pair in self.bench.pairs]
            for side in self.bench.sides
            if side.name in self.second
        }
        return self._sided(FLIPS, "", columns, SHARE, pairs=True)

    def _lengths(self) -> list[Finding]:
        """How far a longer draft is a better one."""
        found, drafts = [], self.bench.drafts
        for label, of in (("rating", Side.rating), ("cosine", Side.cosine), ("reward", Side.reward)):
            columns = {side.name: [of(side, draft) for draft in drafts] for side in self.bench.sides}
            for name, column in _merged(columns).items():
                known = [(d, value) for d, value in zip(drafts, column, strict=True) if value is not None]
                if known:
                    statistic = _rho([draft.words for draft, _ in known], [value for _, value in known])
                    interval = self._interval([draft.cluster for draft, _ in known], statistic)
                    found.append(Finding(LENGTH, f"{name}: {label}", interval))
        return found

    def _known(self, of: Callable[[Draft], float | None]) -> list[tuple[Draft, float]]:
        return [(draft, value) for draft in self.bench.drafts if (value := of(draft)) is not None]

    def _interval(self, clusters: Sequence[str], statistic: Statistic) -> Interval | None:
        key = tuple(clusters)
        if key not in self._items:  # whose draws are the same for every number of the same items
            self._items[key] = Items(key, self.bench.seed)
        return self._items[key].bootstrap(statistic)

    def _sided(
        self,
        measure: str,
        label: str,
        columns: Mapping[str, Column],
        scale: tuple[float, float],
        pairs: bool = False,
    ) -> list[Finding]:
        """The mean of each judge's column, and the paired difference on the items that both have.

        Columns that are equal number by number have one row, of `BOTH`.
        """
        columns, span = _merged(columns), scale[1] - scale[0]
        drafts = [pair[0] for pair in self.bench.pairs] if pairs else self.bench.drafts
        of = [draft.cluster for draft in drafts]
        found: list[Finding] = []
        for name, column in columns.items():
            arm, before = f"{name}: {label}" if label else name, next(iter(columns))
            if not any(value is not None for value in column):
                continue
            difference = None
            if found:
                less = [_less(a, b) for a, b in zip(column, columns[before], strict=True)]
                difference = _mean(of, less, (-span, span))
            against = before if difference else ""
            found.append(Finding(measure, arm, _mean(of, column, scale), against, difference))
        return found


def _mean(clusters: Sequence[str], column: Column, scale: tuple[float, float]) -> Interval | None:
    """The mean of the items that have a number, from one end of its scale to the other."""
    known = [(at, value) for at, value in zip(clusters, column, strict=True) if value is not None]
    at, values = [at for at, _ in known], [value for _, value in known]
    return share(values, at) if scale == SHARE else mean(values, at, *scale)


def _rewards(sides: Sequence[Side]) -> dict[str, dict[str, Callable[[Pair], Gap | None]]]:
    """Label -> judge -> its gaps: by rating alone, by WIM alone, and as it mixes them."""
    found: dict[str, dict[str, Callable[[Pair], Gap | None]]] = {"rating": {}, "WIM": {}, "reward": {}}
    for side in sides:
        verdicts = side.verdicts.values()
        if any(v.rating is not None for v in verdicts):
            found["rating"][side.name] = side.gap_by_rating
        if any(v.cosine is not None for v in verdicts):
            found["WIM"][side.name] = side.gap_by_wim
        found["reward"][side.name] = side.gap
    return {label: own for label, own in found.items() if own}


def _merged(columns: Mapping[str, Column]) -> Mapping[str, Column]:
    """One column in place of two that are equal."""
    first, *others = columns.values() or [()]
    return {BOTH: first} if others and all(list(other) == list(first) for other in others) else columns


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _same_order(side: Side, pair: Pair) -> float | None:
    """Whether WIM and rating order a pair alike; None where one of them ties it or is not there."""
    rated, missing = side.gap_by_rating(pair), side.gap_by_wim(pair)
    if rated is None or missing is None:
        return None
    turned = flip(sign(rated, side.tie_margin), sign(missing, side.tie_margin))
    return None if turned is None else 1 - turned


def _flipped(side: Side, second: Mapping[str, float], pair: Pair) -> float | None:
    """Whether another embedding turns the order by WIM around; None where one of the two ties it."""
    first = side.gap_by_wim(pair)
    if first is None:
        return None
    there = Gap(second[pair[0].id] - second[pair[1].id], None)
    return flip(sign(first, side.tie_margin), sign(there, side.tie_margin))


def _rho(x: Sequence[float], y: Sequence[float]) -> Statistic:
    one, other = np.asarray(x, float), np.asarray(y, float)
    return lambda places: rank_correlation(one[places], other[places])


def _kappa(rows: Sequence[tuple[str, str, str]]) -> Statistic:
    one, other = (np.array([row[place] for row in rows], dtype="U6") for place in (1, 2))
    return lambda places: kappa(one[places], other[places])
