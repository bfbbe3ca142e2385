"""Measure what was trained beside what it was before and trivial baselines; or models against each other.

    python -m arena.evaluate conf=critic          # ratings of unseen papers against their reviewers'
    python -m arena.evaluate conf=king            # what PPO has changed, by two judges and by diversity
    python -m arena.evaluate conf=summarize       # ROUGE, reward and length, stage by stage
    python -m arena.evaluate conf=critic agents.policy.adapter=FOLDER hydra.run.dir=runs/another
    python -m arena.evaluate conf=match           # two agents and more on the same questions, before a judge

The conf is one that trained, or one for evaluations alone. Of one that trained the adapter is that of
runs/CONF, unless `agents.policy.adapter` names another. The run folder is runs/evaluate-CONF: README.md,
results.json and a table of every item; the same command again continues an evaluation that was stopped.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import ConfigError
from arena.command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from agents.base import Agent
    from arena.display import Display
    from arena.evaluation.findings import Report
    from arena.evaluation.room import Evaluation, Room
    from arena.rundir import RunFolder
    from arena.scribe import Stop


SPLIT = ("seed", "valid", "most", "count", "passes", "batch", "drafts", "save_every")
"""Settings that decide which records are held out; the rest of a course does not matter here."""

SILENT = ("json", "quiet")
"""Displays that do not print the report, at whose end the alarms stand."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("evaluate", evaluate, arguments)


def evaluate(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """One evaluation from its composed settings; returns the exit code."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from agents import backbone
    from arena import config, job
    from arena.console import choose
    from arena.evaluation.trained import take_adapter
    from arena.rundir import opened

    backbone.load.cache_clear()  # another run of this process may have left its adapters on the weights
    if cfg.evaluation is None:
        parts = ", ".join(sorted(path.stem for path in (config.CONF / "evaluation").glob("*.yaml")))
        raise ConfigError(f"{conf} does not say what to measure: +evaluation=NAME, one of {parts}")
    if cfg.verb == "train":
        take_adapter(cfg.agents[_trained_seat(cfg)], folder, cfg.stages)
    OmegaConf.resolve(cfg)
    evaluation: Evaluation = instantiate(cfg.evaluation)
    started = time.perf_counter()
    with (
        opened(folder, OmegaConf.to_yaml(cfg), config.settings(cfg), evaluation.tables) as files,
        choose(cfg.display) as display,
        job.signals() as stop,
    ):
        room = _room(cfg, conf, files, display, stop)
        reports: list[Report] = []
        if not job.carry_out(files, display, conf, "evaluate", lambda: reports.append(evaluation(room))):
            return job.STOPPED
        [report] = reports
        _write(files, conf, report)
        if cfg.display in SILENT:
            for name, text in report.alarms.items():
                display.say("alarm", name=name, text=text)
        hints = [f"{folder}/README.md", f"{folder}/results.json"]
        job.finished(files, display, time.perf_counter() - started, report.alarms, hints)
    _show(report, cfg.display)
    return 0


def _trained_seat(cfg: "DictConfig") -> str:
    """The seat that a conf has trained.

    Raises:
        ConfigError: there are several.
    """
    if len(cfg.agents) != 1:
        raise ConfigError(
            f"one agent is measured, found the seats {', '.join(cfg.agents)}: take the others out"
        )
    return str(next(iter(cfg.agents)))


def _room(cfg: "DictConfig", conf: str, files: "RunFolder", display: "Display", stop: "Stop") -> "Room":
    """What the evaluation is given; nothing is loaded yet."""
    from hydra.utils import instantiate

    from arena.evaluation.room import Room
    from arena.scribe import Scribe
    from arena.train.course import Course
    from arena.train.trackers import Trackers

    seats = {str(seat): instantiate(part) for seat, part in cfg.agents.items()}
    first: tuple[str, Any] = next(iter(seats.items()), ("", None))
    seat, policy = first
    judge = instantiate(cfg.judge)
    course = Course(
        conf, files, display, stop, Trackers([], files.path, {}), seat, policy, instantiate(cfg.evaluation),
        judge=judge,
        data=instantiate(cfg.data),
        heldout=instantiate(cfg.heldout),
        problems=instantiate(cfg.problems),
        **{key: cfg[key] for key in SPLIT},
    )  # fmt: skip

    def speaker(adapter: str) -> "Agent":
        if not seat:
            raise ConfigError(f"{conf} has no agent that could take the adapter {adapter!r}: seat one")
        agent: Agent = instantiate(cfg.agents[seat], adapter=adapter)
        return agent

    return Room(
        conf=conf,
        seats=seats,
        trained=bool(seat and cfg.agents[seat].get("adapter")),
        speaker=speaker,
        judge=judge,
        records=course.records,
        seed=cfg.seed,
        scribe=Scribe(files, display, stop),
    )


def _write(files: "RunFolder", conf: str, report: "Report") -> None:
    """Leave the report and its numbers in the folder."""
    from arena.rundir import replace_text

    tables = {name: list(files.rows(name)) for name in files.tables}
    replace_text(files.path / "README.md", report.markdown(f"{conf}, measured", tables))
    text = json.dumps(report.results, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    replace_text(files.path / "results.json", text)


def _show(report: "Report", display: str) -> None:
    """Print the report, or its numbers as one line for programs."""
    from arena.terminal import stdout_console

    if display == "json":
        print(json.dumps({"event": "results", **report.results}))
    elif display not in SILENT:
        console = stdout_console()
        console.print()
        report.print(console)


if __name__ == "__main__":
    main()
