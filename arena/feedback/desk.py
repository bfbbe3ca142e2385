"""What collecting and revising have in common: problems that are remembered, seats, a beginning."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agents.base import Agent
from agents.errors import ConfigError
from arena import job, records
from arena.display import Display
from arena.feedback.events import TEACHER, Event, Work
from arena.feedback.floor import Floor
from arena.feedback.writer import Writer
from arena.problems import Source
from arena.report import alarmed
from arena.rundir import RunFolder, replace_text

if TYPE_CHECKING:
    from rewards.judge import Judge


def seated(agents: Mapping[str, Agent], teacher: Agent | None) -> dict[str, Agent]:
    """The seats, the teacher's behind the others."""
    if TEACHER in agents:
        raise ConfigError(f"{TEACHER!r} is the seat of whoever gives feedback: name this agent otherwise")
    return dict(agents) | ({TEACHER: teacher} if teacher else {})


def works_of(files: RunFolder, source: Source, count: int, seed: int) -> list[Work]:
    """The problems of a run: those that it began with, else new ones."""
    rows = files.remember("problems", lambda: [asdict(problem) for problem in source(count, seed)])
    return [Work(f"d{number:04d}", records.problem_of(row)) for number, row in enumerate(rows)]


def floor_of(files: RunFolder, seats: Mapping[str, Agent], seed: int, chunk: int, patience: int) -> Floor:
    """The floor, with what is on record."""
    told = {row["id"]: records.turn_of(row) for row in files.rows("turns")}
    lost = frozenset(row["of"] for row in files.rows("failures") if row["what"] == "no_reply")
    return Floor(seats, seed, told, lost, chunk, patience)


def begin(
    files: RunFolder,
    display: Display,
    conf: str,
    floor: Floor,
    judge: "Judge | None",
    judges: str,
    extent: str,
) -> None:
    """Refuse other weights than those on record, and show what begins."""
    identity = job.identity(floor.seats.values(), judge)
    files.agree("identity", identity)
    display.say(
        "begin",
        conf=conf,
        folder=str(files.path),
        seats={seat: agent.name for seat, agent in floor.seats.items()},
        judge=judges,
        extent=extent,
        seed=floor.seed,
        resumed=bool(floor.told),
        weights=identity,
    )
    job.warn_if_unguarded(files, display)


def walk(
    files: RunFolder, display: Display, conf: str, verb: str, writer: Writer, events: Iterable[Event]
) -> bool:
    """Write down what comes, to the end or to a stop; whether it came to the end."""

    def work() -> None:
        for event in events:
            writer.take(event)

    return job.carry_out(files, display, conf, verb, work)


def conclude(
    files: RunFolder, display: Display, report: str, alarms: Mapping[str, str], plots: Sequence[Path]
) -> None:
    """Write the report with its alarms, and show what is to be known at the end."""
    if not plots:
        display.say("note", text="no plots: pip install -e '.[plot]' and repeat the command to have them")
    replace_text(files.path / "README.md", "\n".join([report, *alarmed(alarms)]))
    for name, text in alarms.items():
        display.say("alarm", name=name, text=text)
