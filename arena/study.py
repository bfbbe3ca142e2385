"""A study: arms that differ in one thing, several seeds, the same held-out prompts, one report.

    python -m arena.study                        # conf=wim_study scale=laptop: an hour on two cores
    python -m arena.study scale=tiny             # the whole way in minutes; shows that it works, nothing else
    python -m arena.study scale=full only=[wim] seeds=[2] data.paths=[PROMPTS.jsonl]     # a part of a big one

The folder is runs/CONF-SCALE: README.md, results.json, pictures, a run folder for each arm and seed, and what
was measured of each seed. The same command goes on after a stop; what is done is not done again. Settings
behind the scale go to every arm.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import ConfigError
from arena import config
from arena.command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

OWN = ("conf", "scale", "scales", "arms", "control", "drafts_of", "trains", "seeds", "only")
"""Keys of a study that its arms do not have."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("study", study, arguments)


@dataclass(frozen=True)
class Plan:
    """What is to be trained and measured."""

    conf: str
    root: Path
    trains: str
    common: Sequence[str]
    """Settings of every arm: those of the scale, then those of the command line."""
    arms: Mapping[str, Sequence[str]]
    seeds: Sequence[int]

    def folder(self, arm: str, seed: int) -> Path:
        """The run folder of an arm."""
        return self.root / arm / f"seed-{seed}"

    def measured(self, seed: int) -> Path:
        """Where the arms of a seed are measured."""
        return self.root / "measured" / f"seed-{seed}"

    def words(self, seed: int, arm: str = "") -> list[str]:
        """The settings of one training, or of what is common to a seed.

        An arm with another judge has none of the settings of the conf's own.
        """
        own = self.arms.get(arm, ())
        other = any(word.startswith("judge=") for word in own)
        common = [word for word in self.common if not (other and _key(word).startswith("judge."))]
        return [f"conf={self.trains}", *common, *own, f"seed={seed}"]


def study(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """Train all arms, measure them, report; returns the exit code."""
    from arena import job

    plan = _plan(cfg, conf, folder)
    chosen = [arm for arm in plan.arms if not cfg.only or arm in cfg.only]
    todo = [(arm, seed) for seed in plan.seeds for arm in chosen]
    with job.signals() as stop:
        for number, (arm, seed) in enumerate(todo, start=1):
            _say(cfg.display, f"{arm}, seed {seed} ({number} of {len(todo)})")
            if (code := _train(plan, arm, seed)) or stop.reason:
                return code or job.STOPPED
        if cfg.only:
            _say(cfg.display, f"trained: {', '.join(chosen)}; the report comes with a command without only")
            return 0
        for seed in plan.seeds:
            _say(cfg.display, f"all arms of seed {seed} are measured")
            if (code := _measure(plan, seed)) or stop.reason:
                return code or job.STOPPED
    _report(cfg, plan)
    return 0


def _plan(cfg: "DictConfig", conf: str, folder: Path) -> Plan:
    """What the settings say.

    Raises:
        ConfigError: a scale or an arm is not known.
    """
    from hydra.core.hydra_config import HydraConfig

    if cfg.scale not in cfg.scales:
        raise ConfigError(config.unknown("scale", cfg.scale, list(cfg.scales)))
    for name in (*cfg.only, cfg.control, cfg.drafts_of):
        if name not in cfg.arms:
            raise ConfigError(config.unknown("arm", name, list(cfg.arms)))
    size = cfg.scales[cfg.scale]
    task = HydraConfig.get().overrides.task
    given = [word for word in task if _key(word).partition(".")[0] not in OWN]
    arms = {str(arm): list(words) for arm, words in cfg.arms.items()}
    seeds = list(cfg.seeds or size.seeds)
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must differ, got {seeds}")
    return Plan(conf, folder, cfg.trains, [*size.settings, *given], arms, seeds)


def _key(word: str) -> str:
    """The key that a setting of the command line is for."""
    return word.lstrip("+~").partition("=")[0]


def _say(display: str, text: str) -> None:
    if display not in ("json", "quiet"):
        print(f"study: {text}", flush=True)


def _composed(verb: str, words: Sequence[str]) -> "DictConfig":
    """The settings of a training or of its evaluation.

    Raises:
        ConfigError: they do not go together.
    """
    from hydra import compose
    from hydra.errors import HydraException

    try:
        return compose(verb, overrides=list(words))
    except (HydraException, ValueError) as error:
        raise ConfigError(
            f"the settings {' '.join(words)} of an arm: {str(error).splitlines()[0]}"
        ) from error


def _train(plan: Plan, arm: str, seed: int) -> int:
    """Train an arm with a seed; what is trained stays as it is."""
    from arena.train.__main__ import train

    folder = plan.folder(arm, seed)
    cfg = _composed("train", plan.words(seed, arm))
    _share_first_drafts(plan, arm, seed)
    return train(cfg, plan.trains, folder)


def _share_first_drafts(plan: Plan, arm: str, seed: int) -> None:
    """Give an arm the drafts of the first step that another arm has written: all begin with equal weights.

    They are what the arm would write itself: the loop asks for nothing that is on record.
    """
    folder = plan.folder(arm, seed)
    if (folder / "turns.jsonl").exists():
        return
    for other in plan.arms:
        path = plan.folder(other, seed) / "turns.jsonl"
        if other == arm or not path.exists():
            continue
        from arena.records import line
        from arena.rundir import rows

        first = [row for row in rows(path) if row["step"] == 0]
        if any(row["step"] > 0 for row in rows(path)):  # else the first step may not be whole
            folder.mkdir(parents=True, exist_ok=True)
            scratch = folder / ".turns.writing"
            scratch.write_bytes(b"".join(line(row) for row in first))
            scratch.replace(folder / "turns.jsonl")
            return


def _measure(plan: Plan, seed: int) -> int:
    """Have all arms of a seed write to the held-out prompts, and measure what they write."""
    from omegaconf import OmegaConf

    from arena.evaluate import evaluate

    cfg = _composed("evaluate", plan.words(seed))
    cfg.display = "quiet" if cfg.display in ("auto", "live", "plain") else cfg.display  # the page says it all
    arms = {arm: str(plan.folder(arm, seed)) for arm in plan.arms}
    OmegaConf.update(cfg, "evaluation.arms", arms, merge=False)
    return evaluate(cfg, plan.trains, plan.measured(seed))


def _about(plan: Plan) -> list[str]:
    """What was trained, in sentences."""
    seat, part = next(iter(_composed("train", plan.words(plan.seeds[0])).agents.items()))
    return [
        f"The seat {seat} is {part.checkpoint}; every arm trains a new adapter on it by the conf "
        f"{plan.trains}, with the same prompts, batches, rate and precision; the first drafts of a seed are "
        "shared by its arms. How arms differ stands at the end; all answer the same held-out prompts.",
    ]


def _report(cfg: "DictConfig", plan: Plan) -> None:
    """Write the page, the numbers and the pictures, and print the page."""
    from arena.rundir import replace_text
    from arena.studying.page import page, summary
    from arena.studying.pictures import draw
    from arena.studying.read import results

    about = _about(plan)
    found = results(plan.conf, cfg.scale, cfg.control, cfg.drafts_of, plan.arms, plan.seeds, plan, about)
    replace_text(plan.root / "README.md", page(found, draw(found, plan.root)))
    numbers = json.dumps(found.numbers, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    replace_text(plan.root / "results.json", numbers)
    if cfg.display == "json":
        print(json.dumps({"event": "results", **found.numbers}))
    elif cfg.display != "quiet":
        print(summary(found))
    _say(cfg.display, f"this report is {plan.root / 'README.md'}")


if __name__ == "__main__":
    main()
