"""What is measured of each turn of a dialogue: functions of its words, and of sentence embeddings."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.errors import ConfigError
from arena import jsonl
from arena.evaluation.dialogue.reading import Talk
from arena.evaluation.diversity import ngrams, words

PHRASES = Path(__file__).with_name("agreement_phrases.txt")
"""Words that agree or praise, a phrase to a line."""
RUN = 3
"""Words of a run that counts as repeated."""

WORDS, QUESTION, AGREES = "words", "ends_in_question", "agrees"
ITSELF, OTHER, BEFORE = "repeats_itself", "repeats_other", "said_before"
TOPIC, FIRST, LAST = "cosine_topic", "cosine_first", "cosine_other"

Measured = Mapping[str, float]
"""What is defined of a turn, by measure."""


def agreement(path: str = "") -> re.Pattern[str]:
    """A pattern that finds phrases of agreement, in any case, as whole words, unless "not" stands before.

    Args:
        path: a text file with a phrase on each line, `^` before those that count only where a sentence
            begins; default: the shipped English one.

    Raises:
        ConfigError: there is no such file, or no phrase in it.
    """
    text = jsonl.text(jsonl.expanded(path) if path else PHRASES, "file of phrases")
    phrases = [" ".join(line.split()) for line in text.splitlines() if line.strip(" \t^")]
    if not phrases:
        raise ConfigError(f"{path!r} holds no phrase: write one on each line")
    spelled: dict[bool, list[str]] = {True: [], False: []}
    for phrase in sorted(phrases, key=len, reverse=True):
        parts = map(re.escape, phrase.removeprefix("^").split())
        spelled[phrase.startswith("^")].append(r"\s+".join(parts).replace("'", "['’]"))
    leads = {True: r"(?:\A|(?<=[.!?\n])|(?<=[.!?] ))", False: r"(?<!\w)(?<!not )(?<!n['’]t )"}
    ways = [f"{leads[first]}(?:{'|'.join(own)})" for first, own in spelled.items() if own]
    return re.compile(rf"(?:{'|'.join(ways)})(?!\w)", re.IGNORECASE)


def of_words(talk: Talk, phrases: re.Pattern[str]) -> list[dict[str, float]]:
    """What is measured of each turn by its words; what is not defined is left out.

    `words`; `ends_in_question`, `agrees` (0 or 1; the opening turn has nobody to agree with); the shares of
    its runs of three words that were said earlier by the same speaker (`repeats_itself`), by others
    (`repeats_other`), or by anybody (`said_before`), where they have said any.
    """
    said: dict[str, set[tuple[str, ...]]] = {}
    found = []
    for turn in talk.turns:
        counts = ngrams(words(turn.text), RUN)
        others = set().union(*(runs for speaker, runs in said.items() if speaker != turn.speaker))
        own = said.get(turn.speaker, set())
        measured = {
            WORDS: float(len(words(turn.text))),
            QUESTION: float(turn.text.rstrip(" \t\r\n\"'”’)*_").endswith("?")),
        }
        if turn.number:
            measured[AGREES] = float(bool(phrases.search(turn.text)))
        for name, before in ((ITSELF, own), (OTHER, others), (BEFORE, own | others)):
            if counts and before:
                measured[name] = sum(n for run, n in counts.items() if run in before) / counts.total()
        said[turn.speaker] = own | set(counts)
        found.append(measured)
    return found


def of_meaning(talk: Talk, topic: NDArray[np.float32], turns: NDArray[np.float32]) -> list[dict[str, float]]:
    """Cosines of each turn with the topic, the opening turn, and what the other said last.

    Args:
        talk: the dialogue.
        topic: (width,) the embedding of its topic, of unit length.
        turns: (turns, width) the embeddings of its turns; zeros for one without words, which has no cosine.
    """
    found: list[dict[str, float]] = []
    for place, turn in enumerate(talk.turns):
        heard = [i for i in range(place) if talk.turns[i].speaker != turn.speaker]
        with_what = {TOPIC: topic}
        if place:
            with_what[FIRST] = turns[0]
        if heard:
            with_what[LAST] = turns[heard[-1]]
        found.append({name: float(turns[place] @ v) for name, v in with_what.items() if v.any()})
        if not turns[place].any():
            found[-1] = {}
    return found


def slope(numbers: Sequence[int], values: Sequence[float]) -> tuple[float, float]:
    """(sum of x y, sum of x x) of turn numbers and values less their means.

    Summed over dialogues, their ratio is the common slope per turn, each dialogue with a level of its own.
    """
    x, y = np.asarray(numbers, float), np.asarray(values, float)
    x = x - x.mean() if len(x) else x
    return float((x * (y - y.mean())).sum()) if len(x) else 0.0, float((x * x).sum())
