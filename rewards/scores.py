"""Judges whose reward is a score of their own, such as a reward model's, without a rating from 1 to 10."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from agents.base import Agent
from agents.dialogue import Message, Reply
from rewards.judge import Judge
from rewards.verdict import Case, Verdict

SCALE = "score"
"""The scale of such verdicts: they are compared with each other only."""


@dataclass(frozen=True)
class Score:
    """A score, or the reason why there is none."""

    value: float | None
    status: str = "ok"
    raw: str = ""
    """What the score came from, or what went wrong."""


class Scored(Judge):
    """A judge that gives each answer a score as its reward. Subclasses implement `score`.

    Args:
        agent: who scores; None: the other expert.
        tie_margin: scores this close are a tie, at least 0.
        pair_truncated: whether drafts that were cut at the token limit may make a pair.
        gate: as for `Judge`.
        calibration: as for `Judge`.
    """

    def __init__(
        self,
        agent: Agent | None = None,
        tie_margin: float = 0.0,
        pair_truncated: bool = False,
        gate: str = "",
        calibration: str = "",
    ) -> None:
        """Take the settings."""
        super().__init__(
            tie_margin=tie_margin,
            agent=agent,
            pair_truncated=pair_truncated,
            gate=gate,
            calibration=calibration,
        )

    def __str__(self) -> str:
        """The kind of judge."""
        return type(self).__name__.lower()

    @property
    def asks(self) -> bool:
        """With an agent of its own."""
        return self.agent is not None

    def ready(self, agent: Agent) -> None:
        """Have a few words scored."""
        prompt = (Message(role="user", content="Are you there?"),)
        self.score(self.agent or agent, [Case("ready", "", prompt, Reply("Yes."))], [0])

    def score(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Score]:
        """One score per case, none of which has an empty answer."""
        raise NotImplementedError

    def rate(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Verdict]:
        """One verdict per case; one without a finite score abstains."""
        verdicts = [Verdict(case.id, agent.name, status="empty_answer") for case in cases]
        full = [i for i, case in enumerate(cases) if case.reply.text.strip()]
        scores = self.score(agent, [cases[i] for i in full], [seeds[i] for i in full]) if full else []
        for i, score in zip(full, scores, strict=True):
            verdicts[i] = _verdict(cases[i].id, agent.name, score)
        return verdicts


def _verdict(id: str, judge: str, score: Score) -> Verdict:
    if score.value is None:
        return Verdict(id, judge, status=f"score_{score.status}", raw=score.raw)
    if not isfinite(score.value):
        return Verdict(id, judge, status="score_not_a_number", raw=f"{score.value!r}; {score.raw}")
    return Verdict(id, judge, reward=score.value, scale=SCALE, raw=score.raw)
