"""What every job has in common: it can be stopped, says what it is, and knows its weights again."""

import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from agents.errors import ArenaError
from arena.display import Display
from arena.rundir import RunFolder
from arena.scribe import Stop, Stopped

if TYPE_CHECKING:
    from agents.base import Agent
    from rewards.judge import Judge

STOPPED = 75
"""Exit code of a run that was stopped and can be continued (EX_TEMPFAIL, which job systems requeue on)."""


class signals:
    """While the body runs, the first Ctrl-C or SIGTERM asks for a stop; a second Ctrl-C is immediate."""

    def __enter__(self) -> Stop:
        """Take over the signals."""
        self.stop = Stop()
        self.before = {s: signal.signal(s, self._asked) for s in (signal.SIGINT, signal.SIGTERM)}
        return self.stop

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, signals) and self.stop.reason:  # this was a part of a longer job
                outer.stop.reason = self.stop.reason

    def _asked(self, number: int, _: FrameType | None) -> None:
        if self.stop.reason and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop.reason = signal.Signals(number).name


def command_line(verb: str) -> str:
    """The command that this process was started with."""
    return shlex.join(["python", "-m", f"arena.{verb}", *sys.argv[1:]])


def carry_out(files: RunFolder, display: Display, conf: str, verb: str, work: Callable[[], None]) -> bool:
    """Do `work`, and keep `run.json` true about it; whether it was done rather than stopped.

    Raises:
        ArenaError: what `work` raised; `run.json` says so.
    """
    files.describe(status="running", conf=conf, command=command_line(verb))
    try:
        work()
    except Stopped as stopped:
        files.describe(status="stopped", reason=str(stopped))
        display.say("stopped", folder=str(files.path), reason=str(stopped), command=command_line(verb))
        return False
    except ArenaError as error:
        files.describe(status="failed", reason=str(error))
        raise
    return True


def warn_if_unguarded(files: RunFolder, display: Display) -> None:
    """Say that nothing keeps a second process from writing to the folder, where that is so."""
    if not files.guarded:
        text = f"{files.path} is where files cannot be locked: let no second process write there"
        display.say("note", text=text)


def identity(agents: Iterable["Agent"], judge: "Judge | None") -> dict[str, str]:
    """Which weights in which precision: what a continued run must find again."""
    from agents.adapters import stored
    from agents.backbone import pick_device, pick_precision
    from agents.local import Local
    from agents.weights import resolve

    everyone = [*agents, *([judge.agent] if judge and judge.agent else [])]
    found: dict[str, str] = {}
    for agent in everyone:
        if isinstance(agent, Local):
            checkpoint, revision, precision, device = agent.source
            where = pick_device(device)
            source = resolve(checkpoint, revision).source
            told = f"{source}; {pick_precision(precision, where)} on {where.partition(':')[0]}"
            found[checkpoint] = " and ".join(sorted({told, *found.get(checkpoint, told).split(" and ")}))
            if agent.initial:
                found[agent.initial] = f"adapter {stored(agent.initial).name}"
    if judge and judge.wim is not None:
        found[judge.wim.embedder.checkpoint] = resolve(judge.wim.embedder.checkpoint).source
    return found


def finished(
    files: RunFolder, display: Display, seconds: float, alarms: Mapping[str, str], hints: Sequence[str] = ()
) -> None:
    """Write and say that the run is done, and how to read it: by `hints`, else by arena.show."""
    counts = {name: len(ids) for name, ids in files.ids.items()}
    files.describe(status="done", counts=counts, alarms=dict(alarms))
    shown = hints or [f"python -m arena.show {files.path}", f"{files.path}/README.md"]
    display.say("done", folder=str(files.path), seconds=seconds, counts=counts, hints=list(shown))
