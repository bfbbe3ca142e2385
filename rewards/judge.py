"""Judge: rating, what is missing, and the reward made of both."""

from collections.abc import Sequence
from dataclasses import replace

from agents.base import Agent
from agents.errors import ConfigError
from rewards.parse import echo
from rewards.rating import Labels, Rater
from rewards.verdict import NORMALISATIONS, Case, Rating, Verdict, normalise
from rewards.wim import Wim

WARN, REQUIRE = "warn", "require"
GATES = ("", WARN, REQUIRE)
"""What a run does about a judge that is not known to be better than the longer answer."""

COSINES = ("own", "shuffled", "topic")
"""Whose cosine counts: that with the answer's own WIM, or one of its controls."""


class Judge:
    """Gives verdicts: reward = (1 - zeta) R + zeta cos(embed(answer), embed(WIM)).

    "Nothing is missing" is a category of its own, not a cosine: such a verdict has a scale of its own
    and is compared only with its like. With zeta = 0 the WIM is asked for the record and does not count.

    Args:
        rater: how answers are rated.
        wim: how it is asked what is missing; None never asks, and needs zeta = 0.
        zeta: weight of the cosine, in [0, 1].
        normalisation: how a rating becomes R: one of `rewards.verdict.NORMALISATIONS`.
        tie_margin: rewards this close are a tie, at least 0.
        agent: a third agent as the judge; None: the other expert judges.
        moving: whether an expert judges with its learning adapter on; a fixed judge has it off.
        pair_truncated: whether drafts that were cut at the token limit may make a pair.
        cosine: which cosine counts, one of `COSINES`: `shuffled`, that with the WIM of another answer, and
            `topic` are control arms.
        gate: what a run that learns from the judge does if it is not known to agree more with people than
            the longer answer does: `""` says so, `warn` raises an alarm, `require` refuses to start.
        calibration: the verdict file that `python -m arena.judge` has left, or its folder; `""`: the newest
            one on this judge among the runs.
    """

    def __init__(
        self,
        rater: Rater | None = None,
        wim: Wim | None = None,
        zeta: float = 0.0,
        normalisation: str = "centred",
        tie_margin: float = 0.0,
        agent: Agent | None = None,
        moving: bool = False,
        pair_truncated: bool = False,
        cosine: str = "own",
        gate: str = "",
        calibration: str = "",
    ) -> None:
        """Check the settings."""
        if not 0 <= zeta <= 1:
            raise ConfigError(f"zeta weighs WIM against the rating and must be in [0, 1], got {zeta!r}")
        if zeta > 0 and wim is None:
            raise ConfigError(f"zeta={zeta!r} weighs a WIM that is never asked for: set judge.wim, or zeta=0")
        if normalisation not in NORMALISATIONS:
            allowed = ", ".join(NORMALISATIONS)
            raise ConfigError(f"normalisation={normalisation!r} is not known; allowed are {allowed}")
        if not tie_margin >= 0:
            raise ConfigError(f"tie_margin must be at least 0, got {tie_margin!r}")
        if cosine not in COSINES:
            raise ConfigError(f"cosine={cosine!r} is not known; allowed are {', '.join(COSINES)}")
        if gate not in GATES:
            allowed = ", ".join(filter(None, GATES))
            raise ConfigError(f"judge.gate={gate!r} is not known; allowed are {allowed}, or nothing")
        self.rater: Rater = rater or Labels()
        self.cosine = cosine
        self.wim, self.zeta, self.normalisation, self.tie_margin = wim, zeta, normalisation, tie_margin
        self.agent, self.moving, self.pair_truncated = agent, moving, pair_truncated
        self.gate, self.calibration = gate, calibration

    def __str__(self) -> str:
        """The rater's name and zeta."""
        control = "" if self.cosine == "own" or not self.zeta else f" of the {self.cosine} control"
        return f"{type(self.rater).__name__.lower()}, zeta {self.zeta:g}{control}"

    @property
    def asks(self) -> bool:
        """Whether it asks an agent at all."""
        return self.rater.asks or self.wim is not None

    def ready(self, agent: Agent) -> None:
        """Find out whether it can judge, before anything is written that it is to judge.

        Args:
            agent: who would judge, if the judge has no agent of its own.

        Raises:
            ArenaError: it cannot.
        """

    def rate(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Verdict]:
        """One verdict per case by `agent`; a case with an empty answer is not judged.

        Args:
            agent: who judges.
            cases: what is judged.
            seeds: one per case, for what the judge samples.
        """
        verdicts = [Verdict(case.id, agent.name, status="empty_answer") for case in cases]
        full = [i for i, case in enumerate(cases) if case.reply.text.strip()]
        if full:
            chosen, own = [cases[i] for i in full], [seeds[i] for i in full]
            ratings = self.rater(agent, chosen, own)
            asked = self._missing(agent, chosen, own, ratings)
            for i, rating, verdict in zip(full, ratings, asked, strict=True):
                verdicts[i] = self._with_reward(verdict, rating)
        return verdicts

    def _missing(
        self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int], ratings: Sequence[Rating]
    ) -> list[Verdict]:
        """Verdicts that hold what is missing, its cosines and controls."""
        verdicts = [Verdict(case.id, agent.name) for case in cases]
        if self.wim is None:
            return verdicts
        told = self.wim.ask(agent, cases, seeds, ratings)
        verdicts = [replace(v, wim=text, wim_status=s) for v, (text, s) in zip(verdicts, told, strict=True)]
        useful = [i for i, verdict in enumerate(verdicts) if verdict.wim_status == "ok"]
        if not useful:
            return verdicts
        cosines = self.wim.cosines([cases[i] for i in useful], [verdicts[i].wim for i in useful])
        for i, (own, shuffled, topic) in zip(useful, cosines, strict=True):
            verdicts[i] = replace(
                verdicts[i],
                cosine=own,
                cosine_shuffled=shuffled if len(useful) > 1 else None,
                cosine_topic=topic,
                echo=echo(verdicts[i].wim, cases[i].reply.text),
            )
        return verdicts

    def _with_reward(self, verdict: Verdict, rating: Rating) -> Verdict:
        verdict = replace(verdict, rating=rating.value, raw=rating.raw)
        if rating.value is None:
            return replace(verdict, status=f"rating_{rating.status}")
        quality = normalise(rating.value, self.normalisation)
        if self.zeta == 0:
            return replace(verdict, reward=quality, scale="rating")
        if verdict.wim_status == "nothing_missing":
            return replace(verdict, reward=(1 - self.zeta) * quality, scale="nothing_missing")
        if verdict.cosine is None:
            return replace(verdict, status=f"wim_{verdict.wim_status}")
        counted = self._counted(verdict)
        if counted is None:
            return replace(verdict, status="wim_no_other_answer")
        reward = (1 - self.zeta) * quality + self.zeta * counted
        control = "" if self.cosine == "own" else f"_{self.cosine}"
        return replace(verdict, reward=reward, scale=f"rating+wim{control}")

    def _counted(self, verdict: Verdict) -> float | None:
        """The cosine that counts; None where there was no other answer to take the WIM of."""
        return {
            "own": verdict.cosine, "shuffled": verdict.cosine_shuffled, "topic": verdict.cosine_topic
        }[self.cosine]  # fmt: skip
