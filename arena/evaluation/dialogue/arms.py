"""From turns to numbers with intervals: each topic is one cluster, however many turns were said on it."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from arena.evaluation import diversity
from arena.evaluation.dialogue.measures import (
    AGREES,
    FIRST,
    ITSELF,
    LAST,
    OTHER,
    QUESTION,
    TOPIC,
    WORDS,
    Measured,
    slope,
)
from arena.evaluation.dialogue.reading import PEOPLE, Key, Spoken, Talk
from arena.evaluation.findings import Finding
from arena.stats import shares
from arena.stats.resampling import Interval, Items, Places, Statistic

SHARE, COSINE, POSITIVE, ANY = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf), (-math.inf, math.inf)
"""Where numbers of a kind can lie."""
ALIKE = 1e-9
"""Width of an interval that is rounding."""
MEANS: Mapping[str, tuple[str, tuple[float, float], int]] = {
    WORDS: ("words a turn", POSITIVE, 1),
    ITSELF: ("repeats itself", SHARE, 3),
    OTHER: ("repeats the other", SHARE, 3),
    QUESTION: ("ends in a question", SHARE, 2),
    AGREES: ("agrees", SHARE, 2),
    TOPIC: ("cosine with the topic", COSINE, 3),
    FIRST: ("cosine with the first question", COSINE, 3),
    LAST: ("cosine with the other's last turn", COSINE, 3),
}
"""What a measure of a turn is called, where it lies, and its digits."""
DRIFTS = {TOPIC: "drift from the topic, a turn", FIRST: "drift from the first question, a turn"}
DISTINCT, BLEU = "distinct-2", "self-BLEU"

Parts = Mapping[Key, tuple[float, float]]
"""Numerator and denominator of each dialogue, by its key: their sums' ratio is the number."""


@dataclass(frozen=True)
class Line:
    """A turn and what was measured of it."""

    talk: Talk
    turn: Spoken
    measured: Measured

    @property
    def arm(self) -> tuple[str, str]:
        """The run and the speaker; people's speakers are as one, since their names tell nothing."""
        return self.talk.run, "" if self.talk.run == PEOPLE else self.turn.speaker


@dataclass(frozen=True)
class Arms:
    """All turns by who said them, in the order of the runs.

    Args:
        lines: the turns.
        seed: of the draw for self-BLEU.
    """

    lines: Sequence[Line]
    seed: int

    @property
    def by_arm(self) -> dict[tuple[str, str], list[Line]]:
        """The turns of each speaker of each run."""
        found: dict[tuple[str, str], list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.arm, []).append(line)
        return found

    @property
    def runs(self) -> list[str]:
        """Runs in order, people among them."""
        return list(dict.fromkeys(line.talk.run for line in self.lines))

    def name(self, arm: tuple[str, str]) -> str:
        """What a table calls a speaker."""
        run, speaker = arm
        return speaker if len(self.runs) == 1 else f"{run} {speaker}".strip()

    def compared(
        self,
        measure: str,
        parts: Mapping[tuple[str, str], Parts],
        bounds: tuple[float, float] = ANY,
        digits: int = 3,
    ) -> list[Finding]:
        """A number of each speaker, and how it differs from that speaker in the first run, paired."""
        found = []
        for arm, own in parts.items():
            base = parts.get((self.runs[0], arm[1]), {}) if arm[0] != self.runs[0] else {}
            common = [key for key in own if key in base]
            less = _less(own, base, common, bounds) if common else None
            against = self.name((self.runs[0], arm[1])) if common else ""
            found.append(Finding(measure, self.name(arm), known(own, bounds), against, less, digits))
        return found

    def findings(self, bleu: int) -> list[Finding]:
        """Everything that is measured of turns; `bleu`: turns of a speaker for self-BLEU, 0 for none."""
        found: list[Finding] = []
        arms = self.by_arm
        for key, (measure, bounds, digits) in MEANS.items():
            if any(key in line.measured for line in self.lines):
                found += self.compared(
                    measure, {arm: means(own, key) for arm, own in arms.items()}, bounds, digits
                )
            if key == WORDS:
                found += [self._distinct(arm, own) for arm, own in arms.items()]
                found += self._bleu(bleu)
        for key, measure in DRIFTS.items():
            if any(key in line.measured for line in self.lines):
                found += self.compared(measure, {arm: slopes(own, key) for arm, own in arms.items()})
        return found

    def _distinct(self, arm: tuple[str, str], lines: Sequence[Line]) -> Finding:
        """Distinct-2 of all that a speaker said."""
        texts: dict[str, list[list[str]]] = {}
        for line in lines:
            texts.setdefault(line.talk.key.topic, []).append(diversity.words(line.turn.text))
        found = Items(list(texts)).jackknife(partial(_distinct, list(texts.values())))
        return Finding(DISTINCT, self.name(arm), within(found, SHARE))

    def _bleu(self, most: int) -> list[Finding]:
        """BLEU of a speaker's turns against that speaker's others, of `most` turns drawn by the seed."""
        parts = {}
        for arm, own in self.by_arm.items():
            drawn = random.Random(self.seed).sample(own, most) if len(own) > most else own
            if len(drawn) < 2 or not most:
                continue
            scores = diversity.self_bleu([diversity.words(line.turn.text) for line in drawn])
            lines = [replace(line, measured={BLEU: score}) for line, score in zip(drawn, scores, strict=True)]
            parts[arm] = means(lines, BLEU)
        return self.compared(BLEU, parts, SHARE)


def means(lines: Sequence[Line], measure: str) -> Parts:
    """The parts of a mean over turns; dialogues where it is not defined have none."""
    found: dict[Key, tuple[float, float]] = {}
    for line in lines:
        if measure in line.measured:
            total, count = found.get(line.talk.key, (0.0, 0.0))
            found[line.talk.key] = total + line.measured[measure], count + 1
    return found


def slopes(lines: Sequence[Line], measure: str) -> Parts:
    """The parts of a slope per turn, each speaker of each dialogue with a level of its own."""
    rows: dict[tuple[Key, str], list[tuple[int, float]]] = {}
    for line in lines:
        if measure in line.measured:
            own = rows.setdefault((line.talk.key, line.turn.speaker), [])
            own.append((line.turn.number, line.measured[measure]))
    found: dict[Key, tuple[float, float]] = {}
    for (key, _), points in rows.items():
        parts = slope([number for number, _ in points], [value for _, value in points])
        before = found.get(key, (0.0, 0.0))
        if parts[1]:
            found[key] = before[0] + parts[0], before[1] + parts[1]
    return found


def known(parts: Parts, bounds: tuple[float, float] = ANY) -> Interval | None:
    """The ratio of the sums, with an interval from leaving out one topic at a time."""
    return _spread(list(parts), _ratio(parts, list(parts)), bounds) if parts else None


def _less(one: Parts, other: Parts, keys: Sequence[Key], bounds: tuple[float, float]) -> Interval | None:
    own, base = _ratio(one, keys), _ratio(other, keys)
    width = bounds[1] - bounds[0]
    return _spread(keys, lambda places: own(places) - base(places), (-width, width))


def _spread(keys: Sequence[Key], statistic: Statistic, bounds: tuple[float, float]) -> Interval | None:
    """A number of dialogues; where all topics are alike, what these few may have missed is its interval."""
    topics = [key.topic for key in keys]
    found = Items(topics).jackknife(statistic)
    if found is not None and found.known and found.high - found.low <= ALIKE:
        return shares.mean([found.value] * len(keys), topics, *bounds)
    return within(found, bounds)


def within(found: Interval | None, bounds: tuple[float, float]) -> Interval | None:
    """An interval that does not leave where its number can lie; one that is not known stays so."""
    if found is None or not found.known:
        return found
    return replace(found, low=max(found.low, bounds[0]), high=min(found.high, bounds[1]))


def _ratio(parts: Parts, keys: Sequence[Key]) -> Statistic:
    column = np.array([parts[key] for key in keys], float).reshape(-1, 2)

    def ratio(places: Places) -> float:
        above, below = column[places].sum(0)
        return float(above / below) if below else math.nan

    return ratio


def _distinct(texts: Sequence[Sequence[Sequence[str]]], places: Places) -> float:
    return diversity.distinct([text for place in places for text in texts[place]], 2)
