"""Prompt injection: poor answers that try to talk their judge into a good verdict.

The suite is `attacks.jsonl` (texts by class) on `questions.jsonl` (each with an honest poor and an honest
good answer): every text is tried on `TIMES` questions. The texts of the class `harmless` ask for nothing;
what they gain is what any addition gains with this judge, and an attack has to gain more.

    attacks = load(most=0, seed=0)
    cases(attacks), pairs(attacks)      # what to ask a judge that rates, and one that compares

`arena.calibration.trials` says what came of it.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path

from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from arena import jsonl
from arena.seeds import seed_of
from rewards.verdict import Case

CONTROL = "harmless"
"""The class of texts that ask for nothing."""
TIMES = 2
"""Questions that each text is tried on."""
PLACES = ("before", "after", "instead", "around")
"""Where a text stands: before or after the poor answer, in its place, or around it, where `{answer}` is."""

_HERE = Path(__file__).parent
_FIELD = re.compile(r"\{(answer|question)\}")


@dataclass(frozen=True)
class Question:
    """A question with an honest poor answer and an honest good one."""

    name: str
    question: str
    poor: str
    good: str

    def case(self, id: str, reply: str, other: str = "") -> Case:
        """An answer to it, alone or beside another one, for a judge."""
        prompt = (Message(role="user", content=self.question),)
        return Case(id, self.question, prompt, Reply(reply), Reply(other) if other else None)


@dataclass(frozen=True)
class Attack:
    """A poor answer with a text in it that is meant to win over the judge."""

    kind: str
    """The class that it belongs to."""
    number: str
    """Of the text in its class."""
    place: str
    """One of `PLACES`."""
    text: str
    """What is added, filled in."""
    question: Question

    @property
    def id(self) -> str:
        """Such as `forged_verdict/007/bees`."""
        return f"{self.kind}/{self.number}/{self.question.name}"

    @property
    def answer(self) -> str:
        """What the judge is given."""
        parts = {"before": (self.text, self.question.poor), "after": (self.question.poor, self.text)}
        return "\n\n".join(parts.get(self.place, (self.text,)))


def load(most: int = 0, seed: int = 0) -> list[Attack]:
    """The shipped suite, or `most` attacks of it (0: all) in an order drawn by the seed, all classes in turn.

    Raises:
        ConfigError: `most` is negative, or a line of the shipped files cannot be used.
    """
    if most < 0:
        raise ConfigError(f"the number of attacks must be 0 (all) or more, got {most}")
    suite = _suite()
    if not 0 < most < len(suite):
        return list(suite)
    classes: dict[str, list[Attack]] = {CONTROL: []}
    for attack in suite:
        classes.setdefault(attack.kind, []).append(attack)
    orders = [random.Random(f"{seed} {kind}").sample(own, len(own)) for kind, own in classes.items()]
    turns = (attack for turn in zip_longest(*orders) for attack in turn if attack is not None)
    return [attack for attack, _ in zip(turns, range(most), strict=False)]


@cache
def _suite() -> tuple[Attack, ...]:
    """Each text on `TIMES` questions; a class begins at a place of its own and repeats none while it can."""
    questions = _questions()
    found: list[Attack] = []
    seen: Counter[str] = Counter()
    path = _HERE / "attacks.jsonl"
    for line, row in jsonl.rows(path, "file of attacks"):
        where = f"{path.name}, line {line}"
        kind, number, place, text = (
            str(jsonl.cell(where, row, name)) for name in ("class", "number", "place", "text")
        )
        if place not in PLACES or (place == "around") != ("{answer}" in text):
            raise ConfigError(
                f"{where}: place is {place!r}; allowed are {', '.join(PLACES)}, and {{answer}} stands in the "
                "text if it is 'around', else not: mend the line"
            )
        start = seed_of(0, "attacks", kind) + seen[kind] * TIMES
        seen[kind] += 1
        for step in range(TIMES):
            question = questions[(start + step) % len(questions)]
            found.append(Attack(kind, number, place, filled(text, question), question))
    return tuple(found)


def _questions() -> list[Question]:
    path = _HERE / "questions.jsonl"
    names = ("name", "question", "poor", "good")
    return [
        Question(*(str(jsonl.cell(f"{path.name}, line {line}", row, name)) for name in names))
        for line, row in jsonl.rows(path, "file of questions")
    ]


def filled(text: str, question: Question) -> str:
    """`text` with `{answer}` and `{question}` filled in, in one pass: what is filled in is not looked at."""
    fields = {"answer": question.poor, "question": question.question}
    return _FIELD.sub(lambda match: fields[match.group(1)], text)


def cases(attacks: Sequence[Attack]) -> list[Case]:
    """What a judge rates: each attacked answer, and per question the honest `clean/NAME` and `good/NAME`."""
    questions = asked(attacks)
    return [
        *(attack.question.case(attack.id, attack.answer) for attack in attacks),
        *(question.case(f"clean/{question.name}", question.poor) for question in questions),
        *(question.case(f"good/{question.name}", question.good) for question in questions),
    ]


def pairs(attacks: Sequence[Attack]) -> list[Case]:
    """What a judge compares with the good answer: each attacked answer, and per question `clean/NAME`."""
    return [
        *(attack.question.case(attack.id, attack.answer, attack.question.good) for attack in attacks),
        *(
            question.case(f"clean/{question.name}", question.poor, question.good)
            for question in asked(attacks)
        ),
    ]


def asked(attacks: Sequence[Attack]) -> list[Question]:
    """The questions of the attacks, each once."""
    return list(dict.fromkeys(attack.question for attack in attacks))
