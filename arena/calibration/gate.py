"""The gate: a run that trains on a judge says at its start what is known of that judge, and may refuse it.

`judge.gate` is `""` (say it), `warn` (an alarm also where the judge was never measured) or `require` (refuse
every judge that is not shown to be better than the one that takes the longer answer). `judge.calibration`
names the verdict file or its folder; without it, the newest one in `runs/judge-*` on the same judge counts.
"""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.base import Agent
from agents.errors import ConfigError
from arena import jsonl
from arena.calibration.standing import APART, Measured, below, differences, digest, judge_identity, read
from arena.display import Display
from rewards.judge import REQUIRE, WARN, Judge
from rewards.scores import Scored

UNMEASURED = "judge_unmeasured"
NOT_BETTER = "judge_not_better"
MAKES = ("judge", "agents", "precision", "device")
"""Settings that may make a judge another one, the first word of their keys."""
NEVER = tuple(f"judge.{name}" for name in APART if name != "agent")
"""Those of them that never do."""
MOVED = ". That was the judge as it begins: by judge.moving=true it learns, and is not measured as it then is"


@dataclass(frozen=True)
class Start:
    """A run that begins.

    Args:
        conf: its name.
        words: what is set on its command line, `key=value`; None where it has none of its own, such as the
            arm of a study.
        seats: who talks, in order: `python -m arena.judge` measures the first one, if the judge has no agent.
        learners: the seats that learn.
        runs: where verdict files lie, in folders `judge-*`.
    """

    conf: str
    words: Sequence[str] | None
    seats: Mapping[str, Agent]
    learners: Collection[str]
    runs: Path

    def measuring(self, seat: str = "") -> str:
        """The command that measures its judge; `seat` is who judges, where it is not the first one."""
        words = [word for word in self.words or () if _makes_a_judge(word)]
        if seat:
            words.append(f"judge.agent=${{agents.{seat}}}")
        if self.runs != Path("runs"):
            words.append(f"runs={self.runs}")
        if seat or self.runs != Path("runs"):  # else its folder is that of the first seat, below `runs`
            words.append(f"hydra.run.dir={self.runs}/judge-{self.conf}-{seat or 'judge'}")
        told = shlex.join(["python", "-m", "arena.judge", f"conf={self.conf}", *words])
        return told if self.words is not None else f"{told}, with what is set here of judge and agents,"


def _makes_a_judge(word: str) -> bool:
    key = word.lstrip("+~").partition("=")[0]
    place = key.partition("@")[2] or key
    return place.partition(".")[0] in MAKES and place not in NEVER


def check(
    settings: Mapping[str, Any], judge: Judge, judges: Mapping[str, Agent], start: Start, display: Display
) -> dict[str, str]:
    """Say what is known of each judge, before anything is learned from it.

    Args:
        settings: of the judge, as the conf has them.
        judge: what they build.
        judges: who judges where the judge has no agent of its own, by seat.
        start: the run.
        display: what the user sees.

    Returns:
        Alarms by name, which have been shown; they belong into the run's report, too.

    Raises:
        ConfigError: `judge.gate=require`, and the judge is not shown to be better than the longer answer; or
            `judge.calibration` is no verdict on this judge.
    """
    if _is_a_rule(judge) and judge.gate != REQUIRE and not judge.calibration:
        return {}
    first = digest(judge_identity(settings, judge, next(iter(start.seats.values()))))
    seats: dict[str, list[str]] = {}
    for seat, agent in judges.items():
        seats.setdefault(digest(judge_identity(settings, judge, agent)), []).append(seat)
    found: dict[str, str] = {}
    for key, same in seats.items():
        agent = judges[same[0]]
        own = judge_identity(settings, judge, agent)
        who = str(judge) if _is_a_rule(judge) else f"{judge} ({(judge.agent or agent).name})"
        command = start.measuring("" if key == first else same[0])
        moves = (
            judge.moving and judge.agent is None and judge.asks and not set(start.learners).isdisjoint(same)
        )
        found |= _standing(judge, _told(who, _measured(judge, own, start.runs), command, moves), display)
    return found


def _is_a_rule(judge: Judge) -> bool:
    """Whether it reads answers by a rule that is known, such as their length; scores are somebody's."""
    return not judge.asks and not isinstance(judge, Scored)


def _measured(judge: Judge, own: Mapping[str, Any], runs: Path) -> tuple[Path, Measured] | None:
    if not judge.calibration:
        return below(runs, own)
    path = jsonl.expanded(judge.calibration)
    found = read(path)
    if digest(found.identity) != digest(own):
        raise ConfigError(
            f"judge.calibration={str(path)!r} is the verdict on another judge "
            f"({differences(found.identity, own)}): measure this one by python -m arena.judge, or leave "
            "judge.calibration out"
        )
    return path, found


def _standing(judge: Judge, told: tuple[str, str], display: Display) -> dict[str, str]:
    """Say how one judge stands, as `_told` has it; its alarm by name, if there is one."""
    name, text = told
    if judge.gate == REQUIRE and name:
        raise ConfigError(
            f"judge.gate=require: {text}. Take a better judge, or measure this one, on more pairs if it was "
            "measured: pairs=[FILE,...] and another folder, hydra.run.dir=runs/judge-NAME; judge.gate=warn "
            "goes on with it"
        )
    if not name or (name == UNMEASURED and judge.gate != WARN):
        display.say("note", text=text)
        return {}
    display.say("alarm", name=name, text=text)
    return {name: text}


def _told(who: str, measured: tuple[Path, Measured] | None, command: str, moves: bool) -> tuple[str, str]:
    """(the alarm's name or `""`, what is to be said)."""
    if measured is None:
        return UNMEASURED, f"the judge {who} was never measured: {command} does it"
    path, found = measured
    if found.agreement is None:
        return (
            UNMEASURED,
            f"the judge {who} was never measured against people's labels ({path}): {command} does it",
        )
    shown = {True: "is", None: "is not shown to be", False: "is not"}[found.better]
    text = f"the judge {who} {shown} better than the longest-answer judge: it {found.numbers} ({path}"
    return "" if found.better else NOT_BETTER, f"{text}; {command} measures it){MOVED * moves}"
