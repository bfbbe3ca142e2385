"""What a judge's rulings on a set of pairs come to, beside people and beside judges that read nothing."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from arena.calibration.items import FIRST, OTHER, TIE, Pair
from arena.calibration.rulings import FLIPPED, LONGER, Ruling, trivial
from arena.calibration.shares import mean, share
from arena.evaluation.findings import Finding
from arena.stats.agreement import kappa
from arena.stats.resampling import Interval, Items

JUDGE, PEOPLE = "judge", "people"
AGREEMENT = "agreement"


@dataclass(frozen=True)
class Sheet:
    """A judge's rulings on one set of pairs.

    Args:
        name: of the set, in front of each measure; `""` for all sets together.
        rulings: one per pair.
        seed: of the intervals and of the random judge.
        likely: mean log-likelihood of answers under the judge's weights, by the id of their case.
    """

    name: str
    rulings: Sequence[Ruling]
    seed: int = 0
    likely: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def judged(self) -> list[Ruling]:
        """Those in which the judge does not abstain."""
        return [ruling for ruling in self.rulings if ruling.choice]

    @cached_property
    def decided(self) -> list[Ruling]:
        """Those of them in which people prefer one answer."""
        return [ruling for ruling in self.judged if ruling.pair.decided]

    @cached_property
    def both(self) -> list[Ruling]:
        """Those of them in which the judge prefers one, too."""
        return [ruling for ruling in self.decided if ruling.decided]

    @property
    def agreement(self) -> Interval | None:
        """The share of pairs that people decide on which the judge agrees, its tie counting half."""
        return self._share(self.decided, _agrees)

    @property
    def less_longer(self) -> Interval | None:
        """How much more it agrees than the longer answer does, on the same pairs; in [-1, 1]."""
        return self._less(trivial(self.seed)[LONGER])

    def gains(self) -> tuple[list[float], list[str]]:
        """(gain over the longest-answer judge on each pair, its prompt)."""
        liked = trivial(self.seed)[LONGER]
        gains = [one.score - _score(liked, one.pair) for one in self.decided]
        return gains, _prompts(self.decided)

    def findings(self) -> list[Finding]:
        """All measures of the set."""
        return [*self.agreements(), *self._decisions(), *self._places(), *self._leanings()]

    def agreements(self) -> list[Finding]:
        """Agreement with people: the judge's, and what judges come to that read nothing."""
        found = [self._finding(AGREEMENT, JUDGE, self.agreement)]
        for arm, choose in trivial(self.seed).items():
            scores = [_score(choose, one.pair) for one in self.decided]
            own = share(scores, _prompts(self.decided), self.seed)
            found.append(self._finding(AGREEMENT, arm, own, self._less(choose)))
        return found

    def _decisions(self) -> list[Finding]:
        """Agreement where both prefer one, kappa, how often the judge says tie, and how often nothing."""
        ours = np.array([one.group for one in self.judged])
        theirs = np.array([one.pair.label for one in self.judged])
        items = Items(_prompts(self.judged), self.seed)
        beyond = items.bootstrap(lambda places: kappa(ours[places], theirs[places]))
        found = [
            self._finding("agreement, both decide", JUDGE, self._share(self.both, _agrees)),
            self._finding("Cohen's kappa", JUDGE, beyond),
            self._finding("says tie", JUDGE, self._share(self.judged, lambda one: one.choice == TIE)),
        ]
        return [
            *found,
            self._finding("abstains", JUDGE, self._share(self.rulings, lambda one: not one.choice)),
        ]

    @property
    def _compares(self) -> bool:
        return any(ruling.places for ruling in self.rulings)

    def _places(self) -> list[Finding]:
        """Of a judge that compares: whether the order decides."""
        if not self._compares:
            return []
        twice = [one for one in self.judged if len(one.places) == 2 and set(one.places) <= {"A", "B"}]
        chosen = [(one, place) for one in self.judged for place in one.places if place in "AB"]
        first = share(
            [float(place == "A") for _, place in chosen], _prompts([one for one, _ in chosen]), self.seed
        )
        return [
            self._finding("flip rate", JUDGE, self._share(twice, lambda one: one.choice == FLIPPED)),
            self._finding("first place chosen", JUDGE, first),
        ]

    def _leanings(self) -> list[Finding]:
        """How often the judge prefers the longer answer, and the one that is likelier to itself."""
        found = self._beside("prefers longer", [(one, one.pair.longer) for one in self.both])
        if self.likely:
            found += self._beside("prefers likelier", [(one, self._likelier(one.pair)) for one in self.both])
        return found

    def _beside(self, measure: str, wanted: Sequence[tuple[Ruling, str]]) -> list[Finding]:
        """How often the judge, and how often people choose what is `wanted`, where one of both is."""
        known = [(one, which) for one, which in wanted if which in OTHER]
        rulings = [one for one, _ in known]
        judge = [float(one.choice == which) for one, which in known]
        people = [float(one.pair.label == which) for one, which in known]
        change = [mine - theirs for mine, theirs in zip(judge, people, strict=True)]
        prompts = _prompts(rulings)
        return [
            self._finding(measure, JUDGE, share(judge, prompts, self.seed)),
            self._finding(
                measure,
                PEOPLE,
                share(people, prompts, self.seed),
                mean(change, prompts, self.seed, -1.0, 1.0),
            ),
        ]

    def _likelier(self, pair: Pair) -> str:
        first, second = (self.likely.get(case.id) for case in (pair.first, pair.second))
        if first is None or second is None or first == second:
            return TIE
        return FIRST if first > second else OTHER[FIRST]

    def _share(self, rulings: Sequence[Ruling], value: Callable[[Ruling], float]) -> Interval | None:
        return share([float(value(one)) for one in rulings], _prompts(rulings), self.seed)

    def _less(self, choose: Callable[[Pair], str]) -> Interval | None:
        gains = [one.score - _score(choose, one.pair) for one in self.decided]
        return mean(gains, _prompts(self.decided), self.seed, -1.0, 1.0)

    def _finding(
        self, measure: str, arm: str, found: Interval | None, less: Interval | None = None
    ) -> Finding:
        name = f"{self.name}: {measure}" if self.name else measure
        return Finding(name, arm, found, JUDGE if less else "", less)

    @property
    def reasons(self) -> Counter[str]:
        """Why the judge abstains, and how often."""
        return Counter(ruling.reason for ruling in self.rulings if not ruling.choice)


def _agrees(ruling: Ruling) -> float:
    return ruling.score


def _score(choose: Callable[[Pair], str], pair: Pair) -> float:
    """Agreement of a trivial judge with people, who prefer one."""
    choice = choose(pair)
    return 0.5 if choice == TIE else float(choice == pair.label)


def _prompts(rulings: Sequence[Ruling]) -> list[str]:
    return [ruling.pair.cluster for ruling in rulings]
