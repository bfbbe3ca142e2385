"""Measure a judge against people's labels before it is trusted.

    python -m arena.judge                                          # the judge of conf=smollm_duo
    python -m arena.judge judge=pmi 'pairs=[PAIRS.jsonl]' limit=80
    python -m arena.judge pairwise=choice 'pairs=[oasst]'          # a judge that compares, both orders
    python -m arena.judge judge=rating 'scores=[SCORES.jsonl]' label=coherence
    python -m arena.judge judge=rating 'parts=[labels,attacks,omissions]'

The conf is one of arena.run or arena.train; its first seat judges (or `judge.agent`). Judges that read
nothing stand beside it, on the same pairs. The run folder is runs/judge-CONF-JUDGE: README.md, results.json,
a row for every verdict, and verdict.json, by which a run that trains on this judge knows it (`judge.gate`).
The same command again continues a measurement that was stopped.
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
    from arena.calibration.asking import Bench
    from arena.calibration.found import Found
    from arena.calibration.items import Pair, Rated
    from arena.calibration.pairs import Labels
    from arena.calibration.study import Study
    from arena.display import Display
    from arena.rundir import RunFolder
    from arena.scribe import Stop

DATA = "ARENA_DATA"
HOME = "../shared/data"
"""Where data sets lie if ARENA_DATA is not set, as in conf/data."""
USUAL = ("llmbar_llmbar_natural", "pandalm_human", "autoj_human")
"""Files of `pairs/` that are taken where none are named: people's labels, of general questions."""
SILENT = ("json", "quiet")
WIDTH = 80
"""Columns of the report on a terminal."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("calibration", calibrate, arguments)


def calibrate(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """One measurement from its composed settings; returns the exit code."""
    from omegaconf import OmegaConf

    from agents import backbone
    from arena import config, job
    from arena.calibration.asking import TABLES
    from arena.console import choose
    from arena.rundir import opened

    backbone.load.cache_clear()  # another run of this process may have left its adapters on the weights
    OmegaConf.resolve(cfg)
    pairs, scores, left = _read(cfg)
    started = time.perf_counter()
    with (
        opened(folder, OmegaConf.to_yaml(cfg), config.settings(cfg), TABLES) as files,
        choose(cfg.display) as display,
        job.signals() as stop,
    ):
        study = _study(cfg, _bench(cfg, files, display, stop), pairs, scores)
        identity = _begin(study, cfg, conf, files, display, left)
        found: list[Found] = []
        if not job.carry_out(files, display, conf, "judge", lambda: found.append(study())):
            return job.STOPPED
        alarms = _conclude(found[0], identity, conf, files, display, cfg.display)
        hints = [f"{folder}/README.md", f"{folder}/verdict.json"]
        job.finished(files, display, time.perf_counter() - started, alarms, hints)
    if cfg.display == "json":
        print(json.dumps({"event": "results", **json.loads((folder / "results.json").read_text("utf-8"))}))
    return 0


def _read(cfg: "DictConfig") -> tuple[list["Pair"], list["Rated"], str]:
    """Labelled pairs, rated answers, and what was left out, in words.

    Raises:
        ConfigError: none are named and none are in ARENA_DATA, or a file cannot be read.
    """
    from arena.calibration.pairs import left_out
    from arena.calibration.scored import read_scores

    if cfg.limit < 0:
        raise ConfigError(f"limit is a number of pairs of each file, 0 for all, got {cfg.limit}")
    if "labels" not in cfg.parts:
        return [], [], ""
    names = list(cfg.pairs) or ([] if cfg.scores else _usual())
    pairs: list[Pair] = []
    notes = []
    for labels in [_labels(name, cfg.seed) for name in names]:
        pairs += labels.pairs(cfg.limit)
        if labels.skipped:
            notes.append(f"{', '.join(labels.paths)}: {left_out(labels.skipped)}")
    scores = [
        item
        for name in cfg.scores
        for path in _part(name, cfg.seed).get("paths", [name])
        for item in read_scores(str(path), cfg.label, cfg.limit, cfg.seed)
    ]
    _refuse_twice([*(pair.id for pair in pairs), *(item.case.id for item in scores)])
    return pairs, scores, "; ".join(notes)


def _usual() -> list[str]:
    """The files that are measured on where none are named."""
    import os

    root = Path(os.environ.get(DATA, HOME))
    found = [path for name in USUAL if (path := root / "pairs" / f"{name}.jsonl").is_file()]
    if not found:
        raise ConfigError(
            "no labelled pairs to measure the judge on: name files by pairs=[FILE,...] or scores=[FILE,...], "
            f"or set {DATA} to a folder with pairs/{USUAL[0]}.jsonl (looked in {str(root / 'pairs')!r})"
        )
    return [str(path) for path in found]


def _labels(name: str, seed: int) -> "Labels":
    """The labelled pairs that a name means: those of a part in conf/data, else of files."""
    from arena.calibration.pairs import Labels

    part = _part(name, seed)
    options = {key: part[key] for key in ("form", "columns", "only") if part.get(key)}
    return Labels(part.get("paths", [name]), seed=seed, **options)


def _part(name: str, seed: int) -> dict[str, Any]:
    """The settings of the part of conf/data with this name; nothing if there is none."""
    from omegaconf import OmegaConf

    from arena.config import CONF

    path = CONF / "data" / f"{name}.yaml"
    if name == Path(name).name and path.is_file() and name != "files":
        part = OmegaConf.merge(OmegaConf.load(path), {"seed": seed})
        found = OmegaConf.to_container(part, resolve=True)
        assert isinstance(found, dict)
        return {str(key): value for key, value in found.items()}
    return {}


def _refuse_twice(ids: Sequence[str]) -> None:
    twice = (
        sorted({id.partition(":")[0] for id in ids if ids.count(id) > 1}) if len(set(ids)) < len(ids) else []
    )
    if twice:
        raise ConfigError(
            f"two files are called {', '.join(twice)}, or one is named twice: rename or leave one"
        )


def _bench(cfg: "DictConfig", files: "RunFolder", display: "Display", stop: "Stop") -> "Bench":
    """The judge that is measured; nothing is loaded yet."""
    from hydra.utils import instantiate

    from arena.calibration.asking import Bench
    from arena.scribe import Scribe

    judge, pairwise = instantiate(cfg.judge), instantiate(cfg.pairwise)
    if judge is None:
        raise ConfigError("this conf has no judge to measure: name one by judge=NAME, such as judge=rating")
    agent: Agent = judge.agent or instantiate(next(iter(cfg.agents.values())))
    return Bench(
        judge=None if pairwise else judge,
        pairwise=pairwise,
        agent=agent,
        rubric=cfg.rubric,
        seed=cfg.seed,
        scribe=Scribe(files, display, stop),
    )


def _study(cfg: "DictConfig", bench: "Bench", pairs: Sequence["Pair"], scores: Sequence["Rated"]) -> "Study":
    from arena.calibration.study import Study

    return Study(bench, pairs, scores, list(cfg.parts), cfg.most, cfg.likelihoods)


def _begin(
    study: "Study", cfg: "DictConfig", conf: str, files: "RunFolder", display: "Display", left: str
) -> dict[str, Any]:
    """Refuse other weights and other items than those on record, and show what begins; the identity."""
    from omegaconf import OmegaConf

    from arena import job
    from arena.calibration.standing import PAIRWISE, digest, identity, judge_identity

    bench = study.bench
    settings: Any = OmegaConf.to_container(cfg.pairwise if bench.pairwise else cfg.judge)
    own = (
        judge_identity(settings, bench.judge, bench.agent)
        if bench.judge is not None
        else identity(PAIRWISE, {**settings, "rubric": cfg.rubric}, bench.agent)
    )
    asks = bench.judge is None or bench.judge.asks
    weights = job.identity([bench.agent] if asks else [], bench.judge)
    files.agree("identity", {**weights, "judge": digest(own)})
    files.agree("items", study.items())
    display.say(
        "begin",
        conf=conf,
        folder=str(files.path),
        seats={"judge": bench.agent.name},
        judge=bench.name,
        extent=f"{len(study.pairs)} pairs, {len(study.scores)} rated answers; {', '.join(study.parts)}",
        seed=cfg.seed,
        resumed=any(files.ids.values()),
        weights=weights,
    )
    job.warn_if_unguarded(files, display)
    if left:
        display.say("note", text=f"left out: {left}")
    if bench.judge is not None:
        bench.judge.ready(bench.agent)
    return own


def _conclude(
    found: "Found",
    identity: dict[str, Any],
    conf: str,
    files: "RunFolder",
    display: "Display",
    shown: str,
) -> dict[str, str]:
    """Leave the report, its numbers and the verdict in the folder, and print the report; the alarms."""
    from dataclasses import replace

    from arena.rundir import replace_text
    from arena.terminal import stdout_console

    measured = found.measured(identity)
    report = found.report(measured)
    tables = {name: list(files.rows(name)) for name in files.tables}
    replace_text(files.path / "README.md", report.markdown(f"{conf}: a judge, measured", tables))
    text = json.dumps(report.results, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    replace_text(files.path / "results.json", text)
    measured.write(files.path)
    if shown in SILENT:
        for name, told in report.alarms.items():
            display.say("alarm", name=name, text=told)
    else:
        console = stdout_console()
        console.width = min(console.width, WIDTH)
        console.print()
        replace(report, findings=tuple(found.shown)).print(console)
        console.print()
    return dict(report.alarms)


if __name__ == "__main__":
    main()
