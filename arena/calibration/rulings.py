"""What judges make of pairs, and the trivial judges beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from arena.calibration.items import FIRST, OTHER, SECOND, TIE, Pair
from arena.stats.agreement import flip
from rewards.pairwise import CHOICES, Comparison
from rewards.verdict import Verdict

FLIPPED = "flipped"
ABOUT = {"about": FIRST, "other": SECOND, TIE: TIE, FLIPPED: FLIPPED}
"""What a comparison's status says of a pair."""
ORDERS = ({"A": FIRST, "B": SECOND}, {"A": SECOND, "B": FIRST})
"""Which answer a place holds, in each order."""
LONGER, FIRST_JUDGE, RANDOM = "longer", "first", "random"


@dataclass(frozen=True)
class Ruling:
    """What a judge says of one pair."""

    pair: Pair
    choice: str
    """`a`, `b`, `tie`, `flipped` (in each order another one), or `""`: it abstains."""
    reason: str = ""
    """Why it abstains."""
    places: tuple[str, ...] = ()
    """Of a judge that compares: what it chose in each order, `A` for the answer that stood first."""

    @property
    def decided(self) -> bool:
        """Whether the judge prefers one answer."""
        return self.choice in OTHER

    @property
    def group(self) -> str:
        """The choice as one of three classes: who contradicts himself prefers neither."""
        return self.choice if self.decided else TIE

    @property
    def flip(self) -> float | None:
        """1 where each order has preferred another answer, None where one of them preferred none."""
        if len(self.places) < len(ORDERS):
            return None
        return flip(*(order.get(place, "") for order, place in zip(ORDERS, self.places, strict=True)))

    @property
    def score(self) -> float:
        """Agreement with people, who prefer one: 1, 0, or 0.5 where the judge prefers neither or abstains."""
        return float(self.choice == self.pair.label) if self.decided else 0.5


def rated(pairs: Sequence[Pair], verdicts: Mapping[str, Verdict], margin: float) -> list[Ruling]:
    """Rulings by two verdicts each; verdicts on different scales are not compared."""
    found = []
    for pair in pairs:
        first, second = (verdicts[case.id] for case in (pair.first, pair.second))
        lost = [each.status for each in (first, second) if each.reward is None]
        if first.reward is None or second.reward is None:
            found.append(Ruling(pair, "", lost[0]))
        elif first.scale != second.scale:
            found.append(Ruling(pair, "", "other_scales"))
        elif abs(first.reward - second.reward) <= margin:
            found.append(Ruling(pair, TIE))
        else:
            found.append(Ruling(pair, FIRST if first.reward > second.reward else SECOND))
    return found


def compared(pairs: Sequence[Pair], comparisons: Mapping[str, Comparison]) -> list[Ruling]:
    """Rulings by comparisons, by the id of the pair."""
    found = []
    for pair in pairs:
        one = comparisons[pair.id]
        choice = ABOUT.get(one.status, "")
        places = tuple(place for place in one.choices if place in CHOICES)
        found.append(Ruling(pair, choice, "" if choice else one.status, places))
    return found


def trivial(seed: int) -> dict[str, Callable[[Pair], str]]:
    """The judges that read nothing, by name; equally long answers are a tie."""
    return {
        LONGER: lambda pair: pair.longer,
        FIRST_JUDGE: lambda pair: FIRST,
        RANDOM: lambda pair: pair.coin(seed),
    }
