"""Hold dialogues, judge, learn while talking.

    python -m arena.run                                   # the default conf, smollm_duo
    python -m arena.run conf=mixtral_vs_llama judge.zeta=0.4
    python -m arena.run conf=smollm_vs_qwen dry_run=true  # only the plan

The run folder is runs/CONF; the same command again continues a run that was stopped.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import ConfigError
from arena import config
from arena.command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from agents.base import Agent
    from agents.dialogue import Dialogue
    from arena.display import Display
    from arena.loop import Table
    from arena.rundir import RunFolder
    from arena.scribe import Stop
    from arena.train.learner import Learner
    from rewards.judge import Judge


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("run", run, arguments)


def run(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """One run from its composed settings.

    Returns:
        The exit code: 0, or `arena.job.STOPPED`.
    """
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from agents import backbone
    from arena import job
    from arena.console import choose
    from arena.rundir import opened

    backbone.load.cache_clear()  # another run of this process may have left its adapters on the weights
    OmegaConf.resolve(cfg)
    seats: dict[str, Agent] = {seat: instantiate(part) for seat, part in cfg.agents.items()}
    judge: Judge = instantiate(cfg.judge)
    learners = {seat: instantiate(cfg.train) for seat in cfg.learners}
    _check(cfg, seats, learners)
    if cfg.dry_run:
        return _print_plan(cfg, conf, seats, judge, learners)
    source = instantiate(cfg.topics)
    started = time.perf_counter()
    with (
        opened(folder, OmegaConf.to_yaml(cfg), config.settings(cfg)) as files,
        choose(cfg.display) as display,
        job.signals() as stop,
    ):
        identity = job.identity(seats.values(), judge)
        files.agree("identity", identity)
        dialogues = _dialogues(files, source, cfg, seats)
        table = _table(cfg, seats, judge, files)
        display.say(
            "start",
            conf=conf,
            folder=str(folder),
            seats={seat: agent.name for seat, agent in seats.items()},
            learners=list(learners),
            judge=judge.agent.name if judge.agent else "the other expert",
            dialogues=len(dialogues),
            turns=cfg.turns,
            drafts=cfg.drafts,
            seed=cfg.seed,
            steps=cfg.turns * len(seats),
            resumed=bool(table.told),
            weights=identity,
        )
        for seat, learner in learners.items():
            learner.attach(seats[seat], seat)
        job.warn_if_unguarded(files, display)
        known = _standing(cfg, conf, table, learners, display)
        if not table.told:
            display.say("note", text=_forecast(cfg, seats, judge, learners))
        return _play(files, table, dialogues, learners, display, stop, cfg, conf, started, known)


def _play(
    files: "RunFolder",
    table: "Table",
    dialogues: Sequence["Dialogue"],
    learners: Mapping[str, "Learner"],
    display: "Display",
    stop: "Stop",
    cfg: "DictConfig",
    conf: str,
    started: float,
    known: Mapping[str, str],
) -> int:
    """Run the loop to its end or to a stop; `known` are alarms that its beginning has raised."""
    from arena import alarms, job
    from arena.loop import converse
    from arena.report import report
    from arena.rundir import replace_text
    from arena.session import Session

    session = Session(files, table, learners, display, stop, cfg.save_every)
    for seat, learner in learners.items():
        if text := alarms.rate_is_small(learner.lr):
            display.say("alarm", name=f"rate_{seat}", text=text)

    def play() -> None:
        for event in converse(table, dialogues):
            session.take(event)
        session.save(session.trained)

    if not job.carry_out(files, display, conf, "run", play):
        return job.STOPPED
    raised = alarms.raised(session.steps, session.verdicts, session.metrics, list(learners))
    found = {**known, **raised}
    replace_text(files.path / "README.md", report(files, conf, found))
    job.finished(files, display, time.perf_counter() - started, found)
    return 0


def _check(cfg: "DictConfig", seats: Mapping[str, Any], learners: Mapping[str, Any]) -> None:
    """Refuse settings that cannot make a run."""
    if len(seats) < 2:
        raise ConfigError(f"a dialogue needs two seats or more, found {list(seats)}")
    for seat in learners:
        if seat not in seats:
            raise ConfigError(config.unknown("seat in learners", seat, list(seats)))
    if learners and cfg.train is None:
        raise ConfigError("learners are named but train is null: set train=online_dpo, or learners=[]")
    for key in ("dialogues", "turns", "drafts", "save_every"):
        if cfg[key] < 1:
            raise ConfigError(f"{key} must be at least 1, got {cfg[key]}")
    if learners and cfg.drafts < 2:
        raise ConfigError(f"a seat that learns needs drafts >= 2 to compare, got {cfg.drafts}")


def _dialogues(
    files: "RunFolder", source: Any, cfg: "DictConfig", seats: Mapping[str, "Agent"]
) -> list["Dialogue"]:
    """The dialogues of this run: those on record, else new ones; the seats open them in turn."""
    from agents.dialogue import Dialogue

    topics = files.remember("topics", lambda: source(cfg.dialogues, cfg.seed, seats))
    names = list(seats)
    return [Dialogue(f"d{i:04d}", topic, names[i % len(names)]) for i, topic in enumerate(topics)]


def _table(cfg: "DictConfig", seats: Mapping[str, "Agent"], judge: "Judge", files: "RunFolder") -> "Table":
    from arena.loop import Table
    from arena.session import on_record

    told, judged = on_record(files)
    return Table(
        seats=seats,
        judge=judge,
        opening=cfg.opening,
        turns=cfg.turns,
        drafts={seat: cfg.drafts if seat in cfg.learners else 1 for seat in seats},
        seed=cfg.seed,
        told=told,
        judged=judged,
    )


def _standing(
    cfg: "DictConfig", conf: str, table: "Table", learners: Mapping[str, "Learner"], display: "Display"
) -> dict[str, str]:
    """What is known of the judges of those who learn; alarms by name.

    Raises:
        ConfigError: `judge.gate` refuses one of them.
    """
    from omegaconf import OmegaConf

    from arena.calibration.gate import Start, check

    settings: Any = OmegaConf.to_container(cfg.judge)
    judges = dict(table.judge_of(seat) for seat in learners)
    start = Start(conf, config.given("run"), table.seats, learners, Path(cfg.runs))
    return check(settings, table.judge, judges, start, display)


def _print_plan(
    cfg: "DictConfig",
    conf: str,
    seats: Mapping[str, "Agent"],
    judge: "Judge",
    learners: Mapping[str, "Learner"],
) -> int:
    from arena import plan

    asked = plan.work(list(seats), list(learners), judge, cfg.dialogues, cfg.turns, cfg.drafts)
    print(f"{conf} would load")
    for line in plan.lines(plan.memory(seats, judge, learners), asked):
        print(line)
    return 0


def _forecast(
    cfg: "DictConfig",
    seats: Mapping[str, "Agent"],
    judge: "Judge",
    learners: Mapping[str, "Learner"],
) -> str:
    """How long the run will take, measured before it starts."""
    from arena import pace, plan

    asked = plan.work(list(seats), list(learners), judge, cfg.dialogues, cfg.turns, cfg.drafts)
    rows = max(1, cfg.dialogues // len(seats)) * cfg.drafts
    found, speeds = pace.minutes(seats, judge, asked, list(learners), rows)
    about = f"{found:.1f} minutes" if found < 120 else f"{found / 60:.1f} hours"
    return f"this will take about {about}: {speeds}" if speeds else "the time depends on the endpoints"


if __name__ == "__main__":
    main()
