"""What a judge is measured on: pairs of answers of which people prefer one, and answers that people rate."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from arena.seeds import seed_of
from rewards.verdict import Case

T = TypeVar("T")

FIRST, SECOND, TIE = "a", "b", "tie"
"""What a label says of a pair."""
OTHER = {FIRST: SECOND, SECOND: FIRST}


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, and what people say of them."""

    id: str
    """`pandalm_human:17.a-b`: the file, the row, the two answers."""
    source: str
    """The name of the file."""
    first: Case
    second: Case
    label: str
    """`a` where the first answer is the better one, `b` for the second, `tie` for neither."""

    @property
    def decided(self) -> bool:
        """Whether people prefer one."""
        return self.label != TIE

    @property
    def cluster(self) -> str:
        """The prompt: pairs of one prompt are not independent."""
        return asked(self.first)

    @property
    def longer(self) -> str:
        """Which answer has more words: `a`, `b` or `tie`."""
        lengths = [words(case) for case in (self.first, self.second)]
        return TIE if lengths[0] == lengths[1] else FIRST if lengths[0] > lengths[1] else SECOND

    def coin(self, seed: int) -> str:
        """`a` or `b`, whatever the answers."""
        return FIRST if seed_of(seed, "coin", self.id) % 2 else SECOND


@dataclass(frozen=True)
class Rated:
    """An answer and the rating that people give it."""

    case: Case
    source: str
    score: float
    scale: tuple[float, float]
    """The least and the greatest score that there can be."""
    label: str
    """Which of the row's labels the score is."""

    @property
    def cluster(self) -> str:
        """The prompt."""
        return asked(self.case)

    @property
    def mapped(self) -> float:
        """The score on the scale of judges, 1 to 10."""
        low, high = self.scale
        return 1 + 9 * (self.score - low) / (high - low)


def asked(case: Case) -> str:
    """The conversation that an answer answers, as one text."""
    return "\n".join(f"{message['role']}: {message['content']}" for message in case.prompt)


def words(case: Case) -> int:
    """How long an answer is."""
    return len(case.reply.text.split())


def shuffled(items: Sequence[T], seed: int) -> list[T]:
    """The items in an order drawn by the seed: equal seeds and items give equal orders."""
    return _drawn(items, f"{seed}")


def drawn(decided: Sequence[T], ties: Sequence[T], limit: int, seed: int) -> list[T]:
    """`limit` (0: all) rows that decide, and of the ties the same share, so that they keep their weight.

    Rows that decide are drawn as if there were no ties, so that these may be looked at or not.
    """
    if not limit or limit >= len(decided):
        return [*shuffled(decided, seed), *_drawn(ties, f"{seed} ties")]
    count = round(len(ties) * limit / len(decided))
    return [*shuffled(decided, seed)[:limit], *_drawn(ties, f"{seed} ties")[:count]]


def _drawn(items: Sequence[T], key: str) -> list[T]:
    found = list(items)
    random.Random(key).shuffle(found)
    return found


def by_source(items: Sequence[T], source: Callable[[T], str]) -> dict[str, list[T]]:
    """Items by the file that they come from, in the order of first sight."""
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(source(item), []).append(item)
    return found
