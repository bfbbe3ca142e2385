"""What speaks against a judge, or against what two judges have in common."""

from collections.abc import Mapping

from arena.rejudging.comparison import (
    AGREEMENT,
    BOTH,
    DECIDED,
    FLIPS,
    LENGTH,
    SHUFFLED,
    TOPIC,
    Comparison,
)
from arena.rejudging.recall import LOST

LEAST = 20
"""Items from which something is said."""
MANY_FLIPS = 0.2
"""Share of pairs whose order another embedding may turn around."""
STRONG = 0.5
"""Rank correlation with length that is more than a habit."""
PERFECT = 0.999
"""One that needs no interval, and has none where no draw differs."""


def doubts(comparison: Comparison) -> dict[str, str]:
    """What a user must know before trusting either judge, by name."""
    found: dict[str, str | None] = {"agreement": _chance(comparison)}
    for name in (*(side.name for side in comparison.bench.sides), BOTH):
        found[f"like_shuffled_{name}"] = _control(comparison, name, SHUFFLED, "another answer's WIM")
        found[f"like_topic_{name}"] = _control(comparison, name, TOPIC, "the bare topic")
        found[f"embedding_{name}"] = _embedding(comparison, name)
        found[f"length_{name}"] = _length(comparison, name)
    found |= {f"lost_{side.name}": _lost(side.abstentions) for side in comparison.bench.sides}
    return {name: text for name, text in found.items() if text}


def _chance(comparison: Comparison) -> str | None:
    found = comparison.found(AGREEMENT, DECIDED)
    if found is None or not found.known or found.n < LEAST or found.low > 0.5:
        return None
    one, other = (side.name for side in comparison.bench.sides)
    return (
        f"{one} and {other} order {found.value:.0%} of {found.n} pairs alike (95 %: {found.low:.0%} to "
        f"{found.high:.0%}), which two coins could do: at least one of them does not judge these drafts"
    )


def _control(comparison: Comparison, side: str, measure: str, words: str) -> str | None:
    found = comparison.found(measure, side)
    if found is None or not found.known or found.n < LEAST or found.low > 0:
        return None
    return (
        f"the cosine with what is missing ({side}) exceeds that with {words} by {found.value:+.3f} (95 %: "
        f"{found.low:+.3f} to {found.high:+.3f}): it says little about the answers"
    )


def _embedding(comparison: Comparison, side: str) -> str | None:
    found = comparison.found(FLIPS, side)
    if found is None or found.n < LEAST or found.value <= MANY_FLIPS:
        return None
    return (
        f"{found.value:.0%} of {found.n} pairs ({side}) turn around under another embedding model: what WIM "
        "says of them is the embedding's opinion"
    )


def _length(comparison: Comparison, side: str) -> str | None:
    found = comparison.found(LENGTH, f"{side}: reward")
    if found is None or found.n < LEAST or abs(found.value) < STRONG:
        return None
    if not found.sign and abs(found.value) < PERFECT:
        return None
    better = "longer" if found.value > 0 else "shorter"
    return (
        f"the rewards of {side} follow length (rank correlation {found.value:+.2f} with the number of "
        f"words): to please it, be {better}"
    )


def _lost(abstentions: Mapping[str, int]) -> str | None:
    if LOST not in abstentions:
        return None
    return (
        f"{abstentions[LOST]} drafts had a rating that was not written down, since nothing usable was said "
        "to be missing; they abstain here: again=true asks the judge instead"
    )
