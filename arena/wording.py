"""What a transcript says of drafts and verdicts, in words: the same on a terminal and in Markdown."""

from collections.abc import Iterator, Sequence

from agents.human import printable
from arena.feedback.events import Feedback
from arena.transcript import Draft, Failure, Judged, Pair, Question, Round
from arena.worddiff import Segment, diff, staying

_NO_PAIR = {
    "": "no outcome on record yet",
    "abstained": "no pair: fewer than two drafts have a reward",
    "truncated": "no pair: fewer than two drafts with a reward are not truncated",
    "scales": "no pair: the rewards are on different scales",
    "tie": "no pair: a tie",
}
_ENDS = {
    "stopped": "no revision is needed",
    "unclear": "the verdict is unclear",
    "unchanged": "the revision has the same words",
    "empty": "the revision is empty",
    "meta": "the revision only talks about itself",
    "no_reply": "no reply",
}
"""Why an answer was not revised again."""
_UNREADABLE = {"absent", "cut_off", "contradicts", "ambiguous"}
"""Statuses of a text that was to say whether a revision is needed."""
_STAYING = 1 / 3
"""The share of words that must stay for a comparison word by word to be readable."""


def flags(draft: Draft) -> list[str]:
    """What is to be known of a draft at a glance."""
    known = {
        "said": draft.said,
        "taken": draft.taken,
        "chosen": draft.chosen,
        "rejected": draft.rejected,
        "truncated": draft.turn.reply.truncated,
        "not decided yet": draft.turn.kind == "reply" and not draft.outcome,
    }
    return [word for word, holds in known.items() if holds]


def role(*drafts: Draft) -> str:
    """What drafts are where an answer is worked on: `answer`, `feedback`, `revision 2`; `""` for replies."""
    known = (f"revision {d.revision}" if d.revision else d.turn.kind for d in drafts)
    return " / ".join(dict.fromkeys(kind for kind in known if kind != "reply"))


def origin(played: Round, above: Round | None) -> str:
    """What a turn goes on from, where an answer is worked on and that is not just the turn above."""
    parents = {draft.turn.parent for draft in played.drafts if draft.turn.kind != "reply"} - {""}
    shown = {draft.turn.id for draft in above.drafts} if above else set()
    return "" if parents <= shown else f"from {', '.join(sorted(map(_place, parents)))}"


def size(draft: Draft) -> str:
    """How long a draft is, and which adapter wrote it."""
    words = len(draft.turn.text.split())
    length = count(draft.tokens, "token") if draft.tokens else count(words, "word")
    return f"{length}, {draft.turn.adapter}" if draft.turn.adapter else length


def outcome(played: Round) -> str:
    """What came of the drafts of a turn; `""` where an answer is worked on, which no drafts compete for."""
    if role(*played.drafts):
        return ""
    chosen = next((draft.letter for draft in played.drafts if draft.chosen), "")
    rejected = next((draft.letter for draft in played.drafts if draft.rejected), "")
    if not (chosen and rejected):
        return _NO_PAIR.get(played.outcome, f"no pair: {played.outcome}")
    margin = f" by {played.margin:.4g}" if played.margin is not None else ""
    trained = f", and {played.speaker} was trained in this step" if played.trained else ""
    return f"pair: {chosen} over {rejected}{margin}{trained}"


def remarks(judged: Judged, normalisation: str) -> Iterator[tuple[str, str]]:
    """A verdict as (label, text)."""
    verdict = judged.verdict
    quality = judged.quality(normalisation)
    yield "rating", f"{verdict.rating:.2f} by {judged.judge}{', ' if quality else ''}{quality}"
    if verdict.wim_status == "ok":
        yield "missing", verdict.wim
    elif verdict.wim_status != "not_asked":
        yield "missing", f"({verdict.wim_status.replace('_', ' ')})"
    if verdict.cosine is not None and verdict.cosine_topic is not None:
        shuffled = "none" if verdict.cosine_shuffled is None else f"{verdict.cosine_shuffled:z.3f}"
        controls = f"controls: shuffled {shuffled}, topic {verdict.cosine_topic:z.3f}"
        yield "cosine", f"{verdict.cosine:z.3f} ({controls}), echo {verdict.echo:.2f}"
    yield "reward", judged.equation(normalisation)


def failed(failure: Failure) -> Iterator[tuple[str, str]]:
    """A failure as (label, text), with what could not be used."""
    yield "failed", f"{failure.what} (by {failure.by})"
    if failure.raw:
        yield "", f"what there was: {' '.join(failure.raw.split())}"


def changes(draft: Draft, wanted: bool) -> tuple[list[Segment], str]:
    """A draft's clean text, with the words that a revision changes if wanted, and a note on too many."""
    text = printable(draft.turn.text.strip())
    if draft.before is None or not text or not wanted:
        return [("equal", text)], ""
    segments = diff(printable(draft.before), text)
    if all(kind == "equal" for kind, _ in segments):
        return segments, "(every word stays, and none is new)"
    share = staying(segments)
    if share < _STAYING:
        return [("equal", text)], f"(rewritten: {100 * share:.0f} % of the words stay)"
    return segments, ""


def heard(draft: Draft, minimum: int) -> Iterator[tuple[str, str]]:
    """What a feedback's text says, and what came of it, as (label, text).

    Args:
        draft: the feedback's text, its result, or the answer that got none.
        minimum: revisions that the run requires of every answer.
    """
    for each in draft.feedback:
        if each.comment == draft.turn.id and (verdict := _verdict(each, minimum)):
            yield "verdict", verdict
        if draft.turn.id == (each.result or each.comment or each.about) and (came := _came(each)):
            yield "outcome", came


def compared(feedback: Feedback) -> str:
    """A comparison of two answers."""
    about, other = _place(feedback.about), _place(feedback.other)
    better = {"about": f"{about} is better", "other": f"{other} is better"}
    said = better.get(feedback.status, _words(feedback.status))
    reason = "" if feedback.outcome in (feedback.status, "abstained") else f": {_words(feedback.outcome)}"
    pairless = feedback.kind == "preference" and feedback.outcome != "pair"
    return f"{feedback.by} compares {about} with {other}: {said}{f' (no pair{reason})' if pairless else ''}"


def paired(pairs: Sequence[Pair]) -> str:
    """Which turns are better than which, and by how much where that is known."""
    return "; ".join(
        f"{_place(pair.chosen)} over {_place(pair.rejected)}"
        f"{'' if pair.margin == 1 else f' by {pair.margin:.4g}'} ({pair.kind})"
        for pair in pairs
    )


def asked(question: Question) -> str:
    """What is known of a problem beside its words."""
    difficulty = "" if question.difficulty is None else f"{question.difficulty:.3f} nats/token"
    group = ", ".join(filter(None, (question.group, difficulty)))
    return " · ".join(filter(None, (question.task, group, ", ".join(question.kinds))))


def count(number: int, thing: str) -> str:
    """A number of things.

    >>> count(1, "turn"), count(2, "turn")
    ('1 turn', '2 turns')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _verdict(feedback: Feedback, minimum: int) -> str:
    status = "" if feedback.status == "given" else _words(feedback.status)
    said = f"unclear: {status}" if feedback.status in _UNREADABLE else status
    score = "" if feedback.score is None else f"score {feedback.score:g}"
    overruled = f"overruled: the minimum is {count(minimum, 'revision')}" if feedback.overruled else ""
    return ", ".join(filter(None, (said, score, overruled)))


def _came(feedback: Feedback) -> str:
    if feedback.kind in ("feedback", "panel"):  # of a chain, whose pairs are made of ratings
        why = _ENDS.get(feedback.outcome, _words(feedback.outcome))
        return "" if feedback.outcome == "revised" else f"the chain ends: {why}"
    if feedback.outcome == "pair":
        return f"pair: over {feedback.about}"
    asked = "" if feedback.comment or feedback.result else f"{feedback.kind}: "
    return f"{asked}no pair: {_words(feedback.outcome)}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _place(id: str) -> str:
    """A turn's id without its dialogue."""
    return id.rpartition(".")[2]
