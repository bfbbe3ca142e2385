"""What the rows of a match say: win-rates and their controls, flips, places, relative scores."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from arena.evaluation import diversity
from arena.records import Row
from arena.seeds import seed_of
from arena.stats.bradley_terry import Game
from arena.stats.length_control import length_controlled
from arena.stats.power import spread_of
from arena.stats.resampling import Interval, Items, Places, Statistic
from arena.stats.sequential import ConfidenceSequence
from arena.stats.shares import mean, share

SCORES: Mapping[str, float] = {"a": 1.0, "b": 0.0, "tie": 0.5, "flipped": 0.5}
"""The score of a by the status of a match; any other status is an abstention and has none."""
CONTROLS = ("longer", "random", "first")
"""Judges that read no answer: the one with more words, a coin for each order, the one that stands first."""
EQUAL = 0.5
"""The win-rate of equals."""
ROUNDING = 1e-9
"""Width of an interval that is a point, as a part of its value."""


@dataclass(frozen=True)
class Bout:
    """Two answers to one of the user's turns, judged."""

    id: str
    question: str
    """What intervals are clustered by: the dialogue's id."""
    category: str
    status: str
    choices: tuple[str, str]
    """With a first, then with b first: the place that was chosen (A, B), C for neither, or why none was:
    `equal` and `empty` where nobody was asked."""
    words: tuple[int, int]
    """Of a's answer and of b's."""

    @property
    def score(self) -> float | None:
        """Of a in [0, 1]: a flip is a tie; None where the judge abstained."""
        return SCORES.get(self.status)

    def control(self, name: str, seed: int) -> float:
        """The score of a by one of `CONTROLS`."""
        if name == "longer":
            return (float(np.sign(self.words[0] - self.words[1])) + 1) / 2
        one_order = "not_asked" in self.choices
        if name == "random":
            coins = seed_of(seed, "coin", self.id) & 3
            return float(coins & 1) if one_order else coins.bit_count() / 2
        return 1.0 if one_order else SCORES["flipped"]


@dataclass(frozen=True)
class Rivals:
    """Two contestants and all that was judged between them."""

    a: str
    b: str
    bouts: Sequence[Bout]
    seed: int

    @property
    def name(self) -> str:
        """Whose win-rate it is, over whom."""
        return f"{self.a} over {self.b}"

    @cached_property
    def decided(self) -> list[Bout]:
        """Without abstentions."""
        return [bout for bout in self.bouts if bout.score is not None]

    @property
    def questions(self) -> list[str]:
        """Of each decided bout."""
        return [bout.question for bout in self.decided]

    @property
    def scores(self) -> list[float]:
        """Of a in each decided bout."""
        return [SCORES[bout.status] for bout in self.decided]

    @property
    def counts(self) -> dict[str, int]:
        """What came of the bouts: won, tied, lost by a; flipped; abstained."""
        found = Counter(bout.status if bout.score is not None else "abstained" for bout in self.bouts)
        names = {"won": "a", "tied": "tie", "lost": "b", "flipped": "flipped", "abstained": "abstained"}
        return {name: found[status] for name, status in names.items()}

    @property
    def win_rate(self) -> Interval | None:
        """The mean score of a; None where nothing was judged."""
        return share(self.scores, self.questions)

    @property
    def lead(self) -> Interval | None:
        """The win-rate of a less that of equals."""
        if (found := self.win_rate) is None:
            return None
        value, low, high = (each - EQUAL for each in (found.value, found.low, found.high))
        return replace(found, value=value, low=low, high=high)

    @property
    def at_equal_length(self) -> Interval | None:
        """The win-rate of a if both answers were equally long; None with too few questions."""
        a, b = ([bout.words[side] for bout in self.decided] for side in (0, 1))
        return length_controlled(self.scores, a, b, self.questions, self.seed) if self.decided else None

    @property
    def spread(self) -> float:
        """Of the score between questions, as a standard deviation; nan with fewer than two."""
        return spread_of(self.scores, self.questions)

    @property
    def growth(self) -> Interval | None:
        """The words of a's answers over those of b's, all together."""
        a, b = (np.array([bout.words[side] for bout in self.bouts], float) for side in (0, 1))
        clusters = [bout.question for bout in self.bouts]
        return Items(clusters, self.seed).bootstrap(ratio(a, b)) if self.bouts else None

    @property
    def games(self) -> list[Game]:
        """For `arena.stats.bradley_terry`."""
        return [Game(self.a, self.b, SCORES[bout.status], bout.question) for bout in self.decided]

    def control(self, name: str) -> Interval | None:
        """The win-rate of a by one of `CONTROLS`, on the same bouts."""
        return share([bout.control(name, self.seed) for bout in self.decided], self.questions)

    def beyond(self, name: str) -> Interval | None:
        """The win-rate of a less that by one of `CONTROLS`, on the same bouts."""
        values = [SCORES[bout.status] - bout.control(name, self.seed) for bout in self.decided]
        return mean(values, self.questions, -1.0, 1.0)

    def by_category(self) -> dict[str, Interval]:
        """The win-rate of a by the category of the question."""
        own: dict[str, list[Bout]] = {}
        for bout in self.decided:
            own.setdefault(bout.category, []).append(bout)
        found = {name: replace(self, bouts=bouts).win_rate for name, bouts in sorted(own.items())}
        return {name: interval for name, interval in found.items() if interval is not None}

    def sequence(self) -> ConfidenceSequence:
        """Of the mean score of a in each question, in the order of the questions."""
        own: dict[str, list[float]] = {}
        for question, score in zip(self.questions, self.scores, strict=True):
            own.setdefault(question, []).append(score)
        found = ConfidenceSequence()
        for question in sorted(own):
            found.add(float(np.mean(own[question])))
        return found


def rivals_of(
    matches: Sequence[Row], texts: Mapping[str, str], pairs: Sequence[tuple[str, str]], seed: int
) -> list[Rivals]:
    """What was judged between each two contestants.

    Args:
        matches: rows of `matches.jsonl`.
        texts: of the answers, by id.
        pairs: who met whom, as the rows have it.
        seed: of the intervals and the coins.
    """
    words = {id: len(diversity.words(text)) for id, text in texts.items()}
    found: dict[tuple[str, str], list[Bout]] = {pair: [] for pair in pairs}
    for row in matches:
        found[row["a"], row["b"]].append(
            Bout(
                row["id"],
                row["dialogue"],
                row["category"],
                row["status"],
                (row["choice_a_first"], row["choice_b_first"]),
                (words[row["answer_a"]], words[row["answer_b"]]),
            )
        )
    return [Rivals(a, b, bouts, seed) for (a, b), bouts in found.items()]


def flips(bouts: Sequence[Bout]) -> Interval | None:
    """Of the bouts with a preference in both orders, the share that prefers another answer in each."""
    decisive = [bout for bout in bouts if set(bout.choices) <= {"A", "B"}]
    return share([float(bout.status == "flipped") for bout in decisive], [b.question for b in decisive])


def stood_first(bouts: Sequence[Bout]) -> Interval | None:
    """Of the answers that were preferred in any order, the share that stood first."""
    chosen = [(choice, bout.question) for bout in bouts for choice in bout.choices if choice in ("A", "B")]
    return share([float(choice == "A") for choice, _ in chosen], [question for _, question in chosen])


def relative_score(a: Mapping[str, float], b: Mapping[str, float], seed: int) -> Interval | None:
    """100 times the sum of a's ratings over the sum of b's (Vicuna's and SelFee's protocol).

    Args:
        a: ratings in 1..10 by `dialogue.turn`.
        b: the same of the other; what only one of them has is left out.
        seed: of the draws, which are of dialogues.

    Returns:
        None where nothing is rated for both; an interval without ends where all ratios are the same, which
        tells nothing of how they might differ.
    """
    both = sorted(a.keys() & b.keys())
    if not both:
        return None
    ours, theirs = (np.array([own[key] for key in both]) for own in (a, b))
    items = Items([key.partition(".")[0] for key in both], seed)
    found = items.bootstrap(ratio(100 * ours, theirs))
    if found is None or found.high - found.low > ROUNDING * found.value:
        return found
    return replace(found, low=-math.inf, high=math.inf)


def ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> Statistic:
    """The sum of one column over that of another; no number where that is 0."""

    def found(places: Places) -> float:
        whole = float(below[places].sum())
        return float(above[places].sum()) / whole if whole else math.nan

    return found
