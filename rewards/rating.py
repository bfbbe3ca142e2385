"""Ways to rate answers from 1 to 10, each called as `rater(agent, cases, seeds)`: the agent is the judge."""

import math
import random
import re
from collections.abc import Sequence
from typing import Protocol

from agents.base import Agent
from agents.dialogue import Message, Reply
from agents.errors import ConfigError, Unavailable
from rewards.parse import parse_rating
from rewards.rubric import FOLDER, Rubric
from rewards.verdict import Case, Rating

NEUTRAL = FOLDER.parent / "neutral.txt"
"""What an answer is scored after when it answers nothing in particular."""

PATIENCE = 5
"""Replies in a row that a judge may miss before it is asked no more."""

LABELS = tuple(str(number) for number in range(1, 11))


class Rater(Protocol):
    """A way to rate."""

    asks: bool
    """Whether it asks the judging agent at all."""

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """One rating per case."""


class Labels:
    """The expected rating under the probabilities of the labels 1..10; an agent without them writes text.

    Args:
        rubric: how a local judge is asked.
        text_rubric: how a judge is asked that can only write.
        lead: the words that the judge's answer begins with.
        mass: least probability of all labels together; below it the judge did not mean to rate.
    """

    asks = True

    def __init__(
        self, rubric: str = "rating", text_rubric: str = "text", lead: str = "Rating: ", mass: float = 0.1
    ) -> None:
        """Take the settings; the rubrics are read when first used."""
        self.rubric, self.lead, self.mass = rubric, lead, mass
        self.text = Text(text_rubric)

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """Rate by label probabilities where the agent has them."""
        if not agent.reads_labels:
            return self.text(agent, cases, seeds)
        rubric = Rubric.load(self.rubric)
        rated = agent.rate([rubric.ask(case) for case in cases], LABELS, self.lead)
        return [self._rating(probs, mass) for probs, mass in rated]

    def _rating(self, probs: Sequence[float], mass: float) -> Rating:
        raw = f"mass {mass:.3f}; " + " ".join(f"{p:.3f}" for p in probs)
        if not mass >= self.mass:  # so that a mass that is no number abstains as well
            return Rating(None, "no_rating_meant", raw)
        expected = sum((i + 1) * p for i, p in enumerate(probs))
        return Rating(min(max(expected, 1.0), 10.0), "ok", raw)  # rounding may leave the scale


class Text:
    """The number that the judge writes in double brackets."""

    asks = True

    def __init__(self, rubric: str = "text", max_new_tokens: int = 256) -> None:
        """Take the name of the rubric and the judge's token limit."""
        self.rubric, self.max_new_tokens = rubric, max_new_tokens

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """Ask in text and parse. A judge that misses a reply abstains; one that gives none is out of reach.

        Raises:
            Unavailable: no case got a reply.
        """
        rubric = Rubric.load(self.rubric)
        prompts = [rubric.ask(case) for case in cases]
        outcomes = agent.outcomes(prompts, seeds=seeds, max_new_tokens=self.max_new_tokens, patience=PATIENCE)
        lost = [said for said in outcomes if isinstance(said, Unavailable)]
        if lost and len(lost) == len(outcomes):
            raise lost[0]
        return [
            parse_rating(said.text) if isinstance(said, Reply) else Rating(None, "no_reply", str(said))
            for said in outcomes
        ]


class Pmi:
    """Pointwise mutual information of answer and question under the judge's own language model.

    pmi = mean over tokens of log p(answer | question) - log p(answer | neutral prompt), in nats a
    token: how much the question explains the answer. Shown as the rating 5.5 + 4.5 tanh(pmi / scale).

    Args:
        scale: the pmi at which the rating is 8.9, in nats a token, above 0.
    """

    asks = True

    def __init__(self, scale: float = 1.0) -> None:
        """Take the scale."""
        if not scale > 0:
            raise ConfigError(f"Pmi's scale is in nats a token and must be above 0, got {scale!r}")
        self.scale = scale

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """Rate by two scorings of each answer, as text (the judge may have another tokenizer)."""
        neutral = NEUTRAL.read_text(encoding="utf-8").strip()
        rated: list[Rating] = [Rating(None, "empty_answer")] * len(cases)
        full = [i for i, case in enumerate(cases) if case.reply.text.strip()]
        replies = [Reply(cases[i].reply.text) for i in full]
        asked = [[Message(role="user", content=cases[i].question)] for i in full]
        plain = [[Message(role="user", content=neutral)] for _ in full]
        given, alone = agent.logps(asked, replies), agent.logps(plain, replies)
        for i, with_question, without in zip(full, given, alone, strict=True):
            pmi = (sum(with_question) - sum(without)) / len(with_question)
            raw = f"pmi {pmi:.4f} nats/token"
            if math.isnan(pmi):
                rated[i] = Rating(None, "not_a_number", raw)
            else:
                rated[i] = Rating(5.5 + 4.5 * math.tanh(pmi / self.scale), "ok", raw)
        return rated


class Random:
    """A control arm: a rating drawn evenly from [1, 10], whatever the answer."""

    asks = False

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """Draw from the seed and the case's id."""
        draws = (
            random.Random(f"{seed}/{case.id}").uniform(1, 10) for case, seed in zip(cases, seeds, strict=True)
        )
        return [Rating(draw, "ok", "random") for draw in draws]


class Length:
    """A control arm: the longer, the better. 1 + 9 w / (w + half) for w words.

    Args:
        half: the number of words that gets 5.5.
    """

    asks = False

    def __init__(self, half: float = 60.0) -> None:
        """Take the length in the middle of the scale."""
        if not half > 0:
            raise ConfigError(f"Length's half is a number of words and must be above 0, got {half!r}")
        self.half = half

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """Count words."""
        counts = [len(case.reply.text.split()) for case in cases]
        return [Rating(1 + 9 * count / (count + self.half), "ok", f"{count} words") for count in counts]


class Pattern:
    """A rule: 10 where a regular expression is found in the answer, else 1. For runs with a known best.

    Args:
        pattern: a regular expression, searched with DOTALL.
    """

    asks = False

    def __init__(self, pattern: str) -> None:
        """Compile the pattern."""
        try:
            self.pattern = re.compile(pattern, re.DOTALL)
        except re.error as error:
            raise ConfigError(f"pattern={pattern!r} is no regular expression: {error}") from error

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """Search each answer."""
        found = [bool(self.pattern.search(case.reply.text)) for case in cases]
        return [Rating(10.0 if hit else 1.0, "ok", f"matches {hit}") for hit in found]
