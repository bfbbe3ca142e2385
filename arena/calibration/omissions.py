"""Planted omissions: does a judge miss a fact that was taken out of a complete answer?

Each item of `omissions.jsonl` is a question with a complete answer, sentence by sentence, of which one is the
key fact and one a filler of equal length. A judge that only likes length puts the complete answer above both
cuts; one that knows the fact puts it above the cut without the fact more often. The difference counts.

    items = load(most=0, seed=0)
    verdicts = {v.id: v for v in judge.rate(agent, cases(items), seeds)}        # a judge that rates
    check = rated("my judge", items, verdicts, judge.tie_margin)
    comparisons = {c.about: c for c in pairwise(agent, pairs(items), ...)}      # or one that compares
    check = compared("my judge", items, comparisons)
    check.findings(), check.counts
    named("my judge", items, verdicts, judge.wim.embedder)                      # one that has a WIM
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from arena import jsonl
from arena.evaluation.findings import Finding
from arena.stats.resampling import Interval
from arena.stats.shares import mean, share
from rewards.pairwise import Comparison
from rewards.verdict import Case, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEY, FILLER = "key", "filler"
"""What a cut has lost."""

_FILE = Path(__file__).with_name("omissions.jsonl")
_SCORES = {"about": 1.0, "other": 0.0, "tie": 0.5, "flipped": 0.5}

Embed = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""(texts) -> (texts, width) embeddings of unit length, such as `rewards.wim.Embedder`."""


@dataclass(frozen=True)
class Omission:
    """A question, its complete answer, and what can be taken out of it."""

    name: str
    question: str
    sentences: tuple[str, ...]
    """The complete answer; each says one thing."""
    key: int
    """The place of the sentence that the answer cannot do without."""
    filler: int
    """The place of a sentence as long that says little."""

    @property
    def whole(self) -> str:
        """The complete answer."""
        return " ".join(self.sentences)

    def without(self, lost: str) -> str:
        """The answer without its `KEY` or its `FILLER`."""
        place = self.key if lost == KEY else self.filler
        return " ".join(self.sentences[:place] + self.sentences[place + 1 :])

    def id(self, lost: str = "whole") -> str:
        """Such as `omission/tides/key`, for the answer without its key fact."""
        return f"omission/{self.name}/{lost}"

    def case(self, id: str, reply: str, other: str = "") -> Case:
        """An answer to the question, alone or beside another one, for a judge."""
        prompt = (Message(role="user", content=self.question),)
        return Case(id, self.question, prompt, Reply(reply), Reply(other) if other else None)


def load(most: int = 0, seed: int = 0) -> list[Omission]:
    """The shipped items, or `most` of them (0: all) in an order drawn by the seed.

    Raises:
        ConfigError: `most` is negative, or a line of the shipped file cannot be used.
    """
    if most < 0:
        raise ConfigError(f"the number of omissions must be 0 (all) or more, got {most}")
    items = _shipped()
    if not 0 < most < len(items):
        return list(items)
    return random.Random(f"omissions {seed}").sample(items, most)


@cache
def _shipped() -> tuple[Omission, ...]:
    return tuple(
        _item(f"{_FILE.name}, line {line}", row) for line, row in jsonl.rows(_FILE, "file of omissions")
    )


def _item(where: str, row: jsonl.Row) -> Omission:
    columns = ("name", "question", "sentences", KEY, FILLER)
    name, question, sentences, key, filler = (jsonl.cell(where, row, column) for column in columns)
    if not isinstance(sentences, list) or not isinstance(key, int) or not isinstance(filler, int):
        raise ConfigError(
            f"{where}: sentences is a list, key and filler are places in it from 0: mend the line"
        )
    if key == filler or not {key, filler} <= set(range(len(sentences))):
        raise ConfigError(
            f"{where}: key is {key} and filler {filler}; both are places from 0 to {len(sentences) - 1}, "
            "and not the same: mend the line"
        )
    return Omission(str(name), str(question), tuple(map(str, sentences)), key, filler)


def cases(items: Sequence[Omission]) -> list[Case]:
    """What a judge rates: of each item the complete answer and both cuts."""
    return [
        case
        for item in items
        for case in (
            item.case(item.id(), item.whole),
            *(item.case(item.id(lost), item.without(lost)) for lost in (KEY, FILLER)),
        )
    ]


def pairs(items: Sequence[Omission]) -> list[Case]:
    """What a judge compares: of each item the complete answer with either cut, by the id of the cut."""
    return [
        item.case(item.id(lost), item.whole, item.without(lost)) for item in items for lost in (KEY, FILLER)
    ]


@dataclass(frozen=True)
class Check:
    """How often a judge prefers complete answers to their cuts."""

    judge: str
    scores: Mapping[str, tuple[float, float]]
    """By item: 1 where the complete answer beats the one without key fact, without filler; a tie is 0.5."""
    abstained: int
    """Items on which the judge gave no verdict, on one cut or both."""

    @property
    def counts(self) -> dict[str, int]:
        """How many items were judged, and how many not."""
        return {"omissions": len(self.scores), "omissions abstained": self.abstained}

    def findings(self) -> list[Finding]:
        """The share of wins over either cut; the first less the second is what it sees of the facts."""
        names, columns = list(self.scores), list(zip(*self.scores.values(), strict=True)) or [(), ()]
        key, filler = (share(column, names) for column in columns)
        rises = [one - other for one, other in self.scores.values()]
        difference = mean(rises, names, -1.0, 1.0)
        return [
            Finding("complete beats key fact removed", self.judge, key, "filler removed", difference),
            Finding("complete beats filler removed", self.judge, filler),
        ]


def rated(
    judge: str,
    items: Sequence[Omission],
    verdicts: Mapping[str, Verdict],
    tie_margin: float = 0.0,
) -> Check:
    """What a judge that rates each answer by itself makes of the cuts.

    Args:
        judge: what it is called in the findings.
        items: what was judged.
        verdicts: by the ids of `cases(items)`; one that is not there is an abstention.
        tie_margin: rewards this close are a tie.
    """

    def score(item: Omission, lost: str) -> float | None:
        whole, cut = verdicts.get(item.id()), verdicts.get(item.id(lost))
        if whole is None or cut is None or whole.scale != cut.scale:
            return None
        if whole.reward is None or cut.reward is None:
            return None
        gain = whole.reward - cut.reward
        return 0.5 if abs(gain) <= tie_margin else float(gain > 0)

    return _check(judge, items, score)


def compared(judge: str, items: Sequence[Omission], comparisons: Mapping[str, Comparison]) -> Check:
    """What a judge that compares makes of the cuts; a preference that flips with the order is a tie.

    Args:
        judge: what it is called in the findings.
        items: what was judged.
        comparisons: by the ids of `pairs(items)`; one that is not there is an abstention.
    """

    def score(item: Omission, lost: str) -> float | None:
        found = comparisons.get(item.id(lost))
        return _SCORES.get(found.status) if found else None

    return _check(judge, items, score)


def _check(judge: str, items: Sequence[Omission], score: Callable[[Omission, str], float | None]) -> Check:
    found = {}
    for item in items:
        key, filler = score(item, KEY), score(item, FILLER)
        if key is not None and filler is not None:
            found[item.name] = (key, filler)
    return Check(judge, found, len(items) - len(found))


def named(
    judge: str, items: Sequence[Omission], verdicts: Mapping[str, Verdict], embed: Embed
) -> list[Finding]:
    """Whether what a judge says is missing is the fact that is missing.

    The cosine of its text with the key fact, where that was taken out: less the cosine with the filler,
    which is there; and less the cosine that its text has where nothing was taken out. Beside them the share
    of such answers from which, it says, nothing is missing.

    Args:
        judge: what it is called in the findings.
        items: what was judged.
        verdicts: by the ids of `cases(items)`.
        embed: the embedder of the judge.

    Returns:
        Nothing where the judge was not asked what is missing.
    """
    texts = [(item, _wim(verdicts, item.id(KEY)), _wim(verdicts, item.id())) for item in items]
    both = [(item.name, cut == "", whole == "") for item, cut, whole in texts if None not in (cut, whole)]
    told = [(item, cut, whole) for item, cut, whole in texts if cut]
    if not both and not told:
        return []
    near: list[tuple[str, float, float]] = []
    again: list[tuple[str, float, float]] = []
    for item, cut, whole in told:
        vectors = embed([cut or "", item.sentences[item.key], item.sentences[item.filler]])
        near.append((item.name, float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])))
        if whole:
            again.append((item.name, near[-1][1], float(embed([whole])[0] @ vectors[1])))
    return [
        _paired("WIM near the fact removed", judge, near, "the filler", -1.0),
        _paired("the same, where it spoke twice", judge, again, "nothing removed", -1.0),
        _paired("nothing is missing, it says", judge, both, "nothing removed", 0.0),
    ]


def _wim(verdicts: Mapping[str, Verdict], id: str) -> str | None:
    """What is missing, `""` for nothing, None where the judge gave no answer to that."""
    verdict = verdicts.get(id)
    known = {"ok": verdict.wim, "nothing_missing": ""} if verdict else {}
    return known.get(verdict.wim_status) if verdict else None


def _paired(
    measure: str, judge: str, rows: Sequence[tuple[str, float, float]], against: str, least: float
) -> Finding:
    """The mean of the first number, from `least` to 1, and its difference from the second."""
    names = [name for name, _, _ in rows]
    found: Interval | None = mean([one for _, one, _ in rows], names, least, 1.0)
    span = 1.0 - least
    difference = mean([one - other for _, one, other in rows], names, -span, span)
    return Finding(measure, judge, found, against, difference)
