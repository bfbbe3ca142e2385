"""What the settings of all commands have in common."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from omegaconf import MISSING

MAY_CHANGE = ("display", "dry_run", "save_every", "patience", "report_to")
"""Keys that a continued run may have otherwise than at its start: they change no result."""

MAY_CHANGE_WITHIN = ("train.save_every", "judge.gate", "judge.calibration")
"""The same, of keys within others."""

HYDRA = {
    "run": {"dir": "runs/${hydra:runtime.choices.conf}"},
    "sweep": {"dir": "runs", "subdir": "${hydra:runtime.choices.conf}/${hydra:job.override_dirname}"},
    "job": {
        "name": "arena",
        "chdir": False,
        "config": {"override_dirname": {"exclude_keys": ["conf", *MAY_CHANGE]}},
    },
    "output_subdir": None,
}


def named(folder: str) -> dict[str, Any]:
    """Hydra's settings with another run folder."""
    sweep = {"dir": "runs", "subdir": f"{folder.removeprefix('runs/')}/${{hydra:job.override_dirname}}"}
    return HYDRA | {"run": {"dir": folder}, "sweep": sweep}


def defaults_of(conf: str, *after: Any) -> list[Any]:
    """The list of defaults of a command whose own conf is `conf`."""
    quiet = [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]
    return ["_self_", {"conf": conf}, *after, *quiet]


@dataclass
class Common:
    """What every command has."""

    takes: ClassVar[tuple[str, ...]] = ()
    """The verbs whose confs the command takes; default: its own."""
    hydra: Any = field(default_factory=lambda: HYDRA)
    verb: str = "run"
    """The command that a conf is for."""
    agents: dict[str, Any] = MISSING
    """Who talks: seat -> agent, in speaking order."""
    judge: Any = MISSING
    """How answers are judged, and by whom: `judge.agent` is a third agent, null the other expert."""
    seed: int = 0
    runs: str = "runs"
    """The folder of other runs that confs name: `${runs}/critic`."""
    persona: str = "${text:expert}"
    """What each agent is told; `{topic}` stands for the topic."""
    precision: str = "auto"
    """Of local weights: auto, nf4, bf16, fp32."""
    device: str = "auto"
    """For local weights: auto, cpu, cuda, cuda:N."""
    display: str = "auto"
    """auto, live, plain, json, quiet."""
