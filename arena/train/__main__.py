"""Train an adapter: from tables, or from what the agent writes to prompts and how that is rewarded.

    python -m arena.train                                         # online DPO on a known optimum
    python -m arena.train train=ppo                               # the same task by PPO
    python -m arena.train conf=learn train=dpo data.paths=[runs/by_difficulty]
    python -m arena.train conf=critic                             # rates abstracts of papers
    python -m arena.train conf=summarize                          # SFT, reward model, PPO

The run folder is runs/CONF (with a learner that is not the conf's own, runs/CONF-LEARNER); the same command
again continues a run that was stopped. The adapter is left in its folder `adapter`.
"""

import gc
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import ConfigError
from arena import config
from arena.command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from agents.local import Local
    from arena.display import Display
    from rewards.judge import Judge

OFFLINE_TABLES: Sequence[str] = ("metrics", "evaluations", "failures")
"""What a learner from tables writes."""
NUMBERS = ("seed", "valid", "most", "count", "passes", "batch", "drafts", "save_every", "gain")
"""Settings that a course takes as they are."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("train", train, arguments)


def train(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """One training from its composed settings, or one after the other; returns the exit code."""
    from omegaconf import OmegaConf

    if cfg.stages:
        return _stages(cfg, conf, folder.parent if folder.name == conf else folder)
    OmegaConf.resolve(cfg)
    from hydra.utils import instantiate

    from agents import backbone
    from arena import job
    from arena.console import choose
    from arena.rundir import TABLES, opened
    from arena.train.course import Course, train_offline
    from arena.train.online import train_online
    from arena.train.trackers import Trackers

    backbone.load.cache_clear()  # another run of this process may have left its adapters on the weights
    gc.collect()  # trainers leave weights in cycles of references
    seat, policy = _policy({seat: instantiate(part) for seat, part in cfg.agents.items()})
    learner = instantiate(cfg.train)
    if hasattr(learner, "fit"):
        _refuse_unused(cfg)
    parts = {key: instantiate(cfg[key]) for key in ("judge", "data", "heldout", "problems")}
    tables = OFFLINE_TABLES if hasattr(learner, "fit") else (*TABLES, "evaluations")
    settings = config.settings(cfg)
    with (
        opened(folder, OmegaConf.to_yaml(cfg), settings, tables) as files,
        choose(cfg.display) as display,
        job.signals() as stop,
    ):
        if files.info().get("status") == "done":
            display.say("note", text=f"{folder} is trained; its adapter is {folder / 'adapter'}")
            return 0
        with closing(Trackers(cfg.report_to, folder, settings)) as trackers:
            course = Course(
                conf, files, display, stop, trackers, seat, policy, learner,
                measured=cfg.evaluation is not None,
                known=_standing(cfg, conf, learner, parts["judge"], (seat, policy), display),
                **parts,
                **{key: cfg[key] for key in NUMBERS},
            )  # fmt: skip
            return train_offline(course) if hasattr(learner, "fit") else train_online(course)


def _stages(cfg: "DictConfig", conf: str, root: Path) -> int:
    """Train one conf after the other, each in its own folder; what is done is not done again."""
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException

    from arena import job

    own = ("conf=", "stages=", "runs=")
    given = [word for word in HydraConfig.get().overrides.task if not word.lstrip("+").startswith(own)]
    with job.signals() as stop:
        for name in cfg.stages:
            try:
                staged = compose("train", overrides=[f"conf={name}", f"runs={root}", *given])
            except HydraException as error:
                ways = ", then ".join(f"conf={each}" for each in cfg.stages)
                raise ConfigError(
                    f"the stage {name} does not take all of {' '.join(given)!r} "
                    f"({str(error).splitlines()[0]}): train the stages one by one, {ways}"
                ) from error
            if code := train(staged, name, root / name):
                return code
            if stop.reason:
                return job.STOPPED
    if cfg.display not in ("json", "quiet"):
        print(f"all stages are trained; compare them: python -m arena.evaluate conf={conf}")
    return 0


def _standing(
    cfg: "DictConfig",
    conf: str,
    learner: Any,
    judge: "Judge | None",
    policy: tuple[str, "Local"],
    display: "Display",
) -> dict[str, str]:
    """What is known of the judge that rewards what the policy, (seat, agent), writes; alarms by name.

    Raises:
        ConfigError: `judge.gate` refuses it.
    """
    from omegaconf import OmegaConf

    from arena.calibration.gate import Start, check

    if judge is None or not getattr(learner, "needs_judge", True):
        return {}
    settings: Any = OmegaConf.to_container(cfg.judge)
    seats = dict([policy])
    start = Start(conf, config.given("train"), seats, seats, Path(cfg.runs))
    return check(settings, judge, seats, start, display)


def _refuse_unused(cfg: "DictConfig") -> None:
    """Refuse settings on the command line that the learner does not look at, since it has its own."""
    from hydra.core.hydra_config import HydraConfig

    names = {"drafts": "drafts", "batch": "batch_size", "passes": "epochs", "save_every": "save_every"}
    for word in HydraConfig.get().overrides.task:
        name = word.partition("=")[0]
        if name in names and not cfg.stages:
            own = [each for each in (names[name], name) if each in cfg.train]
            instead = f"set train.{own[0]}" if own else "leave it out"
            raise ConfigError(
                f"{name} is of train=online_dpo and train=ppo, which are not used here: {instead}"
            )


def _policy(agents: dict[str, Any]) -> tuple[str, "Local"]:
    """(seat, agent) of the one agent that learns."""
    from agents.local import Local

    if len(agents) != 1:
        raise ConfigError(
            f"arena.train trains one agent, found the seats {list(agents)}: take all but one out"
        )
    [(seat, agent)] = agents.items()
    if not isinstance(agent, Local):
        raise ConfigError(f"the seat {seat!r} cannot learn: {type(agent).__name__} has no weights here")
    return seat, agent


if __name__ == "__main__":
    main()
