"""Which values of two runs answer the same, and why others do not."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from agents.errors import ArenaError
from arena.comparing.arms import Arm
from arena.comparing.recorded import Place
from arena.terminal import one_line

REASONS = {
    "text": "another topic or prompt",
    "seed": "another seed",
    "time": "a topic more often than on the other side",
    "turn": "a turn that the other side lacks",
    "kind": "another kind of turn",
    "speaker": "another speaker",
    "draft": "a draft more than the other side",
}
"""By the first field of a place that the other side has nowhere."""
STRANGER = "a prompt that is not on record"
_LONG = 60


@dataclass(frozen=True)
class Left:
    """What of a side has no partner."""

    of: int
    """Drafts in all."""
    reasons: dict[str, int]

    @property
    def count(self) -> int:
        """Drafts without a partner."""
        return sum(self.reasons.values())

    def __str__(self) -> str:
        """How many, and why."""
        why = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        return f"{self.count} of {self.of}" + (f" ({why})" if why else "")


def left(own: Arm, other: Arm) -> Left:
    """The drafts of one side that have no partner on the other, by the reason."""
    reasons = unmatched([d.place for d in own.drafts], {d.place for d in other.drafts})
    if strangers := sum(run.strangers for run in own.runs):
        reasons[STRANGER] = strangers
    return Left(
        sum(reasons.values()) + len({d.place for d in own.drafts} & {d.place for d in other.drafts}), reasons
    )


def unmatched(own: Iterable[Place], others: Collection[Place]) -> dict[str, int]:
    """How many places are not among the others, by the first field in which they part."""
    prefixes = [{other[:length] for other in others} for length in range(1, len(Place._fields) + 1)]
    names = [
        next(
            field
            for field, known in zip(Place._fields, prefixes, strict=True)
            if place[: Place._fields.index(field) + 1] not in known
        )
        for place in own
        if place not in others
    ]
    counts = Counter(names)
    return {text: counts[field] for field, text in REASONS.items() if counts[field]}


def refuse_unpaired(a: Arm, b: Arm, paired: int) -> None:
    """Refuse a comparison without pairs, and say why there are none.

    Args:
        a: one side.
        b: the other side.
        paired: values that have a partner.

    Raises:
        ArenaError: there are none.
    """
    if paired:
        return
    names = f"{a.name!r} and {b.name!r}"
    if bool(a.drafts) != bool(b.drafts):
        without = b if a.drafts else a
        raise ArenaError(
            f"{names} are runs of different kinds: {without.name!r} has no drafts that could be paired; "
            "compare runs that both write, or both train from tables"
        )
    if not a.drafts:
        raise ArenaError(f"{names} have nothing on record that could be paired: {_tables(a)}; {_tables(b)}")
    raise ArenaError(
        f"nothing of {names} can be paired: {_why(a, b)}. Run both with the same topics, seed and turns, or "
        "compare the means of what each has on record with --unpaired: far wider intervals"
    )


def _tables(arm: Arm) -> str:
    missing = sorted({name for run in arm.runs for name in run.missing})
    return f"{arm.letter} lacks {', '.join(missing) or 'no table, but equal seeds, seats and steps'}"


def _why(a: Arm, b: Arm) -> str:
    """The first thing that they do not share."""
    sides = [sorted({draft.place for draft in arm.drafts}) for arm in (a, b)]
    if (texts := [{place.text for place in own} for own in sides]) and not texts[0] & texts[1]:
        first, second = (repr(one_line(own[0].text, _LONG)) for own in sides)
        return f"their topics or prompts are others (A begins with {first}, {b.letter} with {second})"
    if not set(a.seeds) & set(b.seeds):
        return f"their seeds are others (A {_listed(a.seeds)}, {b.letter} {_listed(b.seeds)})"
    reasons = unmatched(sides[0], set(sides[1]))
    return f"the drafts of A have {', '.join(reasons)}"


def _listed(seeds: Iterable[int | None]) -> str:
    return ", ".join("not on record" if seed is None else str(seed) for seed in seeds)
