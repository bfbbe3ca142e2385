"""Alarms of collecting and revising: what their pairs and revisions teach that nobody meant to teach.

Pure functions of the tables' rows: name -> sentence.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from arena.feedback.chain import UNCLEAR
from arena.feedback.lengths import equal_length, length_bias, log_ratio
from arena.feedback.versions import Recorded, recorded
from arena.report import Tables
from arena.stats.intervals import clustered_mean, wilson

FLIPS = 0.25
"""Share of comparisons that may flip with the order; above it the place decides too often."""
LONGER = 1.2
"""Words chosen for one word rejected, above which pairs teach length."""
UNREAD = 0.3
"""Share of stop verdicts that may be unclear."""
LEAST = 5
"""Pairs or verdicts before they are looked at."""

Alarms = dict[str, str]


def collect_alarms(tables: Tables) -> Alarms:
    """What is wrong with collected pairs."""
    return dict([*_flips(tables, "preference"), *_lengths(tables)])


def revise_alarms(tables: Tables, minimum: int = 0) -> Alarms:
    """What is wrong with revisions; `minimum` of them were to be made of every answer."""
    chains = recorded(tables)
    found = [*_flips(tables, "comparison"), *_lengths(tables), *_unclear(tables)]
    return dict([*found, *_too_few(chains, minimum), *_gain_is_length(chains)])


def _flips(tables: Tables, kind: str) -> Iterator[tuple[str, str]]:
    statuses = Counter(row["status"] for row in tables["feedback"] if row["kind"] == kind)
    n = sum(statuses[status] for status in ("about", "other", "tie", "flipped"))
    share = statuses["flipped"] / max(1, n)
    if n >= LEAST and wilson(share, n)[0] > FLIPS:
        yield (
            "flips",
            f"{share:.0%} of {n} comparisons changed with the order of the answers: this judge goes by the "
            "place, so seat a larger one (agent@teacher=..., judge.agent=...)",
        )


def _lengths(tables: Tables) -> Iterator[tuple[str, str]]:
    for kind in sorted({row["kind"] for row in tables["preferences"]}):
        own = [row for row in tables["preferences"] if row["kind"] == kind]
        bias = length_bias(own)
        if len(own) >= LEAST and bias.interval[0] > LONGER:
            yield (
                f"length_{kind}",
                f"what {kind} prefers has {bias.ratio:.2f} times the words ({bias.interval[0]:.2f} to "
                f"{bias.interval[1]:.2f}) of what it rejects: these pairs teach length",
            )


def _unclear(tables: Tables) -> Iterator[tuple[str, str]]:
    said = [row["status"] for row in tables["feedback"] if row["kind"] == "feedback"]
    unclear = sum(status in UNCLEAR for status in said)
    if len(said) >= LEAST and unclear > UNREAD * len(said):
        yield (
            "unclear",
            f"{unclear} of {len(said)} verdicts do not say clearly whether a revision is needed: this agent "
            "does not keep to the form, so its chains do not end by its own judgement",
        )


def _too_few(chains: Sequence[Recorded], minimum: int) -> Iterator[tuple[str, str]]:
    short = [chain for chain in chains if chain.revisions < minimum]
    if short:
        yield (
            "too_few",
            f"{len(short)} of {len(chains)} chains have fewer than {minimum} revisions; feedback.jsonl says "
            "why (outcome), and attempts=N gives their authors more tries",
        )


def _gain_is_length(chains: Sequence[Recorded]) -> Iterator[tuple[str, str]]:
    """The rating rises, but not between texts of equal length."""
    ends = [(chain.dialogue, chain.versions[0], chain.versions[-1]) for chain in chains if chain.revisions]
    rated = [
        (dialogue, last.rating - first.rating, log_ratio(last.words, first.words))
        for dialogue, first, last in ends
        if first.rating is not None and last.rating is not None
    ]
    if len({dialogue for dialogue, _, _ in rated}) < LEAST:
        return
    dialogues, changes, ratios = zip(*rated, strict=True)
    raw, equal = clustered_mean(changes, dialogues), equal_length(changes, ratios, dialogues)
    if raw and equal and raw.interval[0] > 0 >= equal.interval[0]:
        yield (
            "gain_is_length",
            f"the rating rises by {raw.value:+.2f} ± {raw.half:.2f}, but by {equal.value:+.2f} ± "
            f"{equal.half:.2f} at equal length: the gain cannot be told from longer texts",
        )
