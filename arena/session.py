"""A session: takes the loop's events, writes them down, trains, saves, raises alarms."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from agents.dialogue import Turn
from arena import alarms, records
from arena.display import Display
from arena.loop import Drafted, Event, Exchanged, Performed, Table, Turned
from arena.rundir import RunFolder
from arena.scribe import Scribe, Stop, Stopped
from arena.train.errors import Diverged
from arena.train.learner import Learner
from arena.train.trackers import Trackers
from rewards.verdict import Verdict


def on_record(files: RunFolder) -> tuple[dict[str, Turn], dict[str, Verdict]]:
    """(turns by id, verdicts and abstentions by the id of what was judged) that a folder holds."""
    told = {row["id"]: records.turn_of(row) for row in files.rows("turns")}
    judged = {row["id"]: records.verdict_of(row) for row in files.rows("verdicts")}
    judged |= {
        row["of"]: records.abstention_of(row) for row in files.rows("failures") if row["about"] != "reply"
    }
    return told, judged


class Session:
    """What happens to each event of the loop.

    Args:
        run: where rows go.
        table: who plays.
        learners: seat -> learner.
        display: what the user sees.
        stop: asked before every row.
        save_every: steps between checkpoints.
        trackers: who else is told of every row of metrics.
    """

    def __init__(
        self,
        run: RunFolder,
        table: Table,
        learners: Mapping[str, Learner],
        display: Display,
        stop: Stop,
        save_every: int,
        trackers: Trackers | None = None,
    ) -> None:
        """Continue from the newest checkpoint, if there is one."""
        self.run, self.table, self.learners = run, table, learners
        self.display, self.save_every, self.trackers = display, save_every, trackers
        self.scribe = Scribe(run, display, stop)
        self.steps, self.verdicts, self.metrics = (
            list(run.rows(t)) for t in ("steps", "verdicts", "metrics")
        )
        self.alarms: set[str] = set()
        self.clock = time.perf_counter()
        self.drafting: dict[int, float] = {}
        self.batch = 0.0
        self.parts = 0.0
        self.trained = -1
        found = run.checkpoint()
        if found:
            self.trained, folder = found
            for seat, learner in learners.items():
                learner.load(folder / seat)

    def take(self, event: Event) -> None:
        """Write an event down and do what follows from it.

        Raises:
            Stopped: somebody asked for it.
        """
        try:
            self._take(event)
        except (Stopped, Diverged):
            self.save(self.trained)
            raise
        self.clock = time.perf_counter()

    def _take(self, event: Event) -> None:
        if isinstance(event, Drafted):
            self._drafted(event)
        elif isinstance(event, Exchanged):
            self._exchanged(event)
        elif isinstance(event, Turned):
            self._turned(event)
        else:
            self._performed(event)

    def _seconds(self, share: float) -> float:
        """What a seat took of a batch that several seats share; the events of one batch come in a row."""
        if self.parts < 1e-6:
            self.batch, self.parts = time.perf_counter() - self.clock, 1.0
        self.parts -= share
        return self.batch * share

    def _drafted(self, event: Drafted) -> None:
        seconds = self.drafting[event.step] = self._seconds(event.share)
        new = [turn for turn in event.turns if turn.id not in self.table.told]
        agent = self.table.seats[event.seat]
        for turn in event.turns:
            seed = self.table.reply_seed(turn.id)
            row = records.turn_row(turn, step=event.step, model=agent.name, seed=seed)
            self.scribe.append("turns", row)
            if not turn.text.strip():
                self.scribe.fail(
                    turn.id, "empty_reply", "reply", turn.reply.thinking, by=event.seat, step=event.step
                )
        if new:
            self.display.say(
                "drafted",
                step=event.step,
                seat=event.seat,
                drafts=len(new),
                tokens=sum(len(turn.reply.ids) for turn in new),
                truncated=sum(turn.reply.truncated for turn in new),
                seconds=seconds,
            )

    def _exchanged(self, event: Exchanged) -> None:
        judging = self._seconds(event.share)
        for exchange in event.exchanges:
            self._judged(exchange.verdicts, event.judge, "draft", event.step)
            self.scribe.append(
                "exchanges",
                records.exchange_row(exchange, seat=event.seat, judge=event.judge, step=event.step),
            )
            if exchange.preference:
                row = records.preference_row(
                    exchange.preference, seat=event.seat, judge=event.judge, step=event.step
                )
                self.scribe.append("preferences", row)
        if f"step-{event.step}" not in self.run.ids["steps"]:
            self._step_row(event, judging)

    def _turned(self, event: Turned) -> None:
        for exchanged in event.exchanged:
            self._learn(exchanged)
        self._alarm()

    def _judged(self, verdicts: Sequence[Verdict], judge: str, about: str, step: int) -> None:
        zeta = self.table.judge.zeta
        self.verdicts += self.scribe.judged(verdicts, judge=judge, about=about, zeta=zeta, step=step)

    def _step_row(self, event: Exchanged, judging: float) -> None:
        turns = [turn for exchange in event.exchanges for turn in exchange.drafts]
        verdicts = [v for e in event.exchanges for v in e.verdicts if v.reward is not None]
        outcomes = [exchange.outcome for exchange in event.exchanges]
        row: dict[str, Any] = {
            "schema": "arena.step/1",
            "id": f"step-{event.step}",
            "step": event.step,
            "speaker": event.seat,
            "judge": event.judge,
            "exchanges": len(outcomes),
            "drafts": len(turns),
            "tokens": sum(len(turn.reply.ids) for turn in turns),
            "truncated": sum(turn.reply.truncated for turn in turns),
            "verdicts": len(verdicts),
            "pairs": outcomes.count("pair"),
            "ties": outcomes.count("tie"),
            "abstained": outcomes.count("abstained") + outcomes.count("scales"),
            "seconds_drafting": self.drafting[event.step],
            "seconds_judging": judging,
            "ts": records.now(),
        }
        self.scribe.append("steps", row)
        self.steps.append(row)
        said = event.exchanges[0].said
        rating = {v.id: v.rating for v in event.exchanges[0].verdicts}.get(said.id)
        self.display.say(
            "exchanged",
            step=event.step,
            seat=event.seat,
            judge=event.judge,
            exchanges=len(outcomes),
            pairs=row["pairs"],
            ties=row["ties"],
            abstained=row["abstained"],
            truncated=outcomes.count("truncated"),
            rating=_mean([v.rating for v in verdicts]),
            reward=_mean([v.reward for v in verdicts]),
            cosine=_mean([v.cosine for v in verdicts]),
            seconds=judging,
            sample=(event.exchanges[0].dialogue.id, event.seat, said.text, rating),
        )

    def _learn(self, event: Exchanged) -> None:
        """Train on this step's pairs, unless a checkpoint holds that update already."""
        learner = self.learners.get(event.seat)
        if learner is None or event.step <= self.trained:
            return
        update = learner.learn(event.exchanges)
        self.trained = event.step
        if update:
            self._updated(event, asdict(update))
        if (event.step + 1) % self.save_every == 0:
            self.save(event.step)

    def _updated(self, event: Exchanged, numbers: dict[str, float | int]) -> None:
        row = records.metrics_row(numbers, seat=event.seat, step=event.step)
        if row["id"] in self.run.ids["metrics"]:
            return
        self.run.append("metrics", row)
        self.metrics.append(row)
        if set(UPDATE_FIELDS) <= set(numbers):
            shown = {key: numbers[key] for key in UPDATE_FIELDS}
            self.display.say("updated", step=event.step, seat=event.seat, **shown)
        else:
            self.display.say("learned", step=event.step, of=0, seat=event.seat, numbers=numbers)
        if self.trackers:
            self.trackers.log(event.step, {f"{event.seat}/{name}": value for name, value in numbers.items()})

    def _performed(self, event: Performed) -> None:
        step = self.trained
        known = all(v.id in self.table.judged for v in event.verdicts)
        self._judged(event.verdicts, event.judge, "performance", step)
        ratings = [v.rating for v in event.verdicts if v.reward is not None]
        if not known:
            self.display.say(
                "performed",
                seat=event.seat,
                judge=event.judge,
                rating=_mean(ratings),
                rated=len(ratings),
                abstained=len(event.verdicts) - len(ratings),
            )

    def _alarm(self) -> None:
        found = alarms.raised(self.steps, self.verdicts, self.metrics, list(self.learners))
        for name, text in found.items():
            if name not in self.alarms:
                self.display.say("alarm", name=name, text=text)
        self.alarms = self.alarms | set(found)
        self.run.describe(alarms=found)

    def save(self, step: int) -> None:
        """Write a checkpoint of all adapters and optimisers at `step`; nothing to do before the first."""
        if step < 0 or not self.learners:
            return

        def write(folder: Path) -> None:
            for seat, learner in self.learners.items():
                learner.save(folder / seat)

        if self.run.save_checkpoint(step, write):
            self.display.say("saved", step=step)


UPDATE_FIELDS = ("pairs", "loss", "margin", "accuracy", "kl", "grad_norm", "seconds")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
