"""Judge the drafts of a run again, by another judge or another mixture; nobody writes anything anew.

    python -m arena.rejudge smollm_duo judge.zeta=1            # from what is on record: at once
    python -m arena.rejudge smollm_duo judge=rating            # the same
    python -m arena.rejudge smollm_duo judge.wim.embedder.checkpoint=sentence-transformers/all-mpnet-base-v2
    python -m arena.rejudge smollm_duo judge=random
    python -m arena.rejudge smollm_duo judge=rating agent@judge.agent=qwen_small
    python -m arena.rejudge smollm_duo                         # the same judge again: does it say the same?
    python -m arena.rejudge smollm_duo --vs OTHER              # two folders with verdicts on the same drafts

The run folder is runs/RUN-rejudged-WHAT: verdicts, exchanges and preferences made anew beside the old
drafts (arena.show reads it, arena.train learns from it); README.md and results.json compare the two judges.
The settings are those of RUN but for what is named. The same command goes on after a stop. RUN is only read.
"""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.errors import ArenaError, ConfigError
from agents.human import printable
from arena import config
from arena.command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from agents.base import Agent
    from arena.evaluation.findings import Report
    from arena.rejudging.judging import Rejudging
    from arena.rejudging.recall import Way
    from arena.rejudging.stored import Stored
    from rewards.judge import Judge

TAKEN = ("agents", "judge", "seed", "runs", "persona", "precision", "device", "opening")
"""Settings of a run that a rejudging begins with."""
SEAT = "agent@judge.agent="
SUBDIR = "hydra.sweep.subdir='${rejudged:${of}}'"
"""Of a sweep: each of its folders is called as if it were alone."""
ASKS_HYDRA = ("-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "--version")
"""Flags that need no run."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; its first word is the run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        words = _begun(given)
    except ArenaError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    command("rejudge", rejudge, words)


def _begun(words: Sequence[str]) -> list[str]:
    """The words of the command line with the run as a setting; its own settings become the conf `stored`."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    from arena.runs import find_run

    OmegaConf.register_new_resolver("rejudged", _folder_name, replace=True)
    named = words[0] if words and not words[0].startswith("-") else ""
    if "=" in named and not Path(named).is_dir():
        named = ""
    rest = list(words[1:] if named else words)
    named = named or next((word.partition("=")[2] for word in rest if word.startswith("of=")), "")
    if any(word.startswith("conf=") for word in rest):
        raise ConfigError("a rejudging has the conf of its run: leave conf= away, and name what is to differ")
    store, conf = ConfigStore.instance(), _conf(rest, OmegaConf.create({}))
    if not named and not any(word in ASKS_HYDRA for word in rest):
        raise ConfigError("name the run whose drafts are judged again: python -m arena.rejudge RUN judge=...")
    if named:
        folder = find_run(named.strip("'"))
        conf = _conf(rest, OmegaConf.load(_config_of(folder)))
        rest = [f"of={_quoted(str(folder))}", *(word for word in rest if not word.startswith("of="))]
    if sweeps := [word for word in rest if word in ("-m", "--multirun")]:  # Hydra wants its flags apart
        rest = [*sweeps, *(word for word in rest if word not in sweeps), SUBDIR]
    store.store("stored", conf.pop("judge"), group="judge")
    store.store("stored", conf, group="conf", package="_global_")
    return rest


def _config_of(folder: Path) -> Path:
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(
            f"{folder} has no config.yaml, which says how it was judged: take a whole run folder"
        )
    return path


def _conf(words: Sequence[str], held: Any) -> dict[str, Any]:
    """The settings of a run as a conf whose judge, and whose third agent, can be replaced by a part."""
    from omegaconf import OmegaConf

    tree: Any = OmegaConf.to_container(held)
    taken: dict[str, Any] = {key: tree[key] for key in TAKEN if key in tree}
    seated = any(word.lstrip("+").startswith(SEAT) for word in words)
    chosen = next((word.partition("=")[2] for word in words if word.startswith("judge=")), "stored")
    judge = taken["judge"] = taken.get("judge") or {}
    if seated and "agent" in judge:
        judge["agent"] = None
    for part in (*taken.get("agents", {}).values(), judge.get("agent")):
        for key in ("precision", "device"):  # so that one word moves the run to another machine
            if part and key in taken and part.get(key) == taken[key]:
                part[key] = f"${{{key}}}"
    place = [{"/agent@judge.agent": None}] if seated and not _seats_one(chosen) else []
    return {**taken, "defaults": [{"/judge": "stored"}, *place, "_self_"]}


def _seats_one(judge: str) -> bool:
    """Whether a part of `conf/judge`, or one that it goes on from, names an agent of its own."""
    from omegaconf import OmegaConf

    path = config.CONF / "judge" / f"{judge}.yaml"
    tree: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    parts = tree.get("defaults", [])
    named = any(isinstance(part, Mapping) and "/agent@agent" in part for part in parts)
    return named or any(_seats_one(part) for part in parts if isinstance(part, str) and part != "_self_")


def _quoted(text: str) -> str:
    """A text as a value on Hydra's command line, in quotes where it needs them."""
    if re.fullmatch(r"[\w./+-]+", text, re.ASCII):
        return text
    slashed = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{slashed}'"


def _folder_name(of: str) -> str:
    """The folder of a rejudging of the run `of`, below `runs`."""
    from hydra.core.hydra_config import HydraConfig

    from arena.rejudging.naming import folder_name

    chosen: Any = HydraConfig.get()
    return folder_name(of, [word for word in chosen.overrides.task if not word.startswith("of=")])


def rejudge(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """One rejudging, or one comparison, from its composed settings; returns the exit code."""
    from omegaconf import OmegaConf

    from arena.rejudging.stored import Stored

    OmegaConf.resolve(cfg)
    stored = Stored(Path(cfg.of))
    stored.check()
    if cfg.vs:
        return _versus(cfg, stored, folder)
    return _again(cfg, stored, folder)


def _versus(cfg: "DictConfig", stored: "Stored", folder: Path) -> int:
    """Compare the verdicts of two folders."""
    from arena.rejudging.sides import joined
    from arena.rejudging.stored import Stored, refuse_run
    from arena.rejudging.summary import report_on, show, write
    from arena.runs import find_run

    other = Stored(find_run(cfg.vs))
    other.check()
    refuse_run(folder)
    bench = joined(stored, other, ("A", "B"), cfg.seed)
    about = f"Two judges of the same {len(bench.drafts)} drafts: A in {stored.path}, B in {other.path}."
    report = report_on(bench, about, cfg.second, cfg.device)
    folder.mkdir(parents=True, exist_ok=True)
    write(report, folder, f"{stored.path.name} and {other.path.name}, two judges", {})
    show(report, cfg.display)
    if cfg.display not in ("json", "quiet"):
        print(f"\n{folder}/README.md")
    return 0


def _again(cfg: "DictConfig", stored: "Stored", folder: Path) -> int:
    """Judge again, and compare with what was said then."""
    from omegaconf import OmegaConf

    from arena import job
    from arena.console import choose
    from arena.rejudging import recall
    from arena.rejudging.judging import TABLES, Rejudging
    from arena.rejudging.naming import APART
    from arena.rejudging.summary import against, show, write
    from arena.rundir import opened
    from arena.scribe import Scribe

    if folder.resolve() == stored.path.resolve():
        raise ConfigError(f"{folder} is the run itself, which stays as it is: name another hydra.run.dir")
    now = {key: value for key, value in config.settings(cfg).items() if key not in APART}
    changed = recall.differences(stored.settings, now)
    way = recall.way_of(stored.settings, now, changed, cfg.again)
    seats, judge = _asked(cfg, stored) if way is recall.Way.ASKING else _recalled(cfg, stored, way)
    started = time.perf_counter()
    reports: list[Report] = []
    with (
        opened(folder, OmegaConf.to_yaml(cfg), now, TABLES) as files,
        choose(cfg.display) as display,
        job.signals() as stop,
    ):
        work = Rejudging(stored, stored.table(seats, judge, cfg.seed), Scribe(files, display, stop))
        _begin(work, way, changed)

        def carry_out() -> None:
            work.carry_out()
            reports.append(against(stored, folder, way, changed, cfg.seed, cfg.second, cfg.device))

        if not job.carry_out(files, display, stored.conf, "rejudge", carry_out):
            return job.STOPPED
        [report] = reports
        write(report, folder, f"{stored.path.name}, judged again", {t: list(files.rows(t)) for t in TABLES})
        hints = [f"{folder}/README.md", f"python -m arena.show {folder}"]
        if files.ids["preferences"]:
            hints.append(f"python -m arena.train conf=learn train=dpo data.paths=[{folder}]")
        job.finished(files, display, time.perf_counter() - started, report.alarms, hints)
    show(report, cfg.display)
    return 0


def _asked(cfg: "DictConfig", stored: "Stored") -> tuple[dict[str, "Agent"], "Judge"]:
    """The seats and a judge that is asked.

    Raises:
        ConfigError: the judge is an expert as it was while it learned, which is no more.
    """
    from hydra.utils import instantiate

    from agents import backbone

    backbone.load.cache_clear()  # another run of this process may have left its adapters on the weights
    judge: Judge = instantiate(cfg.judge)
    if judge.moving and judge.agent is None and not stored.problems:
        raise ConfigError(
            f"{stored.path} was judged by experts as they learned (judge.moving=true), who are no more: "
            "judge.moving=false asks them as they began, agent@judge.agent=NAME another; judge.zeta alone, "
            "and the embedder, need nobody to be asked"
        )
    return {seat: instantiate(part) for seat, part in cfg.agents.items()}, judge


def _recalled(cfg: "DictConfig", stored: "Stored", way: "Way") -> tuple[dict[str, "Agent"], "Judge"]:
    """Seats that nobody asks, and a judge that reads the record."""
    from hydra.utils import instantiate

    from arena.rejudging.recall import FORMULA, MIXING, PAIRING, Kept, Recalled, Way, Witness

    part, record = cfg.judge, stored.verdicts
    seats: dict[str, Agent] = {seat: Witness(each.system) for seat, each in cfg.agents.items()}
    third = None if part.get("agent") is None else Witness()
    if part._target_ != FORMULA:
        own = {key.partition(".")[2] for key in PAIRING} & set(part)
        return seats, Kept(record, agent=third, **{key: part[key] for key in own})
    own = {key.partition(".")[2] for key in MIXING} & set(part)
    embedder = instantiate(part.wim.embedder) if way is Way.EMBEDDINGS else None
    asks_wim = part.get("wim") is not None
    return seats, Recalled(record, embedder, asks_wim, agent=third, **{key: part[key] for key in own})


def _begin(work: "Rejudging", way: "Way", changed: Mapping[str, tuple[object, object]]) -> None:
    """Refuse other drafts and weights than those on record; say what begins; ask whether the judge can."""
    from arena import job
    from arena.rejudging.naming import in_words
    from arena.rejudging.recall import Way, same_weights

    files, display, judge = work.scribe.run, work.scribe.display, work.table.judge
    agents = work.judges if way is Way.ASKING else []
    needed = judge if way is not Way.RECORD else None
    identity = job.identity(agents if judge.asks else [], needed)
    same_weights(work.stored.path, identity, changed)
    files.agree("drafts", {**work.stored.digest, "way": str(way)})
    files.agree("identity", identity)
    display.say(
        "begin",
        conf=work.stored.conf,
        folder=str(files.path),
        seats={},
        judge=str(judge) if way is Way.ASKING else str(way),
        extent=f"{len(work.stored.turns)} drafts of {work.stored.path}; what differs: {in_words(changed)}",
        seed=work.table.seed,
        resumed=bool(files.ids["verdicts"]),
        weights=identity,
    )
    job.warn_if_unguarded(files, display)
    for agent in agents:
        judge.ready(agent)


if __name__ == "__main__":
    main()
