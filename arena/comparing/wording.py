"""What every form of a comparison says in the same words."""

from collections.abc import Sequence

from arena.comparing.arms import Arm
from arena.comparing.comparison import Comparison, Difference
from arena.comparing.doubts import many
from arena.evaluation.findings import ends_of, number
from arena.terminal import one_line
from arena.wording import count

UNPAIRED = "unpaired"
_LONG = 56

METHOD = (
    "Intervals are of 95 %: paired on topic, seed, turn, speaker and draft, they leave out one topic at a "
    "time, with Student's t (n: pairs, and topics in brackets).",
    "Of updates: means over the last quarter of the steps, never the best one; n: steps, and steps or seeds.",
)
APART = (
    "Intervals are of 95 %, of means of each side that nothing pairs: Welch's t, each side clustered by "
    "topic (n: values of both sides, and topics of the smaller one in brackets).",
)
OVER_SEEDS = (
    "With several seeds on both sides they leave out one seed at a time instead, and n has the seeds in "
    "brackets. 'these seeds' leaves out one topic at a time: it is narrower, and holds for these very "
    "trainings alone.",
)


def about(arm: Arm) -> str:
    """Which runs an arm is, in a line."""
    seeds = ", ".join("not on record" if seed is None else str(seed) for seed in arm.seeds)
    facts = [
        arm.name,
        arm.conf and f"conf {arm.conf}",
        "; ".join(dict.fromkeys(arm.states)),
        f"seed{'s' * (len(arm.runs) > 1)} {seeds}",
        count(len(arm.drafts), "draft"),
    ]
    names = ", ".join(one_line(name, _LONG) for name in arm.contestants)
    return " · ".join(filter(None, [*facts, names and f"contestants {names}"]))


def pairing(of: Comparison) -> str:
    """What is paired with what."""
    a, b = of.left
    if not of.paired:
        return f"NOT PAIRED: {a.of} drafts of A beside {b.of} of {of.b.letter}, each side by itself"
    if not of.a.drafts:
        return "paired: updates of equal seed, seat and step"
    mine, theirs = ({draft.place: draft.content for draft in arm.drafts} for arm in (of.a, of.b))
    pairs = mine.keys() & theirs.keys()
    topics = len({place.text for place in pairs})
    same = sum(mine[place] == theirs[place] for place in pairs)
    told = f"paired on topic, seed and turn: {count(len(pairs), 'draft')} of {count(topics, 'topic')}"
    return f"{told}, {same or 'none'} of them word for word the same"


def method(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """How the intervals were made."""
    updates = any(row.measure.per == "update" for each in comparisons for row in each.rows)
    first = (METHOD if updates else METHOD[:1]) if comparisons[0].paired else APART
    seeds = OVER_SEEDS if any(row.these_seeds for each in comparisons for row in each.rows) else ()
    return (*first, *seeds, *filter(None, [many(comparisons)]))


def head(of: Comparison) -> tuple[str, ...]:
    """What stands above the columns."""
    letter = of.b.letter
    ends = "95 %" if of.paired else f"95 %, {UNPAIRED}"
    more = ("these seeds",) if _several(of) else ()
    return "", "A", letter, f"{letter} - A", ends, *more, "n"


def _several(of: Comparison) -> bool:
    return any(row.these_seeds for row in of.rows)


def cells(of: Comparison, row: Difference) -> tuple[str, ...]:
    """What a table shows of a row."""
    digits = row.measure.digits
    return (
        row.label,
        number(row.a, digits),
        number(row.b, digits),
        number(row.difference, digits, "+"),
        ends_of(row.difference, digits, "+"),
        *((ends_of(row.these_seeds, digits, "+"),) if _several(of) else ()),
        f"{row.difference.n} ({row.clusters})",
    )


def besides(of: Comparison) -> list[str]:
    """What is said below a table: what is not compared and why, and the pace."""
    reasons: dict[str, list[str]] = {}
    for label, why in of.refused.items():
        reasons.setdefault(why, []).append(label)
    lines = [f"not compared: {', '.join(labels)} ({why})" for why, labels in reasons.items()]
    lacking = {
        arm.letter: sorted(set.intersection(*(set(run.missing) for run in arm.runs))) for arm in (of.a, of.b)
    }
    lines += [f"{letter} has no rows of {', '.join(tables)}" for letter, tables in lacking.items() if tables]
    if all(value is not None for value in of.seconds):
        told = ", ".join(
            f"{arm.letter} {value:.1f}" for arm, value in zip((of.a, of.b), of.seconds, strict=True)
        )
        lines.append(f"seconds per step, for information (machines and their load differ): {told}")
    return lines
