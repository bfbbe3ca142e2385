"""Measure what this machine does with a conf, and how that compares with others.

    python -m arena.bench                                # dialogues, speeds, learning, the machine's limit
    python -m arena.bench --vs sequential                # against one prompt at a time
    python -m arena.bench --vs trl                       # against TRL's OnlineDPOTrainer
    python -m arena.bench --vs llama.cpp                 # against a llama.cpp server
    python -m arena.bench --vs precision                 # nf4, bf16, fp32 against each other
    python -m arena.bench 'parts=[curve]' repeats=7      # other parts, more repeats

A table on the terminal, and JSON in runs/bench-CONF; with --json that is printed instead.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import ConfigError
from arena import config
from arena.command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from agents.base import Agent
    from arena.benchmark.report import Report
    from arena.benchmark.sizes import Sizes

PARTS = ("limits", "loop", "turns", "curve", "speeds", "learning")
"""Functions of `arena.benchmark.parts`, in the order in which they are called: adapters come last."""
VERSUS = {"sequential": "sequential", "trl": "trl", "llama.cpp": "llama_cpp", "precision": "precision"}
"""What `vs` allows, and the function of `arena.benchmark.versus`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("bench", bench, arguments)


def bench(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """Measure what the settings ask for, write it down and show it."""
    from omegaconf import OmegaConf

    from arena.console import choose
    from arena.terminal import stdout_console

    choose(cfg.display)  # refuses a display that there is not
    OmegaConf.resolve(cfg)
    sizes = _checked(cfg)
    if cfg.dry_run:
        print(f"{conf}: would measure {cfg.vs or ', '.join(cfg.parts)} with {sizes}")
        return 0
    with redirect_stdout(sys.stderr):  # what libraries print is no part of the figures
        report = _measured(cfg, conf, sizes, _say if cfg.display != "quiet" else _silence)
    path = report.write(folder)
    if cfg.display == "json":
        print(report.json())
    elif cfg.display != "quiet":
        report.print(stdout_console())
        print(f"\n{path}")
    return 0


def _checked(cfg: "DictConfig") -> "Sizes":
    """The sizes; refuses what cannot be measured, before anything is loaded."""
    from arena.benchmark.sizes import Sizes

    if cfg.vs and cfg.vs not in VERSUS:
        raise ConfigError(config.unknown("vs", cfg.vs, list(VERSUS)))
    for part in cfg.parts:
        if part not in PARTS:
            raise ConfigError(config.unknown("part", part, list(PARTS)))
    sizes = Sizes(**{key: cfg[key] for key in Sizes.__dataclass_fields__})
    for key, value in asdict(sizes).items():
        least = {"seed": 0, "new_tokens": 2, "prompt_tokens": 8}.get(key, 1)
        if value < least:
            raise ConfigError(f"{key} must be at least {least}, got {value}")
    if sizes.dialogues > 1 and sizes.dialogues % len(cfg.agents):
        raise ConfigError(
            f"dialogues={sizes.dialogues} must be 1 or a multiple of the {len(cfg.agents)} seats, "
            "which open them in turn"
        )
    for seat in cfg.learners:
        if seat not in cfg.agents:
            raise ConfigError(config.unknown("seat in learners", seat, list(cfg.agents)))
    if cfg.vs == "trl" and not cfg.learners:
        raise ConfigError("vs=trl compares learners, and learners=[]: take a conf with a seat that learns")
    if cfg.vs == "llama.cpp":
        from arena.benchmark import llamacpp

        llamacpp.command(cfg.server)  # before weights are loaded
    return sizes


def _measured(cfg: "DictConfig", conf: str, sizes: "Sizes", say: Callable[[str], None]) -> "Report":
    from hydra.utils import instantiate

    from arena.benchmark import machine, parts, versus
    from arena.benchmark.report import Report
    from arena.benchmark.work import recorded

    judge = instantiate(cfg.judge)
    judge.pair_truncated = True  # every reply is as long as it may be
    agents = _agents(cfg)
    everyone = agents | ({"judge": judge.agent} if judge.agent else {})
    learning = agents if cfg.vs == "precision" else cfg.learners
    learners = {seat: instantiate(cfg.train) for seat in learning if cfg.train is not None}
    with recorded(everyone, sizes.new_tokens) as found:
        if judge.agent:
            judge.agent = found["judge"]
        seats = {seat: found[seat] for seat in agents}
        about = machine.describe(next(iter(seats.values())))
        report = Report(conf, cfg.vs, about, asdict(sizes))
        setting = parts.Bench(seats, judge, learners, cfg.opening, sizes, report, say)
        if cfg.vs:
            getattr(versus, VERSUS[cfg.vs])(setting, cfg.server, cfg.gguf)
        else:
            setting.warm()
            for name in (part for part in PARTS if part in cfg.parts):
                getattr(parts, name)(setting)
    return report


def _agents(cfg: "DictConfig") -> "dict[str, Agent]":
    """The seats; where precisions are compared, the first that learns once in each of them."""
    from hydra.utils import instantiate

    from agents.backbone import PRECISIONS, load

    load.cache_clear()  # another run of this process may have left its adapters on the weights
    if cfg.vs != "precision":
        return {seat: instantiate(part) for seat, part in cfg.agents.items()}
    chosen = cfg.agents[next(iter([*cfg.learners, *cfg.agents]))]
    return {name: instantiate(chosen, precision=name) for name in PRECISIONS if name != "auto"}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silence(_: str) -> None:
    pass


if __name__ == "__main__":
    main()
