"""What a transcript says of drafts and verdicts, in words: the same on a terminal and in Markdown."""

from collections.abc import Iterator

from arena.transcript import Draft, Failure, Judged, Round

_NO_PAIR = {
    "": "no outcome on record yet",
    "abstained": "no pair: fewer than two drafts have a reward",
    "truncated": "no pair: fewer than two drafts with a reward are not truncated",
    "scales": "no pair: the rewards are on different scales",
    "tie": "no pair: a tie",
}


def flags(draft: Draft) -> list[str]:
    """What is to be known of a draft at a glance."""
    known = {
        "said": draft.said,
        "chosen": draft.chosen,
        "rejected": draft.rejected,
        "truncated": draft.turn.reply.truncated,
        "not decided yet": not draft.outcome,
    }
    return [word for word, holds in known.items() if holds]


def size(draft: Draft) -> str:
    """How long a draft is, and which adapter wrote it."""
    words = len(draft.turn.text.split())
    length = count(draft.tokens, "token") if draft.tokens else count(words, "word")
    return f"{length}, {draft.turn.adapter}" if draft.turn.adapter else length


def outcome(played: Round) -> str:
    """What came of the drafts of a turn."""
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


def count(number: int, thing: str) -> str:
    """A number of things.

    >>> count(1, "turn"), count(2, "turn")
    ('1 turn', '2 turns')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"
