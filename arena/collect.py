r"""Collect feedback by difficulty: answers, their difficulty, feedback of the kind of its group, pairs.

    python -m arena.collect                              # shipped problems, the default conf
    python -m arena.collect assignment=rcp count=36      # another kind for each group; all is the baseline
    python -m arena.collect problems=file problems.path=FILE agent@teacher=remote teacher.url=... \
        teacher.model=...

The run folder is runs/CONF; the same command again continues a run that was stopped.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import ConfigError
from arena.command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from arena.display import Display
    from arena.feedback.floor import Floor
    from arena.feedback.gathering import Gathering
    from arena.rundir import RunFolder
    from rewards.pairwise import Pairwise


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("collect", collect, arguments)


def collect(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """One collection from its composed settings; returns the exit code."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from agents import backbone
    from arena import config, job
    from arena.console import choose
    from arena.feedback.desk import begin, floor_of, seated, walk, works_of
    from arena.feedback.gather import gather
    from arena.feedback.rows import COLLECT_TABLES
    from arena.feedback.writer import Writer
    from arena.rundir import opened
    from arena.scribe import Scribe

    backbone.load.cache_clear()  # another run of this process may have left its adapters on the weights
    OmegaConf.resolve(cfg)
    if not 0 <= cfg.valid < 1:
        raise ConfigError(f"valid is the share that is held out and must be in [0, 1), got {cfg.valid}")
    seats = seated({seat: instantiate(part) for seat, part in cfg.agents.items()}, instantiate(cfg.teacher))
    source, pairwise = instantiate(cfg.problems), instantiate(cfg.pairwise)
    started = time.perf_counter()
    with (
        opened(folder, OmegaConf.to_yaml(cfg), config.settings(cfg), COLLECT_TABLES) as files,
        choose(cfg.display) as display,
        job.signals() as stop,
    ):
        floor = floor_of(files, seats, cfg.seed, cfg.chunk, cfg.patience)
        plan = _plan(cfg, files, floor, pairwise)
        plan.check()
        works = works_of(files, source, cfg.count, cfg.seed)
        kinds = ", ".join(plan.routing.asked)
        begin(files, display, conf, floor, None, "the teacher", f"{len(works)} problems, feedback: {kinds}")
        writer = Writer(Scribe(files, display, stop), floor)
        if not walk(files, display, conf, "collect", writer, gather(plan, works)):
            return job.STOPPED
        found = _finish(cfg, conf, files, display)
        job.finished(files, display, time.perf_counter() - started, found)
    return 0


def _plan(cfg: "DictConfig", files: "RunFolder", floor: "Floor", pairwise: "Pairwise") -> "Gathering":
    from arena.feedback.gathering import Gathering
    from arena.feedback.routing import Routing
    from arena.feedback.rows import feedback_of

    return Gathering(
        floor=floor,
        routing=Routing(cfg.assignment, tuple(cfg.quantiles), cfg.whose, cfg.by),
        pairwise=pairwise,
        samples=cfg.samples,
        pair_truncated=cfg.pair_truncated,
        rewrite=cfg.rewrite,
        comment_tokens=cfg.comment_tokens,
        measured={row["id"]: row["nll"] for row in files.rows("difficulties")},
        compared={row["id"]: feedback_of(row) for row in files.rows("feedback") if row["other"]},
    )


def _finish(cfg: "DictConfig", conf: str, files: "RunFolder", display: "Display") -> dict[str, str]:
    """Split the pairs, draw, write the report; returns the alarms."""
    from arena.feedback.collect_report import collect_report
    from arena.feedback.desk import conclude
    from arena.feedback.feedback_alarms import collect_alarms
    from arena.feedback.split import balance, split
    from arena.plots import draw_collect
    from arena.records import line
    from arena.rundir import replace_text

    tables = {name: list(files.rows(name)) for name in files.tables}
    pairs = tables["preferences"]
    kept = set(balance(pairs)) if cfg.balanced else {row["id"] for row in pairs}
    pairs = [row for row in pairs if row["id"] in kept]
    for name, ids in zip(("train", "valid"), split(pairs, cfg.valid, cfg.seed), strict=True):
        wanted = set(ids)
        tables[name] = [row for row in pairs if row["id"] in wanted]
        text = b"".join(line(row) for row in tables[name]).decode("utf-8")
        replace_text(files.path / f"{name}.jsonl", text)
    plots = draw_collect(tables, files.path)
    found = collect_alarms(tables)
    conclude(files, display, collect_report(tables, conf, plots), found, plots)
    return found


if __name__ == "__main__":
    main()
