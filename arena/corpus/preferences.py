"""Formats of pairs: which of two answers people, or another judge, preferred."""

import re
from collections.abc import Iterator, Sequence
from math import log

from agents.dialogue import Message
from arena.corpus.entry import Entry, Nothing, unframed, user
from rewards.verdict import Preference

CLAIM = "Which argument is more convincing? Topic and stance: "
"""What the prompts of UKPConvArg begin with."""
ARGUE = "Give one convincing argument. Topic and stance: "
"""What is asked of a learner in its place."""


def pairs(entry: Entry) -> Iterator[Preference]:
    """The project's files of pairs: `prompt` or `messages`, then two answers.

    They are `a`, `b` with `label` (`a`, `b` or `tie`), or `chosen` and `rejected`.
    """
    prompt = entry.messages("messages") if entry.has("messages") else user(entry.text("prompt"))
    yield _labelled(entry, prompt)


def ukp(entry: Entry) -> Iterator[Preference]:
    """Arguments of one debate (Habernal and Gurevych 2016): as `pairs`, but the prompt asks for an argument.

    The rows ask which of two arguments is more convincing, which is the annotator's question.
    """
    prompt = entry.text("prompt")
    if not prompt.startswith(CLAIM):
        raise entry.fault("prompt", f"a text that begins with {CLAIM!r}")
    yield _labelled(entry, user(ARGUE + prompt.removeprefix(CLAIM)))


def _labelled(entry: Entry, prompt: Sequence[Message]) -> Preference:
    if entry.has("chosen", "rejected"):
        return entry.preference(prompt, entry.text("chosen"), entry.text("rejected"))
    answers = {"a": entry.text("a"), "b": entry.text("b")}
    label = entry.text("label")
    if label == "tie":
        raise Nothing("tie")
    if label not in answers:
        raise entry.fault("label", "'a', 'b' or 'tie'")
    other = "b" if label == "a" else "a"
    return entry.preference(prompt, answers[label], answers[other], sides=(label, other))


def dpo(entry: Entry) -> Iterator[Preference]:
    """TRL's preference form: `prompt`, `chosen`, `rejected`, each a text or messages.

    Messages may hold the prompt in `chosen` and `rejected`, as the binarised UltraFeedback does. With
    `score_chosen` and `score_rejected` the margin is their difference.
    """
    prompt = entry.talk("prompt", "user") if entry.has("prompt") else []
    better, worse = (_whole(prompt, entry.talk(side, "assistant")) for side in ("chosen", "rejected"))
    if better[:-1] != worse[:-1]:
        raise Nothing("conversations part before their last message")
    if {better[-1]["role"], worse[-1]["role"]} != {"assistant"}:
        raise Nothing("no assistant message at the end")
    yield entry.preference(better[:-1], better[-1]["content"], worse[-1]["content"], _margin(entry))


def _whole(prompt: Sequence[Message], said: list[Message]) -> list[Message]:
    """The conversation that ends in an answer; what begins with another role holds its prompt itself."""
    return [*prompt, *said] if said[0]["role"] == "assistant" else said


def _margin(entry: Entry) -> float:
    if not entry.has("score_chosen", "score_rejected"):
        return 1.0
    margin = entry.number_of("score_chosen") - entry.number_of("score_rejected")
    if margin < 0:
        raise entry.fault("score_chosen", "at least score_rejected")
    if margin == 0:
        raise Nothing("tie")
    return margin


def hh_rlhf(entry: Entry) -> Iterator[Preference]:
    r"""Transcripts of `\n\nHuman: ...` and `\n\nAssistant: ...` (Bai et al. 2022).

    `chosen` and `rejected` are whole transcripts, and the turns that they have in common are the prompt; or
    `prompt` is a transcript that ends with `Assistant:`, and `chosen` and `rejected`, or `a`, `b` and
    `label`, are the answers, in which such markers are part of the text.
    """
    if entry.has("prompt"):
        yield _labelled(entry, _turns(entry, "prompt"))
        return
    better, worse = _turns(entry, "chosen"), _turns(entry, "rejected")
    if better[:-1] != worse[:-1]:
        raise Nothing("conversations part before their last message")
    if better[-1]["role"] != "assistant" or worse[-1]["role"] != "assistant":
        raise Nothing("no assistant message at the end")
    yield entry.preference(better[:-1], better[-1]["content"], worse[-1]["content"])


_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
_MARKER = re.compile(r"\n\n(Human|Assistant):")


def _turns(entry: Entry, column: str) -> list[Message]:
    """The turns of a transcript; a last one without words, where the answer is to go, is left out."""
    before, *fields = _MARKER.split("\n\n" + entry.text(column))
    if before or fields[0] != "Human":
        raise entry.fault(column, "a transcript that begins with 'Human:'")
    turns = [
        Message(role=_SPEAKERS[name], content=unframed(text))
        for name, text in zip(fields[::2], fields[1::2], strict=True)
    ]
    if turns[-1] == Message(role="assistant", content=""):
        turns.pop()
    if not all(turn["content"] for turn in turns):
        raise Nothing("empty turn")
    return turns


def shp(entry: Entry) -> Iterator[Preference]:
    """Stanford Human Preferences (Ethayarajh et al. 2022): of two comments the one with more votes.

    The margin is the logarithm of the ratio of the votes, `score_A` and `score_B`, which are above 0.
    """
    votes = {side: entry.number_of(f"score_{side}") for side in "AB"}
    for side, count in votes.items():
        if count <= 0:
            raise entry.fault(f"score_{side}", "above 0")
    if votes["A"] == votes["B"]:
        raise Nothing("tie")
    best, worst = ("A", "B") if votes["A"] > votes["B"] else ("B", "A")
    if entry.has("labels") and entry.number_of("labels") != (best == "A"):
        raise entry.fault("labels", f"{int(best == 'A')}, as comment {best} has more votes (1: A, 0: B)")
    texts = {side: entry.text(f"human_ref_{side}") for side in "AB"}
    margin = log(votes[best] / votes[worst])
    prompt = user(entry.text("history"))
    yield entry.preference(prompt, texts[best], texts[worst], margin, (best, worst))


def webgpt(entry: Entry) -> Iterator[Preference]:
    """WebGPT comparisons (Nakano et al. 2021): two answers with scores in [-1, 1] that sum to 0.

    The margin is the difference of the scores. Marks of references, like [1], stay in the answers.
    """
    scores = [entry.number_of(f"score_{n}") for n in (0, 1)]
    if scores[0] == scores[1]:
        raise Nothing("tie")
    best, worst = (0, 1) if scores[0] > scores[1] else (1, 0)
    answers = [entry.text(f"answer_{n}") for n in (0, 1)]
    prompt = user(entry.part("question").text("full_text"))
    sides = (str(best), str(worst))
    yield entry.preference(prompt, answers[best], answers[worst], abs(scores[0] - scores[1]), sides)


def tldr_comparisons(entry: Entry) -> Iterator[Preference]:
    """Comparisons of summaries (Stiennon et al. 2020): `info`, two `summaries`, and `choice` (0 or 1).

    Or, as others have published them, `prompt`, `chosen`, `rejected`.
    """
    if not entry.has("summaries"):
        yield from dpo(entry)
        return
    texts = [summary.text("text") for summary in entry.parts("summaries")]
    choice = entry.number_of("choice")
    if len(texts) != 2:
        raise entry.fault("summaries", "a list of two")
    if choice not in (0, 1):
        raise entry.fault("choice", "0 or 1")
    best = int(choice)
    prompt = user(post_of(entry.part("info")))
    yield entry.preference(prompt, texts[best], texts[1 - best], sides=(str(best), str(1 - best)))


def post_of(entry: Entry) -> str:
    """A Reddit post, or a news article, as the authors ask for its summary (Stiennon et al. 2020)."""
    if not entry.has("post"):
        return f"Article: {entry.text('article')}\n\nTL;DR:"
    lines = []
    for column in ("subreddit", "title"):
        if text := entry.optional(column):
            lines.append(f"{column.upper()}: {'r/' if column == 'subreddit' else ''}{text}")
    return "\n\n".join([*lines, f"POST: {entry.text('post')}", "TL;DR:"])
