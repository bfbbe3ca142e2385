"""What speaks against believing a comparison: warnings by name."""

import math
from collections.abc import Iterator, Mapping, Sequence

from arena.alarms import SHARE, TRUNCATED
from arena.comparing.arms import Arm
from arena.comparing.comparison import Comparison, Difference
from arena.comparing.trust import other_weights, refused
from arena.evaluation.match.alarms import ABSTAINED
from arena.feedback.feedback_alarms import FLIPS
from arena.stats.chance import by_chance
from arena.stats.power import advice
from arena.terminal import one_line

MOVED = 0.1
"""Share of its length by which an arm's texts may differ before a reward may be length."""
MANY = 20
"""Intervals from which some leave 0 out by chance alone."""
SEEDS = 5
"""Seeds of an arm below which they are few."""
HEADLINES = ("win-rate", "reward", "rating", "performance", "score")
"""What a comparison is mostly about: where these are not decided, it is said what would decide them."""
LIMITS: Mapping[str, tuple[float, str]] = {
    "ties": (SHARE, "{share} of {arm}'s comparisons ended in a tie: its judge tells little apart"),
    "abstained": (ABSTAINED, "{arm}'s judge gave no verdict on {share} of what it saw: it is left out"),
    "flips": (
        FLIPS,
        "{share} of {arm}'s comparisons changed with the order of the answers: its judge goes by the place",
    ),
}
"""Shares of what a judge saw above which it is said of it."""
_LONG = 200

Doubts = dict[str, str]


def doubts(of: Comparison, asked: Sequence[str] = ()) -> Doubts:
    """What speaks against believing a comparison.

    Args:
        of: the comparison.
        asked: measures that the user named, on which advice is given besides the usual ones.
    """
    found: Doubts = {}
    for arm in (of.a, of.b):
        found.update(_standing(arm))
    found.update(_pairing(of))
    found.update(_texts(of))
    found.update(_judging(of))
    found.update(_small(of, asked))
    return found


def _standing(arm: Arm) -> Iterator[tuple[str, str]]:
    """How the runs of an arm ended."""
    for run, state in zip(arm.runs, arm.states, strict=True):
        if state != "done":
            yield f"not_done_{arm.letter}", f"{run.name} is not done ({state}): its end is not on record"
        alarms = run.info.get("alarms", {})
        for name, text in alarms.items():
            yield f"alarm_{arm.letter}_{name}", f"{run.name} says against itself: {one_line(text, _LONG)}"


def _pairing(of: Comparison) -> Iterator[tuple[str, str]]:
    if not of.paired:
        yield (
            "unpaired",
            "nothing is paired: the two sides had other topics or seeds, and what these change stands in the "
            "differences too",
        )
    elif any(side.count for side in of.left):
        a, b = of.left
        yield "left_out", f"drafts without a partner are left out: of A {a}; of {of.b.letter} {b}"
    for arm in (of.a, of.b):
        if None in arm.seeds:
            yield f"no_seed_{arm.letter}", f"{arm.name} has no seed on record: it is paired without one"
    for arm in (of.a, of.b):
        if 1 < len(arm.runs) < SEEDS:
            yield (
                f"few_seeds_{arm.letter}",
                f"{arm.letter} has {len(arm.runs)} seeds, which are few: intervals over seeds are wide, and "
                "those over topics do not say what another training would give",
            )
    if of.rows and not any(row.over_seeds for row in of.rows):
        yield (
            "one_seed",
            "one seed on each side: intervals are over the topics of these runs, of updates over their last "
            "steps, and do not say what another seed would give: another training may differ by more than "
            "they show",
        )


def _texts(of: Comparison) -> Iterator[tuple[str, str]]:
    """Length and truncation, which judges see before all else."""
    for row in of.rows:
        change, before = row.difference, row.a.value
        if row.measure.name == "words" and change.sign and abs(change.value) > MOVED * before:
            more = "longer" if change.value > 0 else "shorter"
            share = f"{abs(change.value) / before:.0%} " if before else ""
            yield (
                f"length_moved{_of(row)}",
                f"texts of {of.b.letter} are {share}{more} ({change.low:+.1f} to {change.high:+.1f} words): "
                "what judges like better may be the length",
            )
        for letter, side in (("A", row.a), (of.b.letter, row.b)):
            if row.measure.name == "truncated" and side.value > TRUNCATED:
                yield (
                    f"truncated_{letter}{_of(row)}",
                    f"{side.value:.0%} of the drafts of {letter} were cut at the token limit: judged "
                    "as fragments; raise max_new_tokens",
                )


def _judging(of: Comparison) -> Iterator[tuple[str, str]]:
    """Who judged, and whether it decided anything."""
    judged = [c for key, c in of.a.columns.items() if key in of.b.columns and c.measure.per != "update"]
    if any(refused(column, of.a, of.b) for column in judged):
        yield (
            "judges_differ",
            "numbers of two judges are on two scales, and are not compared: judge the drafts of one run by "
            "the judge of the other with python -m arena.rejudge",
        )
    scales = {label: n for label, n in _scales(of).items() if n}
    for label, count in scales.items():
        yield (
            f"scales_differ_{label}",
            f"{count} pairs of {label} are on two scales (such as rating and rating+wim) and are left out",
        )
    for row in of.rows:
        for letter, side in (("A", row.a), (of.b.letter, row.b)):
            limit, text = LIMITS.get(row.measure.name, (math.inf, ""))
            if side.value > limit:
                told = text.format(share=f"{side.value:.0%}", arm=letter)
                yield f"{row.measure.name}_{letter}{_of(row)}", told
    if other := other_weights(of.a, of.b):
        yield "weights_differ", f"one name, two weights or precisions: {one_line(', '.join(other), _LONG)}"


def _scales(of: Comparison) -> dict[str, int]:
    """Pairs of rewards on two scales, by label."""
    found = {}
    for key, column in of.a.columns.items() if of.paired else ():
        other = of.b.columns.get(key)
        if column.scales and other and column.label not in of.refused:
            both = column.scales.keys() & other.scales.keys()
            found[column.label] = sum(column.scales[place] != other.scales[place] for place in both)
    return found


def _small(of: Comparison, asked: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What it would take to decide what is not decided."""
    for row in of.rows:
        headline = row.measure.name in (*HEADLINES, *asked) and row.measure.per != "update"
        if headline and row.paired and row.difference.value and not row.difference.sign:
            seen = float(f"{abs(row.difference.value):.2g}")
            text = (
                f"{row.clusters} seeds do not show a difference of {seen:g}: it takes more seeds, for more "
                "topics only tell more of these"
                if row.these_seeds
                else advice(row.difference, row.noise, seen)
            )
            yield f"undecided{_of(row)}_{row.measure.name}", f"{row.label}: {text}"


def _of(row: Difference) -> str:
    return f"_{row.part}" if row.part else ""


def many(comparisons: Sequence[Comparison]) -> str:
    """How many of all intervals leave 0 out, and how many would by chance alone; `""` without any."""
    rows = [row for each in comparisons for row in each.rows if row.difference.known]
    if not rows:
        return ""
    text = by_chance(sum(bool(row.difference.sign) for row in rows), len(rows), "0", "nothing differed")
    return f"{text} With so many, take none of them alone for a finding." if len(rows) > MANY else text
