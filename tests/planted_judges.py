"""Judges with a planted bias, pairs with planted labels, and a place where they meet."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents import Agent, Message, Reply
from agents.base import Prompt
from arena.calibration.asking import TABLES, Bench
from arena.calibration.items import FIRST, SECOND, Pair
from arena.console import Quiet
from arena.rundir import opened
from arena.scribe import Scribe, Stop
from arena.seeds import seed_of
from rewards.judge import Judge
from rewards.pairwise import Pairwise
from rewards.verdict import Case, Rating

GOOD, POOR = "good", "poor"
"""Words by which a perfect judge knows an answer."""


def answer(kind: str, words: int) -> str:
    """An answer of so many words that says whether it is good."""
    return " ".join([kind, *["word"] * (words - 1)])


def pair(number: int, label: str, words: tuple[int, int] = (5, 5), prompt: str = "") -> Pair:
    """A pair whose good answer is the one that people prefer; equal kinds where they prefer none."""
    kinds = [GOOD if label == side else POOR for side in (FIRST, SECOND)]
    asked = (Message(role="user", content=prompt or f"Question {number}?"),)
    cases = [
        Case(f"planted:{number}.{side}", asked[0]["content"], asked, Reply(answer(kind, count)))
        for side, kind, count in zip((FIRST, SECOND), kinds, words, strict=True)
    ]
    return Pair(f"planted:{number}.a-b", "planted", cases[0], cases[1], label)


def pairs(count: int, longer_is_good: float = 0.5, ties: int = 0) -> list[Pair]:
    """Pairs, `a` and `b` in turn; so large a share of those that people decide has the good answer longer."""
    found = []
    for number in range(count):
        label = (FIRST, SECOND)[number % 2]
        good_is_longer = (number // 2 + 0.5) / (count / 2) < longer_is_good
        words = (9, 4) if (label == FIRST) == good_is_longer else (4, 9)
        found.append(pair(number, label, words))
    return [*found, *(pair(count + number, "tie", (9, 4)) for number in range(ties))]


class Perfect:
    """Rates good answers above poor ones."""

    asks = False

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """By their first word."""
        return [Rating(9.0 if case.reply.text.startswith(GOOD) else 2.0) for case in cases]


class Words:
    """Counts words, and nothing else."""

    asks = False

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """One point for each."""
        return [Rating(min(float(len(case.reply.text.split())), 10.0)) for case in cases]


class Half(Perfect):
    """Abstains on every pair with an even number, and is perfect on the others."""

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """By the number in the id."""
        known = super().__call__(agent, cases, seeds)
        return [
            Rating(None, "absent", "hm")
            if int(case.id.rpartition(":")[2].partition(".")[0]) % 2 == 0
            else rating
            for case, rating in zip(cases, known, strict=True)
        ]


class Coin:
    """Rates by chance."""

    asks = False

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """By the id alone."""
        return [Rating(1 + 9 * (seed_of(5, "planted", case.id) % 1000) / 1000) for case in cases]


class Voice(Agent):
    """Says which of two answers is better, by a rule; and finds long words unlikely.

    Args:
        rule: `first`, `good` (the good answer, wherever it stands) or `tie`.
    """

    def __init__(self, rule: str = "first") -> None:
        """Take the rule."""
        super().__init__()
        self.rule = rule
        self.asked = 0

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """A choice for each prompt."""
        self.asked += len(prompts)
        return [[Reply(f"Better: {self._choice(prompt[-1]['content'])}")] * n for prompt in prompts]

    def _choice(self, text: str) -> str:
        if self.rule == "good":
            first, second = text.index("<answer_a>"), text.index("<answer_b>")
            return "A" if GOOD in text[first:second] else "B"
        return {"first": "A", "tie": "C"}[self.rule]

    def logps(self, prompts: Sequence[Prompt], replies: Sequence[Reply]) -> list[list[float]]:
        """Good answers are the likely ones."""
        return [[-1.0 if reply.text.startswith(GOOD) else -2.0] * 3 for reply in replies]


@contextmanager
def bench(
    folder: Path, rater: Any = None, agent: Agent | None = None, stop: Stop | None = None, **options: Any
) -> Iterator[Bench]:
    """A place where a rater, or an agent that compares, is measured."""
    with opened(folder, "", {}, TABLES) as files:
        yield Bench(
            judge=Judge(rater, **options) if rater is not None else None,
            pairwise=Pairwise() if rater is None else None,
            agent=agent or Voice(),
            rubric="compare_dialogue",
            seed=0,
            scribe=Scribe(files, Quiet(), stop or Stop()),
        )
