"""What a judge's rulings on a set of pairs come to, beside people and beside judges that read nothing."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from arena.calibration.items import FIRST, OTHER, TIE, Pair
from arena.calibration.rulings import LONGER, Ruling, trivial
from arena.evaluation.findings import Finding
from arena.stats.agreement import kappa
from arena.stats.resampling import Interval, Items
from arena.stats.shares import mean, share

JUDGE, PEOPLE = "judge", "people"
CLASSES = (FIRST, OTHER[FIRST], TIE)
AGREEMENT = "agreement"
OF_ALL = "agreement, all pairs"
"""The same with the pairs on which the judge abstains, as if it had tossed a coin."""


@dataclass(frozen=True)
class Sheet:
    """A judge's rulings on one set of pairs.

    Args:
        name: of the set, in front of each measure; `""` for all sets together.
        rulings: one per pair.
        seed: of the random judge.
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

    @cached_property
    def asked(self) -> list[Ruling]:
        """All that people decide, abstentions among them; none where the judge never gave a verdict.

        Left out of a comparison, abstentions would be a gain: who is silent on all that is hard is right on
        the rest.
        """
        return [one for one in self.rulings if one.pair.decided] if self.decided else []

    @property
    def agreement(self) -> Interval | None:
        """The share of pairs that people decide on which the judge agrees; no preference counts half."""
        return self._share(self.asked, _agrees)

    @property
    def longer(self) -> Interval | None:
        """The same of the judge that takes the longer answer."""
        return self._share(self.asked, lambda one: _score(trivial(self.seed)[LONGER], one.pair))

    @property
    def less_longer(self) -> Interval | None:
        """How much more it agrees than the longer answer does, on the same pairs; in [-1, 1]."""
        gains, prompts = self.gains()
        return mean(gains, prompts, -1.0, 1.0)

    @property
    def less_longer_tied(self) -> Interval | None:
        """The same where the longer answer ties whenever the judge prefers none; in [-1, 1].

        A judge of length that takes answers of about one length for a tie may gain on such pairs, of which
        the longer one is as good as a coin or worse. Here it gains nothing, whatever its margin.
        """
        gains, prompts = self.gains()
        decided = [one.decided for one in self.asked]
        return mean([gain * own for gain, own in zip(gains, decided, strict=True)], prompts, -1.0, 1.0)

    def gains(self) -> tuple[list[float], list[str]]:
        """(gain over the longest-answer judge on each pair, its prompt)."""
        return _gains(self.asked, trivial(self.seed)[LONGER]), _prompts(self.asked)

    def findings(self) -> list[Finding]:
        """All measures of the set."""
        return [*self.agreements(), *self._decisions(), *self._places(), *self._leanings()]

    def agreements(self) -> list[Finding]:
        """Agreement with people: the judge's, and what judges come to that read nothing."""
        found = self._beside_trivial(AGREEMENT, self.decided)
        if len(self.asked) > len(self.decided):
            found += self._beside_trivial(OF_ALL, self.asked)
        return found

    def _beside_trivial(self, measure: str, rulings: Sequence[Ruling]) -> list[Finding]:
        found, prompts = [self._finding(measure, JUDGE, self._share(rulings, _agrees))], _prompts(rulings)
        for arm, choose in trivial(self.seed).items():
            own = share([_score(choose, one.pair) for one in rulings], prompts)
            less = mean(_gains(rulings, choose), prompts, -1.0, 1.0)
            found.append(self._finding(measure, arm, own, less))
        return found

    def _decisions(self) -> list[Finding]:
        """Agreement where both prefer one, kappa, how often the judge says tie, and how often nothing."""
        ours = np.array([CLASSES.index(one.group) for one in self.judged])
        theirs = np.array([CLASSES.index(one.pair.label) for one in self.judged])
        # a jackknife suits kappa (Fleiss and Davies 1982), and takes no 2000 draws
        beyond = Items(_prompts(self.judged)).jackknife(lambda places: kappa(ours[places], theirs[places]))
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
        flips = [(one, one.flip) for one in self.judged if one.flip is not None]
        chosen = [(one, place) for one in self.judged for place in one.places if place in "AB"]
        first = share([float(place == "A") for _, place in chosen], _prompts([one for one, _ in chosen]))
        return [
            self._finding(
                "flip rate", JUDGE, share([known for _, known in flips], _prompts([one for one, _ in flips]))
            ),
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
            self._finding(measure, JUDGE, share(judge, prompts)),
            self._finding(
                measure,
                PEOPLE,
                share(people, prompts),
                mean(change, prompts, -1.0, 1.0),
            ),
        ]

    def _likelier(self, pair: Pair) -> str:
        first, second = (self.likely.get(case.id) for case in (pair.first, pair.second))
        if first is None or second is None or first == second:
            return TIE
        return FIRST if first > second else OTHER[FIRST]

    def _share(self, rulings: Sequence[Ruling], value: Callable[[Ruling], float]) -> Interval | None:
        return share([float(value(one)) for one in rulings], _prompts(rulings))

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


def _gains(rulings: Sequence[Ruling], choose: Callable[[Pair], str]) -> list[float]:
    """How much more the judge agrees than a trivial one, pair by pair."""
    return [one.score - _score(choose, one.pair) for one in rulings]


def _prompts(rulings: Sequence[Ruling]) -> list[str]:
    return [ruling.pair.cluster for ruling in rulings]
