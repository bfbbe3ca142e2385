"""Asking the judge that is measured, with everything on record, so that nothing is asked twice."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import TypeVar

from agents.base import Agent
from agents.errors import Unavailable, Unsupported
from arena import records
from arena.evaluation.room import CHUNK, PATIENCE
from arena.feedback.floor import chunks
from arena.scribe import Scribe
from arena.seeds import seed_of
from rewards.judge import Judge
from rewards.pairwise import NO_REPLY, Comparison, Pairwise
from rewards.scores import Scored
from rewards.verdict import Case, Verdict

TABLES = ("verdicts", "comparisons", "likelihoods", "failures")
VERDICT, COMPARISON, LIKELIHOOD = "verdict", "comparison", "likelihood"
"""What a row of `failures.jsonl` is about."""
T = TypeVar("T")


@dataclass(frozen=True)
class Bench:
    """A judge with what it writes on.

    Args:
        judge: rates each answer alone, or None.
        pairwise: compares two answers in both orders, or None.
        agent: who judges.
        rubric: how `pairwise` asks.
        seed: of what the judge samples.
        scribe: where rows go.
    """

    judge: Judge | None
    pairwise: Pairwise | None
    agent: Agent
    rubric: str
    seed: int
    scribe: Scribe

    @property
    def name(self) -> str:
        """The way of judging, in words."""
        return str(self.judge) if self.judge is not None else f"{type(self.pairwise).__name__.lower()}"

    def verdicts(self, cases: Sequence[Case], what: str) -> dict[str, Verdict]:
        """Verdicts by the id of their case, abstentions among them; `what` is judged, in words."""
        judge, run = self.judge, self.scribe.run
        assert judge is not None, "a judge that compares gives no verdicts"
        known = {row["id"]: records.verdict_of(row) for row in run.rows("verdicts")}
        known |= {row["of"]: records.abstention_of(row) for row in self._lost(VERDICT)}

        def ask(part: Sequence[Case]) -> dict[str, Verdict]:
            found = judge.rate(self.agent, part, self._seeds(part))
            self.scribe.judged(found, judge="judge", about=VERDICT, zeta=judge.zeta)
            return {verdict.id: verdict for verdict in found}

        return self._asked(f"verdicts on {what}", _once(cases), known, ask)

    def comparisons(self, cases: Sequence[Case], what: str) -> dict[str, Comparison]:
        """Comparisons by the id of their case, abstentions among them.

        Raises:
            Unavailable: the judge is out of reach: none of a chunk got a reply.
        """
        pairwise, run = self.pairwise, self.scribe.run
        assert pairwise is not None, "a judge that rates compares nothing"
        known = {row["id"]: comparison_of(row) for row in run.rows("comparisons")}
        known |= {
            row["of"]: Comparison(row["of"], row["what"], raw=row["raw"]) for row in self._lost(COMPARISON)
        }

        def ask(part: Sequence[Case]) -> dict[str, Comparison]:
            rubrics = [self.rubric] * len(part)
            found = pairwise(self.agent, part, self._seeds(part), rubrics, PATIENCE)
            if all(one.status == NO_REPLY for one in found):
                raise Unavailable(found[0].raw)
            for one in found:
                if one.probability is None:
                    self.scribe.fail(one.about, one.status, COMPARISON, one.raw, by=self.agent.name)
                else:
                    self.scribe.append("comparisons", comparison_row(one, self.agent.name))
            return {one.about: one for one in found}

        return self._asked(f"comparisons of {what}", _once(cases), known, ask)

    def likelihoods(self, cases: Sequence[Case]) -> dict[str, float] | str:
        """Mean log-likelihood of each answer under the judge's own weights; or why there is none.

        In nats per token. Answers without words, and those whose likelihood is no number, are left out.
        """
        if isinstance(self.judge, Scored):
            return "it gives scores, and no probabilities of words"
        if self.judge is not None and not self.judge.asks:
            return "it asks no model"
        known = {row["id"]: row["mean"] for row in self.scribe.run.rows("likelihoods")}
        lost = {row["of"] for row in self._lost(LIKELIHOOD)}
        full = [case for case in _once(cases) if case.reply.text.strip() and case.id not in lost]
        try:
            return self._asked("likelihoods", full, known, self._weigh)
        except Unsupported as error:
            return str(error)

    def _weigh(self, part: Sequence[Case]) -> dict[str, float]:
        found = {}
        rows = self.agent.logps([case.prompt for case in part], [case.reply for case in part])
        for case, logps in zip(part, rows, strict=True):
            mean = fmean(logps)
            if not isfinite(mean):
                self.scribe.fail(case.id, "not_a_number", LIKELIHOOD, str(mean), by=self.agent.name)
                continue
            found[case.id] = mean
            row = {
                "schema": "arena.likelihood/1", "id": case.id, "by": self.agent.name, "mean": mean,
                "tokens": len(logps), "ts": records.now(),
            }  # fmt: skip
            self.scribe.append("likelihoods", row)
        return found

    def _asked(
        self,
        what: str,
        cases: Sequence[Case],
        known: Mapping[str, T],
        ask: Callable[[Sequence[Case]], Mapping[str, T]],
    ) -> dict[str, T]:
        """What is known of each case, after asking for the rest in chunks."""
        found = {case.id: known[case.id] for case in cases if case.id in known}
        new = [case for case in cases if case.id not in known]
        done = len(found)
        for part in chunks(new, CHUNK):
            began = time.perf_counter()
            found |= ask(part)
            done += len(part)
            seconds = time.perf_counter() - began
            self.scribe.display.say("stage", what=what, done=done, of=len(cases), seconds=seconds)
        return found

    def _seeds(self, cases: Sequence[Case]) -> list[int]:
        return [seed_of(self.seed, "judge", case.id) for case in cases]

    def _lost(self, about: str) -> list[records.Row]:
        """The failures on record, but for those to which there was no reply: that is asked again."""
        rows = self.scribe.run.rows("failures")
        return [row for row in rows if row["about"] == about and not row["what"].endswith(NO_REPLY)]


def _once(cases: Sequence[Case]) -> list[Case]:
    """An answer that stands in several pairs is judged once."""
    return list({case.id: case for case in cases}.values())


def comparison_row(one: Comparison, judge: str) -> records.Row:
    """A row of `comparisons.jsonl`; the comparison must not abstain."""
    assert one.probability is not None
    return {
        "schema": "arena.comparison/1",
        "id": one.about,
        "status": one.status,
        "probability": float(one.probability),
        "choices": " ".join(one.choices),
        "judge_model": judge,
        "raw": one.raw,
        "ts": records.now(),
    }


def comparison_of(row: records.Row) -> Comparison:
    """The comparison that a row records."""
    return Comparison(row["id"], row["status"], row["probability"], tuple(row["choices"].split()), row["raw"])
