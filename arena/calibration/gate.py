"""The gate: a run that trains on a judge says at its start what is known of that judge, and may refuse it.

`judge.gate` is `""` (say it), `warn` (an alarm also where the judge was never measured) or `require` (refuse
every judge that is not shown to be better than the one that takes the longer answer). `judge.calibration`
names the verdict file or its folder; without it, the newest one in `runs/judge-*` on the same judge counts.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.base import Agent
from agents.errors import ConfigError
from arena import jsonl
from arena.calibration.standing import Measured, below, differences, digest, judge_identity, read
from arena.display import Display
from rewards.judge import REQUIRE, WARN, Judge
from rewards.scores import Scored

UNMEASURED = "judge_unmeasured"
NOT_BETTER = "judge_not_better"


def check(
    settings: Mapping[str, Any], judge: Judge, agents: Sequence[Agent], runs: Path, display: Display
) -> dict[str, str]:
    """Say what is known of each judge, before anything is learned from it.

    Args:
        settings: of the judge, as the conf has them.
        judge: what they build.
        agents: who judges where the judge has no agent of its own.
        runs: where verdict files lie, in folders `judge-*`.
        display: what the user sees.

    Returns:
        Alarms by name, which have been shown; they belong into the run's report, too.

    Raises:
        ConfigError: `judge.gate=require`, and the judge is not shown to be better than the longer answer; or
            `judge.calibration` is no verdict on this judge.
    """
    if _is_a_rule(judge) and judge.gate != REQUIRE and not judge.calibration:
        return {}
    identities: dict[str, tuple[dict[str, Any], str]] = {}
    for agent in agents:
        own = judge_identity(settings, judge, agent)
        identities.setdefault(digest(own), (own, str((judge.agent or agent).name)))
    found: dict[str, str] = {}
    for own, name in identities.values():
        who = str(judge) if _is_a_rule(judge) else f"{judge} ({name})"
        found |= _standing(judge, who, _measured(judge, own, runs), display)
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


def _standing(
    judge: Judge, who: str, measured: tuple[Path, Measured] | None, display: Display
) -> dict[str, str]:
    """Say how one judge stands; its alarm by name, if there is one."""
    name, text = _told(who, measured)
    if judge.gate == REQUIRE and name:
        raise ConfigError(
            f"judge.gate=require: {text}. Take a better judge, or measure this one on more pairs: "
            "python -m arena.judge judge=NAME pairs=[FILE]; judge.gate=warn goes on with it"
        )
    if not name or (name == UNMEASURED and judge.gate != WARN):
        display.say("note", text=text)
        return {}
    display.say("alarm", name=name, text=text)
    return {name: text}


def _told(who: str, measured: tuple[Path, Measured] | None) -> tuple[str, str]:
    """(the alarm's name or `""`, what is to be said)."""
    if measured is None:
        return UNMEASURED, f"the judge {who} was never measured: python -m arena.judge does it"
    path, found = measured
    if found.agreement is None:
        return UNMEASURED, f"the judge {who} was never measured against people's labels ({path})"
    if found.better:
        return "", f"the judge {who} is better than the longest-answer judge: it {found.numbers} ({path})"
    shown = "is not shown to be" if found.better is None else "is not"
    return (
        NOT_BETTER,
        f"the judge {who} {shown} better than the longest-answer judge: it {found.numbers} ({path})",
    )
