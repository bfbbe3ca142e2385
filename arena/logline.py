"""Events of a running job in words, one line each; a few need more."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from arena.progress import Progress, duration
from arena.terminal import one_line
from arena.wording import count

SAMPLE = 240
"""Characters of a said turn that a log shows; the whole stands in the run folder."""

Fields = Mapping[str, Any]
Lines = Iterable[tuple[str, str]]


def words(kind: str, fields: Fields, progress: Progress) -> Lines:
    """The event as (label, text) lines, not yet cleaned."""
    return _WORDS[kind](fields, progress)


def number(value: float | None, digits: int) -> str:
    """A number that may be missing.

    >>> number(6.581, 2), number(None, 2)
    ('6.58', 'none')
    """
    return "none" if value is None else f"{value:.{digits}f}"


def extent(start: Fields) -> str:
    """How much is to be said, from the fields of a start or a beginning."""
    if "extent" in start:
        return str(start["extent"])
    drafts = f", {count(start['drafts'], 'draft')} a turn of a learner" if start["learners"] else ""
    return f"{count(start['dialogues'], 'dialogue')} of {count(start['turns'], 'turn')}{drafts}"


def _start(at: Fields, progress: Progress) -> Lines:
    yield from _opening(at, f"{extent(at)}, {count(at['steps'], 'step')}, seed {at['seed']}", at["learners"])


def _begin(at: Fields, progress: Progress) -> Lines:
    yield from _opening(at, f"{at['extent']}, seed {at['seed']}", ())


def _opening(at: Fields, size: str, learners: Sequence[str]) -> Lines:
    """What begins, who sits where, who judges, which weights."""
    again = ", continued from its record" if at["resumed"] else ""
    yield "start", f"{at['conf']} in {at['folder']}{again}"
    yield "start", size
    for seat, model in at["seats"].items():
        yield "seat", f"{seat}: {model}{', learns' if seat in learners else ''}"
    yield "judge", str(at["judge"])
    for name, source in at["weights"].items():
        yield "weights", f"{name}: {source}"


def _spoke(at: Fields, progress: Progress) -> Lines:
    yield "said", f"{at['what']} {at['done']} of {at['of']}, {at['seat']}: {_said(at)}"


def _stage(at: Fields, progress: Progress) -> Lines:
    yield "stage", f"{at['what']} {at['done']} of {at['of']} in {at['seconds']:.1f} s"


def _said(at: Fields) -> str:
    """How much was said, how fast."""
    cut = f", {at['truncated']} truncated" if at["truncated"] else ""
    speed = f" ({at['tokens'] / at['seconds']:.0f} tokens/s)" if at["seconds"] > 0 and at["tokens"] else ""
    drafts = f"{count(at['drafts'], 'draft')}, {count(at['tokens'], 'token')}{cut}"
    return f"{drafts} in {at['seconds']:.1f} s{speed}"


def _drafted(at: Fields, progress: Progress) -> Lines:
    yield "drafted", f"step {at['step']} {at['seat']}: {_said(at)}"


def _exchanged(at: Fields, progress: Progress) -> Lines:
    cosine = f", cosine {at['cosine']:.3f}" if at["cosine"] is not None else ""
    marks = f"rating {number(at['rating'], 2)}, reward {number(at['reward'], 3)}{cosine}"
    counts = [count(at["pairs"], "pair"), *([count(at["ties"], "tie")] if at["ties"] else [])]
    counts += [f"{at[name]} {name}" for name in ("abstained", "truncated") if at[name]]
    pairs = f"{', '.join(counts)} of {count(at['exchanges'], 'exchange')}"
    yield (
        "judged",
        f"step {at['step']} {at['seat']}, by {at['judge']}: {marks}; {pairs} in {at['seconds']:.1f} s",
    )
    if at["sample"]:
        dialogue, speaker, text, rating = at["sample"]
        rated = f" ({rating:.2f})" if rating is not None else ""
        yield "said", f"{dialogue} {speaker}{rated}: {one_line(text, SAMPLE)}"
    yield (
        "progress",
        f"{progress.done} of {count(progress.steps, 'step')}, ETA {duration(progress.remaining())}",
    )


def _updated(at: Fields, progress: Progress) -> Lines:
    yield (
        "updated",
        f"step {at['step']} {at['seat']}: {count(at['pairs'], 'pair')}, loss {at['loss']:.4f}, "
        f"margin {at['margin']:.4f}, accuracy {at['accuracy']:.2f}, KL {at['kl']:.5f} nats/token, "
        f"gradient {at['grad_norm']:.3g} in {at['seconds']:.1f} s",
    )


def _learned(at: Fields, progress: Progress) -> Lines:
    of = f" of {at['of']}" if at["of"] else ""
    yield "learned", f"step {at['step']}{of} {at['seat']}: {_numbers(at['numbers'])}"


def _evaluated(at: Fields, progress: Progress) -> Lines:
    yield "heldout", f"after step {at['step']} {at['seat']}: {_numbers(at['numbers'])}"


def _numbers(numbers: Mapping[str, float | int]) -> str:
    """Names and numbers; a whole number as it is.

    >>> _numbers({"pairs": 8, "loss": 0.69314, "lr": 1e-05})
    'pairs 8, loss 0.6931, lr 1e-05'
    """
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in numbers.items())


def _performed(at: Fields, progress: Progress) -> Lines:
    yield (
        "performed",
        f"{at['seat']}, by {at['judge'] or 'nobody'}: rating {number(at['rating'], 2)}, "
        f"{at['rated']} rated, {at['abstained']} abstained",
    )


def _stopped(at: Fields, progress: Progress) -> Lines:
    yield "stopped", f"{at['reason']}; {at['folder']} is whole"
    yield "continue", str(at["command"])


def _done(at: Fields, progress: Progress) -> Lines:
    counts = ", ".join(f"{value} {name}" for name, value in at["counts"].items())
    yield "done", f"{at['folder']} in {duration(at['seconds'])}{': ' if counts else ''}{counts}"
    for hint in at["hints"]:
        yield "hint", str(hint)


_WORDS: Mapping[str, Callable[[Fields, Progress], Lines]] = {
    "start": _start,
    "begin": _begin,
    "spoke": _spoke,
    "stage": _stage,
    "drafted": _drafted,
    "exchanged": _exchanged,
    "updated": _updated,
    "learned": _learned,
    "evaluated": _evaluated,
    "performed": _performed,
    "alarm": lambda at, progress: [("ALARM", f"{at['name']}: {at['text']}")],
    "failure": lambda at, progress: [("failure", f"{at['id']}: {at['what']} ({at['about']})")],
    "saved": lambda at, progress: [("saved", f"the checkpoint of step {at['step']}")],
    "note": lambda at, progress: [("note", str(at["text"]))],
    "stopped": _stopped,
    "done": _done,
}
