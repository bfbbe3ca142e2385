"""Two models' scores on the same questions, in one order or both: what they come to, with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agents.errors import ConfigError
from arena.evaluation.diversity import words
from arena.evaluation.findings import Finding
from arena.evaluation.review.reading import HIGH, LOW, Stored
from arena.stats import shares
from arena.stats.agreement import rank_correlation
from arena.stats.length_control import length_controlled
from arena.stats.resampling import FEWEST, Interval, Items, Places, Statistic

FIRST, SECOND = 0, 1
"""The model's slot in each of the two orders."""
SUM, RELATIVE, CHANGE = "sum of scores", "relative score, %", "change, %"
SLOTS = ("sum in slot 1", "sum in slot 2")
WON, OUTCOMES = "win-rate", {"wins": 1.0, "ties": 0.5, "losses": 0.0}
POSITION, FLIPS = "position effect", "flips"
EQUAL, RHO = "win-rate at equal length", "rho with words"

Grid = NDArray[np.float64]
Answers = Mapping[str, Mapping[str, str]]
"""By model and question."""


@dataclass(frozen=True)
class Duel:
    """The reviews of a model against another one, by question."""

    model: str
    other: str
    questions: Sequence[str]
    """Those that have scores in all the orders on record; one or more."""
    orders: tuple[int, ...]
    """The model's slot in each of these orders: `FIRST`, `SECOND`, or both."""
    scores: Grid
    """(questions, orders, 2): the model's score and the other's."""
    seed: int
    width: float
    """Of the scale of scores: the greatest less the least."""
    name: str = ""
    """What a table calls it."""

    @property
    def both(self) -> bool:
        """Whether both orders are on record."""
        return len(self.orders) == 2

    @cached_property
    def items(self) -> Items:
        """Its questions, for intervals."""
        return Items(self.questions, self.seed)

    @cached_property
    def outcomes(self) -> Grid:
        """(questions,) 1 where the model's sum over all orders is the higher one, 0 the lower, 0.5 equal."""
        leads = self.scores[:, :, 0].sum(1) - self.scores[:, :, 1].sum(1)
        return np.asarray((np.sign(leads) + 1) / 2)

    def total(self, side: int, order: int | None = None) -> Statistic:
        """The sum of the model's scores (side 0) or the other's (1), of all orders or of one."""
        column = self.scores[:, :, side].sum(1) if order is None else self.scores[:, order, side]
        return lambda places: float(column[places].sum())

    def relative(self, places: Places) -> float:
        """100 times the model's sum over the other's."""
        other = self.total(1)(places)
        return 100 * self.total(0)(places) / other if other else np.nan

    def sums(self, measure: str, order: int | None = None) -> Finding:
        """The model's sum, and how much more it is than the other's."""
        own, other = self.total(0, order), self.total(1, order)
        less = self.items.bootstrap(lambda places: own(places) - other(places))
        return Finding(measure, self.name, self.items.bootstrap(own), self.other, less, 1)

    def win_rate(self) -> Interval | None:
        """The mean outcome in [0, 1]."""
        return shares.share(self.outcomes.tolist(), self.questions)

    def share(self, outcome: float) -> Interval | None:
        """The share of questions that end so, in [0, 1]."""
        return shares.share((self.outcomes == outcome).astype(float).tolist(), self.questions)

    def position(self) -> Interval | None:
        """Points that the same answer gets more in the first slot, mean of both models."""
        first, second = self.scores[:, FIRST], self.scores[:, SECOND]
        more = (first[:, 0] - second[:, 0] + second[:, 1] - first[:, 1]) / 2
        return shares.mean(more.tolist(), self.questions, -self.width, self.width)

    def flips(self) -> Interval | None:
        """Of the questions that both orders decide, the share that each decides otherwise."""
        winners = np.sign(self.scores[:, :, 0] - self.scores[:, :, 1])
        decided = [i for i, (one, other) in enumerate(winners) if one and other]
        flipped = [float(winners[i, 0] != winners[i, 1]) for i in decided]
        return shares.share(flipped, [self.questions[i] for i in decided])

    def lengths(self, answers: Answers) -> tuple[list[Finding], str]:
        """What is left at equal length, and how score and length go together; and why there is none."""
        if why := self._unanswered(answers):
            return [Finding(EQUAL, self.name, None, digits=2), Finding(RHO, self.name, None, digits=2)], why
        own, other = (
            [len(words(answers[name][question])) for question in self.questions]
            for name in (self.model, self.other)
        )
        rate = length_controlled(self.outcomes.tolist(), own, other, self.questions, self.seed)
        more, longer = (self.scores[:, :, 0] - self.scores[:, :, 1]).sum(1), np.subtract(own, other)
        rho = self.items.bootstrap(lambda places: rank_correlation(more[places], longer[places]))
        found = [Finding(EQUAL, self.name, rate, digits=2), Finding(RHO, self.name, rho, digits=2)]
        few = f"{len(self.questions)} questions are too few, it takes {FEWEST}"
        alike = "all its answers are longer by the same number of words"
        why = "" if rate else few if len(self.questions) < FEWEST else alike
        return found, why

    def _unanswered(self, answers: Answers) -> str:
        """Which answers are missing; `""` where none is."""
        for name in (self.model, self.other):
            own = answers.get(name)
            if own is None:
                return f"no file {name}.jsonl among evaluation.answers"
            if missing := [question for question in self.questions if question not in own]:
                of = f"{len(missing)} of {len(self.questions)} questions, such as {missing[0]}"
                return f"{name}.jsonl has no answer to {of}"
        return ""


def joined(reviews: Sequence[Stored], reference: str, seed: int, width: float = HIGH - LOW) -> list[Duel]:
    """The reviews by pair of models, and in each pair by question.

    Args:
        reviews: with or without scores.
        reference: with whom the others are compared, `""` for nobody in particular.
        seed: of the intervals.
        width: of the scale of scores.

    Raises:
        ConfigError: a pair has no question with scores in all of its orders, or nobody is the reference.
    """
    pairs: dict[frozenset[str], list[Stored]] = {}
    for review in reviews:
        pairs.setdefault(frozenset((review.first, review.second)), []).append(review)
    models = {model for pair in pairs for model in pair}
    if reference and reference not in models:
        raise ConfigError(
            f"evaluation.reference={reference!r} is in no review: there are {', '.join(sorted(models))}"
        )
    opponents = {model: sum(model in pair for pair in pairs) for model in models}
    duels = []
    for own in pairs.values():
        names = own[0].second, own[0].first
        other = max(names, key=lambda name: (name == reference, opponents[name]))
        duels.append(_duel(names[other == names[0]], other, own, seed, width))
    alone = len({duel.other for duel in duels}) == 1
    return [replace(duel, name=duel.model if alone else f"{duel.model} : {duel.other}") for duel in duels]


def _duel(model: str, other: str, reviews: Sequence[Stored], seed: int, width: float) -> Duel:
    orders: dict[int, dict[str, tuple[float, float]]] = {}
    for review in reviews:
        own = orders.setdefault(FIRST if review.first == model else SECOND, {})
        if review.scores is not None:
            own[review.question] = review.scores if review.first == model else review.scores[::-1]
    slots = tuple(sorted(orders))
    questions = [q for q in orders[slots[0]] if all(q in orders[slot] for slot in slots)]
    if not questions:
        raise ConfigError(
            f"{model} and {other} have no question with scores in all orders: see whether their files have "
            "the same question ids, and whether their texts say two scores each"
        )
    scores = np.array([[orders[slot][question] for slot in slots] for question in questions])
    return Duel(model, other, questions, slots, scores, seed, width)


def compare(duels: Sequence[Duel], answers: Answers) -> tuple[list[Finding], dict[str, str]]:
    """All measures, and under each all pairs of models for which it is defined.

    Args:
        duels: the pairs of models.
        answers: what they answered; none where nothing is asked about length.

    Returns:
        The measures, and by the name of a pair why its win-rate at equal length is not known.
    """
    both = [duel for duel in duels if duel.both]

    def each(
        measure: str, of: Sequence[Duel], found: Callable[[Duel], Interval | None], digits: int
    ) -> list[Finding]:
        return [Finding(measure, duel.name, found(duel), digits=digits) for duel in of]

    findings = [duel.sums(SUM) for duel in duels]
    findings += each(RELATIVE, duels, lambda duel: duel.items.bootstrap(duel.relative), 1)
    findings += _changes(duels)
    findings += [duel.sums(measure, order) for order, measure in enumerate(SLOTS) for duel in both]
    findings += each(WON, duels, Duel.win_rate, 2)
    for name, outcome in OUTCOMES.items():
        findings += each(name, duels, lambda duel, outcome=outcome: duel.share(outcome), 2)  # type: ignore[misc]
    findings += each(POSITION, both, Duel.position, 2)
    findings += each(FLIPS, both, Duel.flips, 2)
    lengths = {duel.name: duel.lengths(answers) for duel in duels} if answers else {}
    told = [found for own, _ in lengths.values() for found in own]
    findings += sorted(told, key=lambda found: (EQUAL, RHO).index(found.measure))
    return findings, {name: why for name, (_, why) in lengths.items() if why}


def _changes(duels: Sequence[Duel]) -> list[Finding]:
    """How a relative score differs from that of the first model with the same other one, by question."""
    firsts: dict[str, Duel] = {}
    found = []
    for duel in duels:
        first = firsts.setdefault(duel.other, duel)
        common = [question for question in duel.questions if question in set(first.questions)]
        if duel is not first and common:
            change = _change(duel, first, common)
            found.append(Finding(CHANGE, f"{duel.name}, from {first.name}", change, digits=1))
    return found


def _change(duel: Duel, first: Duel, common: Sequence[str]) -> Interval | None:
    places = [np.array([each.questions.index(question) for question in common]) for each in (duel, first)]
    return Items(common, duel.seed).bootstrap(
        lambda drawn: duel.relative(places[0][drawn]) - first.relative(places[1][drawn])
    )
