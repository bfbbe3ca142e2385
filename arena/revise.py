"""Revise answers by feedback: an agent on itself, a teacher, or a panel that reads each other's answers.

    python -m arena.revise                                     # one agent on itself, the default conf
    python -m arena.revise min_revisions=2                     # enforced: every answer is revised twice
    python -m arena.revise feedback=teacher agent@teacher=qwen_small rubric=feedback_gold
    python -m arena.revise conf=panel                          # three experts

The run folder is runs/CONF; the same command again continues a run that was stopped.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import ConfigError
from arena.command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from arena.display import Display
    from arena.feedback.events import Event, Work
    from arena.feedback.floor import Floor
    from arena.feedback.judging import Judging
    from arena.feedback.revising import Revising
    from arena.rundir import RunFolder


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("revise", revise, arguments)


def revise(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """One revision of a batch of questions from its composed settings; returns the exit code."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from agents import backbone
    from arena import config, job
    from arena.console import choose
    from arena.feedback.chain import FORMS
    from arena.feedback.desk import begin, floor_of, seated, walk, works_of
    from arena.feedback.rows import REVISE_TABLES
    from arena.feedback.writer import Writer
    from arena.rundir import opened
    from arena.scribe import Scribe

    backbone.load.cache_clear()  # another run of this process may have left its adapters on the weights
    OmegaConf.resolve(cfg)
    if cfg.example not in FORMS:
        raise ConfigError(f"example={cfg.example!r} is not known; allowed are {', '.join(FORMS)}")
    teacher = instantiate(cfg.teacher)
    seats = seated({seat: instantiate(part) for seat, part in cfg.agents.items()}, teacher)
    source = instantiate(cfg.problems)
    started = time.perf_counter()
    with (
        opened(folder, OmegaConf.to_yaml(cfg), config.settings(cfg), REVISE_TABLES) as files,
        choose(cfg.display) as display,
        job.signals() as stop,
    ):
        floor = floor_of(files, seats, cfg.seed, cfg.chunk, cfg.patience)
        plan = _plan(cfg, floor)
        judging = _judging(cfg, files, plan)
        works = works_of(files, source, cfg.count, cfg.seed)
        if plan.knows_reference:
            _check_references(plan, works)
        extent = f"{len(works)} questions, feedback by {cfg.feedback}, {_range(plan)} revisions"
        judges = {judging.judge_of(seat)[0] for seat in plan.authors}
        begin(files, display, conf, floor, judging.judge, ", ".join(sorted(judges)), extent)
        writer = Writer(Scribe(files, display, stop), floor, judging.judge.zeta)
        if not walk(files, display, conf, "revise", writer, _events(plan, judging, works)):
            return job.STOPPED
        found = _finish(cfg, conf, files, display)
        job.finished(files, display, time.perf_counter() - started, found)
    return 0


def _plan(cfg: "DictConfig", floor: "Floor") -> "Revising":
    from arena.feedback.revising import Revising

    return Revising(
        floor,
        feedback=cfg.feedback,
        rubric=cfg.rubric,
        rewrite=cfg.rewrite,
        minimum=cfg.min_revisions,
        maximum=cfg.max_revisions,
        unclear=cfg.unclear,
        attempts=cfg.attempts,
        comment_tokens=cfg.comment_tokens,
    )


def _judging(cfg: "DictConfig", files: "RunFolder", plan: "Revising") -> "Judging":
    from hydra.utils import instantiate

    from arena import records
    from arena.feedback.judging import Judging
    from arena.feedback.rows import feedback_of

    judged = {row["id"]: records.verdict_of(row) for row in files.rows("verdicts")}
    judged |= {
        row["of"]: records.abstention_of(row)
        for row in files.rows("failures")
        if row["about"] in ("answer", "revision")
    }
    return Judging(
        plan,
        instantiate(cfg.judge),
        instantiate(cfg.pairwise),
        example=cfg.example,
        judged=judged,
        compared={row["id"]: feedback_of(row) for row in files.rows("feedback") if row["other"]},
    )


def _events(plan: "Revising", judging: "Judging", works: Sequence["Work"]) -> Iterator["Event"]:
    """Everything from the first answer to the last example."""
    from arena.feedback.events import Routed
    from arena.feedback.judging import judge_chains
    from arena.feedback.revising import revise as revised

    for work in works:
        yield Routed(work, 0.0, "", ())
    chains = yield from revised(plan, works)
    yield from judge_chains(judging, chains)


def _check_references(plan: "Revising", works: Sequence["Work"]) -> None:
    """A teacher that is to know the correct answer must be given one."""
    for work in works:
        if not work.problem.reference:
            where = work.problem.where or work.id
            raise ConfigError(
                f"rubric={plan.rubric} needs a correct answer to every question, and {where} has none: name "
                "its column by problems.reference=COLUMN, or take rubric=feedback"
            )


def _range(plan: "Revising") -> str:
    alike = plan.minimum == plan.maximum or plan.feedback == "peers"
    return str(plan.maximum) if alike else f"{plan.minimum} to {plan.maximum}"


def _finish(cfg: "DictConfig", conf: str, files: "RunFolder", display: "Display") -> dict[str, str]:
    """Draw, write the report; returns the alarms."""
    from arena.feedback.desk import conclude
    from arena.feedback.feedback_alarms import revise_alarms
    from arena.feedback.revise_report import revise_report
    from arena.plots import draw_revise

    tables = {name: list(files.rows(name)) for name in files.tables}
    plots = draw_revise(tables, files.path)
    found = revise_alarms(tables, cfg.min_revisions)
    conclude(files, display, revise_report(tables, conf, cfg.min_revisions, plots), found, plots)
    return found


if __name__ == "__main__":
    main()
