"""A study: arms that differ in one thing, several seeds, the same held-out prompts, one report.

    python -m arena.study                       # conf=wim_study scale=laptop: an hour and a half on two cores
    python -m arena.study scale=tiny            # the whole way in minutes; shows that it works, nothing else
    python -m arena.study scale=full only=[wim] seeds=[2] data.paths=[PROMPTS.jsonl]     # a part of a big one

The folder is runs/CONF-SCALE: README.md, results.json, pictures, a run folder for each arm and seed, and one
for what was measured of it. The same command goes on after a stop; what is done is not done again, also when
arms or seeds are added. Settings behind the scale go to every arm.
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

OWN = ("conf", "scale", "scales", "arms", "control", "contrasts", "drafts_of", "trains", "seeds", "only")
"""Keys of a study that its arms do not have."""
EVERY_JUDGE = ("judge.pair_truncated",)
"""Settings of a judge that are about drafts and not about who judges."""


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

    def measured(self, arm: str, seed: int) -> Path:
        """Where an arm is measured; `BARE`: the checkpoint that all of a seed began with."""
        return self.root / "measured" / arm / f"seed-{seed}"

    def words(self, seed: int, arm: str = "") -> list[str]:
        """The settings of one training, or of a measuring.

        An arm with another judge has none of the settings of the conf's own but those of every judge, and
        none has the measuring's.
        """
        own = self.arms.get(arm, ())
        apart: tuple[str, ...] = ("evaluation.",) if arm else ()
        if any(word.startswith("judge=") for word in own):
            apart += ("judge.",)
        kept = [word for word in self.common if _key(word) in EVERY_JUDGE or not _key(word).startswith(apart)]
        return [f"conf={self.trains}", *kept, *own, f"seed={seed}"]


def study(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """Train all arms, measure them, report; returns the exit code."""
    from arena import job
    from arena.evaluation.room import BARE

    plan = _plan(cfg, conf, folder)
    chosen = [arm for arm in plan.arms if not cfg.only or arm in cfg.only]
    todo = [(arm, seed) for seed in plan.seeds for arm in chosen]
    diverged: list[str] = []
    with job.signals() as stop:
        for number, (arm, seed) in enumerate(todo, start=1):
            _say(cfg.display, f"{arm}, seed {seed} ({number} of {len(todo)})")
            if (code := _arm(plan, arm, seed, diverged, cfg.display)) or stop.reason:
                return code or job.STOPPED
        if cfg.only:
            _say(cfg.display, f"done: {', '.join(chosen)}; the report comes with a command without only")
            return 0
        for seed in plan.seeds:
            _say(cfg.display, f"what all began with, seed {seed}")
            if (code := _measure(plan, BARE, seed)) or stop.reason:
                return code or job.STOPPED
    _report(cfg, plan, diverged)
    return 0


def _plan(cfg: "DictConfig", conf: str, folder: Path) -> Plan:
    """What the settings say.

    Raises:
        ConfigError: a scale or an arm is not known.
    """
    from hydra.core.hydra_config import HydraConfig

    if cfg.scale not in cfg.scales:
        raise ConfigError(config.unknown("scale", cfg.scale, list(cfg.scales)))
    if bad := [list(pair) for pair in cfg.contrasts if len(pair) != 2]:
        raise ConfigError(f"contrasts are pairs of arms, the first less the second, got {bad}")
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


def _arm(plan: Plan, arm: str, seed: int, diverged: list[str], display: str) -> int:
    """Train an arm with a seed and measure it; what is done stays as it is; returns the exit code.

    One that diverges is told and left out: the others are still worth comparing.
    """
    from arena.studying.sharing import share_first_drafts
    from arena.train.__main__ import train
    from arena.train.errors import Diverged

    cfg = _composed("train", plan.words(seed, arm))
    others = [plan.folder(other, seed) for other in plan.arms if other != arm]
    share_first_drafts(plan.folder(arm, seed), config.settings(cfg), others)
    try:
        code = train(cfg, plan.trains, plan.folder(arm, seed))
    except Diverged as error:
        diverged.append(f"{arm}, seed {seed}: {error}")
        _say(display, f"left out: {diverged[-1]}")
        return 0
    return code or _measure(plan, arm, seed)


def _measure(plan: Plan, arm: str, seed: int) -> int:
    """Have an arm write to the held-out prompts, and measure what it writes; returns the exit code.

    Raises:
        ConfigError: it had other prompts, weights or precision than it is measured with.
    """
    from omegaconf import OmegaConf

    from arena.evaluate import evaluate
    from arena.evaluation.room import BARE
    from arena.runs import read_json
    from arena.studying.sharing import check_equal

    cfg, folder = _composed("evaluate", plan.words(seed)), plan.measured(arm, seed)
    cfg.display = "quiet" if cfg.display in ("auto", "live", "plain") else cfg.display  # the page says it all
    if cfg.judge is not None and "zeta" in cfg.judge:
        cfg.judge.zeta = 0.0  # else a text has no rating where its WIM was of no use
    trained = {} if arm == BARE else {arm: plan.folder(arm, seed)}
    arms = {arm: str(path) for arm, path in trained.items()}
    OmegaConf.update(cfg, "evaluation.arms", arms, merge=False)
    done = read_json(folder / "run.json").get("status") == "done"
    if not done or read_json(folder / "config.json") != config.settings(cfg):
        if code := evaluate(cfg, plan.trains, folder):
            return code
    check_equal({**trained, f"what {arm} is measured on": folder})
    return 0


def _about(plan: Plan) -> list[str]:
    """What was trained, in sentences."""
    seat, part = next(iter(_composed("train", plan.words(plan.seeds[0])).agents.items()))
    return [
        f"The seat {seat} is {part.checkpoint}; every arm trains a new adapter on it by the conf "
        f"{plan.trains}. The arms of a seed have learned from the same prompts, began with the same weights "
        "in the same precision, and answer the same held-out prompts; how they differ stands at the end.",
    ]


def _report(cfg: "DictConfig", plan: Plan, diverged: Sequence[str]) -> None:
    """Write the page, the numbers and the pictures, and print the page.

    Raises:
        ConfigError: the arms of a seed had other prompts, weights or precision than each other.
    """
    from arena.evaluation.room import BARE
    from arena.rundir import replace_text
    from arena.studying.page import page, summary
    from arena.studying.pictures import draw
    from arena.studying.read import results
    from arena.studying.sharing import check_equal

    for seed in plan.seeds:
        check_equal({arm: plan.measured(arm, seed) for arm in (BARE, *plan.arms)})
    about = [*_about(plan), *(f"Left out: {told}" for told in diverged)]
    found = results(
        plan.conf, cfg.scale, cfg.control, cfg.drafts_of, cfg.contrasts, plan.arms, plan.seeds, plan, about
    )
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
