"""From feedback to pairs: a rewrite over what it rewrote, the better of two answers over the other."""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from agents.base import Agent
from agents.dialogue import Message, Reply, Turn
from arena.feedback.events import Event, Feedback, Given, Staged
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
    prompts: tuple[tuple[Message, ...], tuple[Message, ...]]
    """What each answered, as its speaker saw it."""

    def id(self, kind: str) -> str:
        """Of the feedback that compares them."""
        return f"{self.about.id}|{self.other.id}#{kind}"


def rewritten(
    prompt: tuple[Message, ...], kind: str, before: Turn, after: Turn, told: str, pair_truncated: bool
) -> Paired:
    """The rewrite, freed of talk about itself, over what it rewrote.

    Args:
        prompt: what was answered.
        kind: of the feedback.
        before: the answer.
        after: its rewrite.
        told: the words of the request to rewrite, which are no part of a rewrite.
        pair_truncated: whether a rewrite that was cut at the token limit counts.
    """
    clean = clean_rewrite(after.text, before.text, told)
    if clean.status != "ok":
        return Paired(None, clean.status)
    if after.reply.truncated and not pair_truncated:
        return Paired(None, "truncated")
    chosen = said(after.reply, clean.text)
    preference = Preference(prompt, chosen, before.reply, 1.0, after.id, before.id, kind)
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
    unsaid: list[Unsaid] = []
    for part in chunks(contests, floor.chunk):
        began = time.perf_counter()
        new = [contest for contest in part if _to_be_asked(contest, kind, floor, known)]
        found = pairwise(
            judge,
            [replace(contest.about, other=contest.other.reply) for contest in new],
            [floor.seed_of("compare", contest.id(kind)) for contest in new],
            [rubric_of("preference", contest.task) for contest in new],
            floor.patience,
        )
        done += len(part)
        comparisons = {contest.id(kind): each for contest, each in zip(new, found, strict=True)}
        for contest in part:
            id = contest.id(kind)
            if (comparison := comparisons.get(id)) and comparison.status == NO_REPLY:
                unsaid.append(Unsaid(Line(id, contest.about.id, seat, kind, ()), comparison.raw))
                floor.missed(seat, comparison.raw)
            elif id not in floor.lost:
                floor.heard(seat)
                feedback = known.get(id) or _feedback(contest, kind, seat, comparison)
                yield _given(contest, feedback)
        yield Staged(f"{kind}s by {seat}", done, len(contests), time.perf_counter() - began)
        if floor.out_of_patience:
            yield from (replace(each, final=False) for each in unsaid)
            raise floor.out_of_patience
    yield from unsaid


def _to_be_asked(contest: Contest, kind: str, floor: Floor, known: Mapping[str, Feedback]) -> bool:
    """Whether a comparison is not on record, and the answers are not the same."""
    id = contest.id(kind)
    return id not in known and id not in floor.lost and not _equal(contest)


def _equal(contest: Contest) -> bool:
    return contest.about.reply.text.split() == contest.other.reply.text.split()


def _feedback(contest: Contest, kind: str, seat: str, found: Comparison | None) -> Feedback:
    """A comparison as feedback; equal answers are a tie that nobody is asked about."""
    base = Feedback(
        id=contest.id(kind),
        kind=kind,
        about=contest.about.id,
        by=seat,
        status="tie",
        outcome="equal",
        other=contest.other.id,
    )
    if found is None:
        return base
    outcome = found.status if found.status in ("tie", "flipped") else "abstained"
    if found.status in ("about", "other"):
        outcome = "pair" if kind == "preference" else "given"
    raw = f"chose {' then '.join(found.choices)}; {found.raw}"
    return replace(base, status=found.status, outcome=outcome, score=found.probability, raw=raw)


def _given(contest: Contest, feedback: Feedback) -> Given:
    """Feedback with its pair, where one is asked for and the orders agree."""
    if feedback.outcome != "pair":
        return Given(feedback)
    assert feedback.score is not None, "a comparison that prefers one has a probability"
    cases = (contest.about, contest.other)
    first = feedback.status == "about"
    chosen, rejected = cases if first else cases[::-1]
    speaker = contest.speakers[0 if first else 1]
    pair = Preference(
        prompt=contest.prompts[0 if first else 1],
        chosen=chosen.reply,
        rejected=rejected.reply,
        margin=abs(2 * feedback.score - 1),
        chosen_id=chosen.id,
        rejected_id=rejected.id,
        kind=feedback.kind,
    )
    return Given(feedback, pair, speaker)
