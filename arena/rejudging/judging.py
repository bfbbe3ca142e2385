"""Judging stored drafts again: the same cases in the same batches as at the time, and pairs made anew."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents.base import Agent
from arena import records
from arena.loop import Table, cases_of, decided, verdicts_on
from arena.rejudging.stored import DRAFT, PERFORMANCE, Played, Stored
from arena.runs import read_json
from arena.scribe import Scribe
from arena.session import on_record
from rewards.verdict import Case, Verdict

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
        table = replace(self.table, judged=on_record(self.scribe.run)[1])
        done, count = 0, sum(len(each.drafts) for each in self.stored.played)
        for batch in self.stored.batches():
            began = time.perf_counter()
            self._batch(table, batch)
            done += sum(len(each.drafts) for each in batch)
            seconds = time.perf_counter() - began
            self.scribe.display.say("stage", what="drafts judged", done=done, of=count, seconds=seconds)
        performances = self.stored.performances()
        for seat, given in verdicts_on(table, performances).items():
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

    def _batch(self, table: Table, batch: Sequence[Played]) -> None:
        cases: dict[str, list[Case]] = {}
        for each in batch:
            cases.setdefault(each.seat, []).extend(cases_of(table, each.seat, each.dialogue, each.drafts))
        given = verdicts_on(table, cases)
        found = {verdict.id: verdict for own in given.values() for verdict in own}
        for each in batch:
            verdicts, judge = [found[turn.id] for turn in each.drafts], table.judge_of(each.seat)[0]
            self._write(verdicts, judge, DRAFT, each.step)
            exchange = decided(table, each.seat, each.dialogue, each.drafts, verdicts, each.said)
            row = records.exchange_row(exchange, seat=each.seat, judge=judge, step=each.step)
            self.scribe.append("exchanges", row)
            if exchange.preference:
                pair = records.preference_row(
                    exchange.preference, seat=each.seat, judge=judge, step=each.step
                )
                self.scribe.append("preferences", pair)

    def _write(self, verdicts: Sequence[Verdict], judge: str, about: str, step: int) -> None:
        self.scribe.judged(verdicts, judge=judge, about=about, zeta=self.table.judge.zeta, step=step)
