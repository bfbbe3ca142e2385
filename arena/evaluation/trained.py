"""Where the adapter of a conf lies once it was trained."""

from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from agents.errors import ConfigError


def trained(folder: Path, stages: Sequence[str] = ()) -> str:
    """The run folder of the conf that `folder` is for, or evaluates, if it holds an adapter; else `""`.

    Args:
        folder: of the command.
        stages: confs that were trained one after the other in place of that conf: the last one's is taken.
    """
    from agents import adapters

    run = folder.parent / (stages[-1] if stages else folder.name.removeprefix("evaluate-"))
    try:
        adapters.find(run)
    except ConfigError:
        return ""
    return str(run)


def take_adapter(part: MutableMapping[str, Any], folder: Path, stages: Sequence[str] = ()) -> None:
    """Set the adapter of an agent's settings to what was trained, unless it names one.

    Args:
        part: the settings; those of an agent that has no adapters are left as they are. null is the bare
            checkpoint.
        folder: of the command.
        stages: as for `trained`.
    """
    if "adapter" not in part:
        return
    given = part["adapter"]
    part["adapter"] = trained(folder, stages) if given == "" else given or ""
