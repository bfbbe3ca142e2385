"""The scribe: writes rows into a run folder, counts what failed, and stops when it is asked to."""

from collections.abc import Sequence
from dataclasses import dataclass

from arena import records
from arena.display import Display
from arena.rundir import RunFolder
from rewards.verdict import Verdict


@dataclass
class Stop:
    """Whether somebody asked the run to stop; signals set it, the scribe looks at each row."""

    reason: str = ""


class Stopped(Exception):
    """The run was asked to stop; what it has written is whole."""


class Scribe:
    """Writes what a run comes to.

    Args:
        run: where rows go.
        display: what the user sees.
        stop: asked before every row.
    """

    def __init__(self, run: RunFolder, display: Display, stop: Stop) -> None:
        """Take the folder, the display and the flag."""
        self.run, self.display, self.stop = run, display, stop

    def append(self, table: str, row: records.Row) -> bool:
        """Write a row; whether it is new. One that is on record stays as it is.

        Raises:
            Stopped: somebody asked for it.
        """
        if self.stop.reason:
            raise Stopped(self.stop.reason)
        if row["id"] in self.run.ids[table]:
            return False
        self.run.append(table, row)
        return True

    def fail(self, id: str, what: str, about: str, raw: str, *, by: str, step: int = 0) -> None:
        """Write down and show that something did not become a number or a text."""
        if self.append("failures", records.failure_row(id, what, about, raw, by=by, step=step)):
            self.display.say("failure", id=id, what=what, about=about)

    def judged(
        self, verdicts: Sequence[Verdict], *, judge: str, about: str, zeta: float, step: int = 0
    ) -> list[records.Row]:
        """Write verdicts down, abstentions as failures; the rows that are new."""
        new = []
        for verdict in verdicts:
            if verdict.reward is None:
                self.fail(verdict.id, verdict.status, about, verdict.raw, by=verdict.judge, step=step)
                continue
            row = records.verdict_row(verdict, judge=judge, about=about, zeta=zeta, step=step)
            if self.append("verdicts", row):
                new.append(row)
        return new
