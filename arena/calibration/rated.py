"""How a judge's ratings go with people's, and how much of the scale it uses."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from arena.calibration.items import Rated, words
from arena.calibration.measures import JUDGE, PEOPLE
from arena.calibration.rulings import LONGER
from arena.evaluation.findings import Finding
from arena.stats.agreement import rank_correlation
from arena.stats.resampling import Interval, Items, Places
from arena.stats.shares import mean, share
from rewards.verdict import Verdict

RHO = "Spearman's rho"
MEAN_OF_PEOPLE = "their mean"
"""The judge that gives every answer the mean of people's ratings."""


@dataclass(frozen=True)
class Ratings:
    """A judge's verdicts on one set of answers that people have rated.

    Args:
        name: of the set, in front of each measure; `""` for all sets together.
        items: the answers.
        verdicts: by the id of their case.
        seed: of the intervals.
    """

    name: str
    items: Sequence[Rated]
    verdicts: Mapping[str, Verdict]
    seed: int = 0

    @property
    def scale(self) -> str:
        """The scale of most verdicts: rewards of others are not comparable with these."""
        scales = Counter(one.scale for one in self.verdicts.values() if one.reward is not None)
        return max(sorted(scales), key=scales.__getitem__, default="")

    @property
    def judged(self) -> list[tuple[Rated, Verdict]]:
        """The answers with a reward on that scale."""
        found = ((item, self.verdicts[item.case.id]) for item in self.items)
        scale = self.scale
        return [(item, one) for item, one in found if one.reward is not None and one.scale == scale]

    @property
    def reasons(self) -> Counter[str]:
        """Why answers have no reward that counts."""
        kept = {item.case.id for item, _ in self.judged}
        lost = [self.verdicts[item.case.id] for item in self.items if item.case.id not in kept]
        return Counter(one.status if one.reward is None else "other_scales" for one in lost)

    def findings(self) -> list[Finding]:
        """Rank correlation over all and within prompts, the mean difference, the means, abstentions."""
        abstained = [float(self.verdicts[item.case.id].reward is None) for item in self.items]
        prompts = [item.cluster for item in self.items]
        return [
            *self.ranks(),
            *self._within(),
            *self._means(),
            self._finding("abstains", JUDGE, share(abstained, prompts)),
        ]

    def ranks(self) -> list[Finding]:
        """Rank correlation with people's scores, of the judge's rewards and of the answers' lengths."""
        judged = self.judged
        theirs = np.array([item.mapped for item, _ in judged])
        ours = np.array([one.reward for _, one in judged])
        lengths = np.array([words(item.case) for item, _ in judged])
        items = Items([item.cluster for item, _ in judged], self.seed)

        def judge(places: Places) -> float:
            return rank_correlation(ours[places], theirs[places])

        def longer(places: Places) -> float:
            return rank_correlation(lengths[places], theirs[places])

        less = items.bootstrap(lambda places: judge(places) - longer(places))
        return [
            self._finding(RHO, JUDGE, items.bootstrap(judge)),
            self._finding(RHO, LONGER, items.bootstrap(longer), less),
        ]

    def _within(self) -> list[Finding]:
        """The mean over prompts of the rank correlation of their answers, where neither side is constant."""
        groups: dict[str, list[tuple[Rated, Verdict]]] = {}
        for item, one in self.judged:
            groups.setdefault(item.cluster, []).append((item, one))
        rhos = {
            prompt: rank_correlation(
                [one.reward for _, one in own if one.reward is not None], [item.mapped for item, _ in own]
            )
            for prompt, own in groups.items()
            if len(own) > 1
        }
        known = {prompt: rho for prompt, rho in rhos.items() if math.isfinite(rho)}
        if not known:
            return []
        found = mean(list(known.values()), list(known), -1.0, 1.0)
        return [self._finding("rho within prompts", JUDGE, found)]

    def _means(self) -> list[Finding]:
        """The mean rating, and the mean distance from people's, on the scale 1 to 10."""
        rated = [(item, one.rating) for item, one in self.judged if one.rating is not None]
        if not rated:
            return []
        theirs = [item.mapped for item, _ in rated]
        away = [abs(rating - item.mapped) for item, rating in rated]
        middle = fmean(theirs)
        constant = [abs(value - middle) for value in theirs]
        ours = [rating for _, rating in rated]
        prompts = [item.cluster for item, _ in rated]
        found: list[Finding] = []
        for measure, arm, own, other, low, high in (
            ("distance, points", MEAN_OF_PEOPLE, away, constant, 0.0, 9.0),
            ("mean rating", PEOPLE, ours, theirs, 1.0, 10.0),
        ):
            less = [one - two for one, two in zip(own, other, strict=True)]
            found += [
                self._finding(measure, JUDGE, mean(own, prompts, low, high)),
                self._finding(measure, arm, mean(other, prompts, low, high), mean(less, prompts, -9.0, 9.0)),
            ]
        return found

    def _finding(
        self, measure: str, arm: str, found: Interval | None, less: Interval | None = None
    ) -> Finding:
        name = f"{self.name}: {measure}" if self.name else measure
        return Finding(name, arm, found, JUDGE if less else "", less, 2)


def spread(ratings: Sequence[float], prompts: Sequence[Hashable]) -> list[Finding]:
    """How much of the scale from 1 to 10 a judge uses: ratings are told apart by one decimal.

    Args:
        ratings: of all answers that were rated.
        prompts: what each answers.
    """
    if not ratings:
        return []
    values = np.round(np.asarray(ratings, float), 1)
    items = Items(prompts)
    [(mode, _)] = Counter(values.tolist()).most_common(1)

    def different(places: Places) -> float:
        return float(len(np.unique(values[places])))

    def deviation(places: Places) -> float:
        return float(values[places].std()) if len(places) else math.nan

    return [
        Finding("different ratings", JUDGE, items.jackknife(different), digits=0),
        Finding("standard deviation", JUDGE, items.jackknife(deviation), digits=2),
        Finding("commonest rating", JUDGE, share((values == mode).astype(float).tolist(), prompts)),
    ]
