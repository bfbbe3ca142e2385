"""Sentences labelled by sentiment: pairs for a reward model, and beginnings to be gone on from."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from arena.corpus.entry import Entry, Nothing, Skip, user
from arena.problems import Problem
from rewards.verdict import Preference

NEUTRAL = "Write a sentence of a film review."
"""Asked of every pair: it gives nothing away."""


def sst2(entries: Sequence[Entry], seed: int) -> Iterator[Preference | Skip]:
    """SST-2 (Socher et al. 2013): `text`, `label` (1 positive, 0 negative). The positive sentence is chosen.

    A pair is a positive and a negative sentence of exactly as many words, drawn by the seed. Each sentence is
    in one pair at most; those that find no partner are counted. Words are what is equal: in 56 of 100 pairs
    of the training set the positive sentence has more letters, in 54 fewer tokens of SmolLM2 (ties counted
    half; matching letters makes tokens worse). A reward model is to be compared with that, not with a coin.
    """
    sides: dict[int, dict[int, list[Entry]]] = {0: {}, 1: {}}
    seen: set[str] = set()
    for entry in entries:
        try:
            text, label = entry.text("text"), _label(entry)
        except Nothing as reason:
            yield Skip(str(reason))
            continue
        if text in seen:
            yield Skip("the same text again")
            continue
        seen.add(text)
        sides[label].setdefault(len(text.split()), []).append(entry)
    for length in sorted(sides[0].keys() | sides[1].keys()):
        groups = [sides[label].get(length, []) for label in (0, 1)]
        draw = random.Random(f"sst2 {seed} {length}")
        negative, positive = (draw.sample(group, len(group)) for group in groups)
        yield from map(_pair, positive, negative)
        for _ in range(abs(len(positive) - len(negative))):
            yield Skip("no partner of its length")


def beginnings(entries: Sequence[Entry], seed: int) -> Iterator[Problem | Skip]:
    """The first words of each sentence, three to six as the seed draws, which are to be gone on from.

    As in the ancestors' sentiment example, whose queries are the first tokens of film reviews.
    """
    for entry in entries:
        words = entry.text("text").split()
        taken = random.Random(f"beginning {seed} {entry.id}").randint(3, 6)
        if len(words) <= taken:
            yield Skip("too short to be begun")
        else:
            begun = f"{NEUTRAL} It begins: {' '.join(words[:taken])}"
            yield Problem("dialogue", tuple(user(begun)), where=entry.place)


def _label(entry: Entry) -> int:
    label = entry.number_of("label")
    if label not in (0, 1):
        raise entry.fault("label", "0 (negative) or 1 (positive)")
    return int(label)


def _pair(positive: Entry, negative: Entry) -> Preference:
    pair = positive.preference(user(NEUTRAL), positive.text("text"), negative.text("text"))
    return replace(pair, chosen_id=positive.id, rejected_id=negative.id)
