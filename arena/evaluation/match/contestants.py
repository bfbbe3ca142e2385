"""Who meets in a match: seats, checkpoints of runs, stored answers; and who must not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agents import adapters
from agents.base import Agent
from agents.errors import ConfigError
from arena.evaluation.match.answers import Stored, stored
from arena.evaluation.match.questions import Question
from arena.evaluation.room import Room

if TYPE_CHECKING:
    from agents.local import Local

JUDGE = "judge"
"""What the judge is called; nobody else may be."""


def contestants(
    room: Room, runs: Sequence[str], answers: Mapping[str, str], questions: Sequence[Question]
) -> dict[str, Agent]:
    """All who meet, by name: the seats, each checkpoint of some runs, and stored answers.

    Args:
        room: whose seats they are; checkpoints are spoken by the first seat.
        runs: folders of runs.
        answers: files, or folders of earlier evaluations, by the name of the contestant.
        questions: what is asked.

    Raises:
        ConfigError: there are fewer than two, two have one name, two would say the same, or something that is
            named is not there.
    """
    found: dict[str, Agent] = dict(room.seats)
    for run in runs:
        for name, folder in checkpoints(run).items():
            _add(found, name, room.speaker(str(folder)))
    for name, given in answers.items():
        _add(found, name, stored(given, name, questions))
    if len(found) < 2:
        raise ConfigError(
            f"a match needs two contestants or more, found {', '.join(found) or 'none'}: seat another agent "
            "by +agent@agents.NAME=PART, or name evaluation.checkpoints=[runs/RUN] or "
            "evaluation.answers={NAME: FILE}"
        )
    if JUDGE in found:
        raise ConfigError(f"{JUDGE!r} is the name of who judges: give that contestant another one")
    _refuse_twins(found)
    return found


def checkpoints(run: str) -> dict[str, Path]:
    """Adapters of a run by contestant: `learned@10` for each checkpoint that it kept, `learned` for the last.

    With several learners a seat stands behind it: `learned@10/ada`. A final adapter that is the newest
    checkpoint's is not listed twice.

    Raises:
        ConfigError: there are none.
    """
    folder = Path(run).expanduser()
    found: dict[str, Path] = {}
    for step in sorted((folder / "checkpoints").glob("step-??????")):
        own = sorted(config.parent for config in step.rglob(adapters.CONFIG))
        for each in own:
            seat = f"/{each.name}" if len(own) > 1 else ""
            found[f"{folder.name}@{int(step.name[5:])}{seat}"] = each
    if (folder / "adapter" / adapters.CONFIG).is_file():
        last = _digest(folder / "adapter")
        if last not in map(_digest, found.values()):
            found[folder.name] = folder / "adapter"
    if not found:
        raise ConfigError(
            f"{run!r} holds no checkpoints and no adapter: name the folder of a run that learned, which has "
            "`checkpoints` or `adapter`"
        )
    return found


def speakers(arms: Mapping[str, Agent]) -> dict[str, Agent]:
    """Those who are still to be asked."""
    return {name: agent for name, agent in arms.items() if not isinstance(agent, Stored)}


def _digest(folder: Path) -> str:
    """The same for equal weights."""
    return adapters.stored(folder).name.rpartition("-")[2]


def _add(found: dict[str, Agent], name: str, agent: Agent) -> None:
    if name in found:
        raise ConfigError(f"two contestants are called {name!r}: give them other names")
    found[name] = agent


def _refuse_twins(arms: Mapping[str, Agent]) -> None:
    """Equal agents draw equal random numbers here: they would tie everywhere."""
    from agents.local import Local

    known: dict[object, str] = {}
    for name, agent in arms.items():
        if not isinstance(agent, Local):
            continue
        twin = known.setdefault(_voice(agent), name)
        if twin != name:
            raise ConfigError(
                f"{twin} and {name} have the same weights, persona, decoding and limit, so they say the "
                f"same: change one (agents.{name}.system, .adapter, .checkpoint, .decoding.temperature, ...)"
            )


def _voice(agent: "Local") -> object:
    """What an agent says depends on, without loading its weights."""
    return type(agent), agent.source, agent.initial, agent.system, agent.decoding, agent.max_new_tokens
