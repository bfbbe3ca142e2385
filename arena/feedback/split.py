"""Which pairs are learned from, which are held out, and which are dropped so that length teaches nothing.

Both depend on ids and on the seed, never on the order of rows.
"""

import hashlib
import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents.errors import ConfigError
from arena.feedback.lengths import log_ratio, words

Row = Mapping[str, Any]


def split(preferences: Sequence[Row], share: float = 0.1, seed: int = 0) -> tuple[list[str], list[str]]:
    """(ids to train on, ids to hold out), each in the order of the rows.

    All pairs of one problem (`dialogue`) go to one side. Of each kind that has pairs of two or more problems
    at least `share` of the pairs are held out: problems are taken in an order drawn by the seed, each if a
    kind of its pairs is short of its share. A problem that is the last one of a kind on the training side
    is passed over while others can do.

    Raises:
        ConfigError: `share` is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise ConfigError(f"share of pairs to hold out must be 0 or more and less than 1, got {share:g}")
    problems: dict[str, Counter[str]] = defaultdict(Counter)
    for row in preferences:
        problems[row["dialogue"]][row["kind"]] += 1
    held = _held(problems, share, seed)
    train = [row["id"] for row in preferences if row["dialogue"] not in held]
    return train, [row["id"] for row in preferences if row["dialogue"] in held]


def _held(problems: Mapping[str, Counter[str]], share: float, seed: int) -> set[str]:
    """The problems to hold out, from the number of pairs of each kind that each has."""
    pairs: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for counts in problems.values():
        pairs.update(counts)
        left.update(counts.keys())
    # Rounded first: 0.07 of 100 pairs are 7, not 7.000000000000001 and so 8.
    short = {kind: math.ceil(round(share * pairs[kind], 9)) for kind in pairs if left[kind] > 1}
    order = sorted(problems, key=lambda problem: hashlib.sha256(f"{seed}/{problem}".encode()).digest())
    held: set[str] = set()
    spare: Callable[[str], bool]
    for spare in (lambda kind: left[kind] > 1, lambda kind: True):
        for problem in order:
            kinds = problems[problem]
            wanted = any(short.get(kind, 0) > 0 for kind in kinds)
            if problem not in held and wanted and all(map(spare, kinds)):
                held.add(problem)
                left.subtract(kinds.keys())
                for kind, count in kinds.items():
                    short[kind] = short.get(kind, 0) - count
    return held


def balance(preferences: Sequence[Row]) -> list[str]:
    """The ids to keep, in the order of the rows, so that what is chosen is on the mean not longer.

    For each kind, pairs are dropped from the largest log ratio of words chosen to words rejected downwards
    (of equal ratios the larger id first) until the kind's mean log ratio is not above 0. No rule drops
    fewer pairs of a kind. A kind whose every chosen side is the longer one loses all its pairs.
    """
    kinds: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for row in preferences:
        kinds[row["kind"]].append((log_ratio(words(row["chosen"]), words(row["rejected"])), row["id"]))
    kept: set[str] = set()
    for pairs in kinds.values():
        pairs.sort()

        def is_longer(count: int, pairs: list[tuple[float, str]] = pairs) -> bool:
            return math.fsum(ratio for ratio, _ in pairs[:count]) > 0

        count = bisect_left(range(1, len(pairs) + 1), True, key=is_longer)
        kept.update(id for _, id in pairs[:count])
    return [row["id"] for row in preferences if row["id"] in kept]
