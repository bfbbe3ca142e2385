"""Judging stored drafts again: the same cases in the same batches as at the time, and pairs made anew."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.base import Agent
from arena import records
from arena.loop import Exchange, Table
from arena.rejudging.stored import DRAFT, PERFORMANCE, Played, Stored
from arena.runs import read_json
from arena.scribe import Scribe
from arena.session import on_record
from rewards.verdict import Case, Verdict, prefer

TABLES = ("turns", "verdicts", "exchanges", "preferences", "failures")
"""What a rejudging writes: a run folder that others read like the first."""


@dataclass(frozen=True)
class Rejudging:
    """One judge before one run's drafts.

    Args:
        stored: the run.
        table: who sat there, and who judges now.
        scribe: where rows go.
    """

    stored: Stored
    table: Table
    scribe: Scribe

    @property
    def judges(self) -> list[Agent]:
        """The agents that judge the seats that spoke."""
        spoke = dict.fromkeys(each.seat for each in self.stored.played)
        return list(dict.fromkeys(self.table.judge_of(seat)[1] for seat in spoke))

    def carry_out(self) -> None:
        """Judge all that was judged, in the order of the run; what is on record is not judged again.

        Raises:
            Stopped: somebody asked for it.
        """
        self._take_over()
        _, judged = on_record(self.scribe.run)
        done, count = 0, sum(len(each.drafts) for each in self.stored.played)
        for batch in self.stored.batches():
            began = time.perf_counter()
            self._batch(batch, judged)
            done += sum(len(each.drafts) for each in batch)
            seconds = time.perf_counter() - began
            self.scribe.display.say("stage", what="drafts judged", done=done, of=count, seconds=seconds)
        performances = self.stored.performances()
        for seat, given in self._verdicts(performances, judged).items():
            for verdict in given:
                step = self.stored.steps[verdict.id]
                self._write([verdict], self.table.judge_of(seat)[0], PERFORMANCE, step)

    def _take_over(self) -> None:
        """Copy what the new verdicts are about, so that the folder can be read by itself."""
        for row in self.stored.turns.values():
            self.scribe.append("turns", row)
        for name in ("topics", "problems"):
            path = self.stored.path / f"{name}.json"
            if path.exists():
                self.scribe.run.remember(name, lambda path=path: read_json(path))  # type: ignore[misc]

    def _batch(self, batch: Sequence[Played], judged: Mapping[str, Verdict]) -> None:
        cases: dict[str, list[Case]] = {}
        for each in batch:
            cases.setdefault(each.seat, []).extend(cases_of(self.table, each))
        given = self._verdicts(cases, judged)
        found = {verdict.id: verdict for own in given.values() for verdict in own}
        for each in batch:
            verdicts, judge = [found[turn.id] for turn in each.drafts], self.table.judge_of(each.seat)[0]
            self._write(verdicts, judge, DRAFT, each.step)
            exchange = decided(self.table, each, verdicts)
            row = records.exchange_row(exchange, seat=each.seat, judge=judge, step=each.step)
            self.scribe.append("exchanges", row)
            if exchange.preference:
                pair = records.preference_row(
                    exchange.preference, seat=each.seat, judge=judge, step=each.step
                )
                self.scribe.append("preferences", pair)

    def _verdicts(
        self, cases: Mapping[str, Sequence[Case]], judged: Mapping[str, Verdict]
    ) -> dict[str, list[Verdict]]:
        """Seat -> verdicts; judges of one voice are asked together, as in the loop of a run.

        What a batch holds decides on its controls, and in the last digits on its ratings, so a batch of which
        something is missing on record is asked for as a whole.
        """
        told = dict(judged)
        agents = {seat: self.table.judge_of(seat)[1] for seat in cases}
        for voice in dict.fromkeys(agent.voice for agent in agents.values()):
            seats = [seat for seat, agent in agents.items() if agent.voice == voice]
            asked = [case for seat in seats for case in cases[seat]]
            if not all(case.id in told for case in asked):
                seeds = [self.table.seed_of("judge", case.id) for case in asked]
                given = self.table.judge.rate(agents[seats[0]], asked, seeds)
                told = {verdict.id: verdict for verdict in given} | told
        return {seat: [told[case.id] for case in own] for seat, own in cases.items()}

    def _write(self, verdicts: Sequence[Verdict], judge: str, about: str, step: int) -> None:
        self.scribe.judged(verdicts, judge=judge, about=about, zeta=self.table.judge.zeta, step=step)


def cases_of(table: Table, played: Played) -> list[Case]:
    """What a judge was given of an exchange: the loop's cases, without the words of the persona."""
    shown, reference = table.shown(played.dialogue, played.seat), table.reference(played.dialogue)
    return [
        Case(turn.id, played.dialogue.topic, shown, turn.reply, reference=reference) for turn in played.drafts
    ]


def decided(table: Table, played: Played, verdicts: Sequence[Verdict]) -> Exchange:
    """The exchange with the pair that follows from other verdicts; what was said then stays said."""
    prompt, judge = table.prompt(played.dialogue, played.seat), table.judge
    replies = [(turn.id, turn.reply) for turn in played.drafts]
    preference, outcome = prefer(prompt, replies, verdicts, judge.tie_margin, judge.pair_truncated)
    if len(played.drafts) == 1:
        outcome = "one_draft"
    return Exchange(
        played.dialogue, played.drafts, tuple(verdicts), played.said, preference, outcome, tuple(prompt)
    )
