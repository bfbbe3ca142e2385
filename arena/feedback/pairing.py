"""From feedback to pairs: a rewrite over what it rewrote, the better of two answers over the other."""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from agents.base import Agent
from agents.dialogue import Reply, Turn
from agents.errors import Unavailable
from arena.feedback.events import Event, Feedback, Given, Staged, Work
from arena.feedback.floor import Floor, Line, Unsaid, chunks
from rewards.feedback import rubric_of
from rewards.pairwise import NO_REPLY, Comparison, Pairwise
from rewards.rewriting import clean_rewrite
from rewards.verdict import Case, Preference


@dataclass(frozen=True)
class Paired:
    """A pair, or why there is none."""

    preference: Preference | None
    outcome: str
    """`pair`, `empty`, `meta`, `equal`, `truncated`, ..."""


@dataclass(frozen=True)
class Contest:
    """Two answers to one problem."""

    about: Case
    other: Case
    task: str
    speakers: tuple[str, str]
    """Whose they are."""

    def id(self, kind: str) -> str:
        """Of the feedback that compares them."""
        return f"{self.about.id}|{self.other.id}#{kind}"


def rewritten(work: Work, kind: str, before: Turn, after: Turn, pair_truncated: bool) -> Paired:
    """The rewrite, freed of talk about itself, over what it rewrote."""
    clean = clean_rewrite(after.text, before.text)
    if clean.status != "ok":
        return Paired(None, clean.status)
    if after.reply.truncated and not pair_truncated:
        return Paired(None, "truncated")
    chosen = said(after.reply, clean.text)
    preference = Preference(work.problem.prompt, chosen, before.reply, 1.0, after.id, before.id, kind)
    return Paired(preference, "pair")


def said(reply: Reply, text: str) -> Reply:
    """`reply` with another text, whose tokens are not those that were sampled."""
    return reply if text == reply.text else replace(reply, text=text, ids=())


def compare(
    pairwise: Pairwise,
    judge: Agent,
    seat: str,
    kind: str,
    contests: Sequence[Contest],
    floor: Floor,
    known: Mapping[str, Feedback],
) -> Generator[Event, None, None]:
    """Have answers compared in both orders; `preference` makes pairs, `comparison` only says.

    Args:
        pairwise: how they are compared.
        judge: who compares, sitting at `seat`.
        seat: the judge's.
        kind: of the feedback.
        contests: what is compared.
        floor: gives seeds and the size of a batch.
        known: comparisons on record, by the feedback's id.
    """
    done = 0
    for part in chunks(contests, floor.chunk):
        began = time.perf_counter()
        new = [contest for contest in part if contest.id(kind) not in known]
        found = pairwise(
            judge,
            [replace(contest.about, other=contest.other.reply) for contest in new],
            [floor.seed_of("compare", contest.id(kind)) for contest in new],
            [rubric_of("preference", contest.task) for contest in new],
            floor.patience,
        )
        done += len(part)
        comparisons = {contest.id(kind): each for contest, each in zip(new, found, strict=True)}
        ended: list[Unavailable] = []
        for contest in part:
            id = contest.id(kind)
            if id in known:
                yield Given(known[id])
                continue
            comparison = comparisons[id]
            lost = comparison.status == NO_REPLY
            ended += floor.missed(seat, comparison.raw if lost else "")
            if lost:  # to be asked for again, so that it is no feedback yet
                yield Unsaid(Line(id, contest.about.id, seat, kind, ()), comparison.raw)
            else:
                yield _given(contest, kind, seat, comparison)
        yield Staged(f"{kind}s by {seat}", done, len(contests), time.perf_counter() - began)
        if ended:
            raise ended[0]


def _given(contest: Contest, kind: str, seat: str, found: Comparison) -> Given:
    """A comparison as feedback, with its pair where one is asked for and the orders agree."""
    better = found.status in ("about", "other")
    outcome = found.status if found.status in ("tie", "flipped") else "abstained"
    if better:
        outcome = "pair" if kind == "preference" else "given"
    chances = "" if found.probability is None else f"probability {found.probability:.4f} of about; "
    raw = f"{chances}chose {' then '.join(found.choices)}; {found.raw}"
    feedback = Feedback(
        id=contest.id(kind),
        kind=kind,
        about=contest.about.id,
        by=seat,
        status=found.status,
        outcome=outcome,
        other=contest.other.id,
        raw=raw,
    )
    if outcome != "pair":
        return Given(feedback)
    cases = (contest.about, contest.other)
    first = found.status == "about"
    chosen, rejected = cases if first else cases[::-1]
    assert found.probability is not None, "a comparison that prefers one has a probability"
    margin = abs(2 * found.probability - 1)
    pair = Preference(
        contest.about.prompt, chosen.reply, rejected.reply, margin, chosen.id, rejected.id, kind
    )
    return Given(feedback, pair, contest.speakers[0 if first else 1])
