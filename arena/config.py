"""What a command understands: the rule `conf=NAME`, and errors in one line.

`conf` is a config group whose options are aliases of the files `conf/*.yaml`. The search path is the
absolute `conf/` folder beside this package, so it works from a checkout, an editable install and a wheel.
"""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from agents.errors import ConfigError
from arena.schemas import BENCH_SIZES, MAY_CHANGE, MAY_CHANGE_WITHIN, SCHEMAS, Common
from arena.spelling import did_you_mean
from rewards.rubric import Rubric

CONF = Path(__file__).parents[1] / "conf"
PROMPTS = Path(__file__).with_name("prompts")

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk, a quota or a limit on files says when nothing more can be written."""


def register() -> None:
    """Make the schema and every conf known to Hydra."""
    OmegaConf.register_new_resolver("text", read_text, replace=True)
    OmegaConf.register_new_resolver("run_name", _run_name, replace=True)
    OmegaConf.register_new_resolver("judge_name", _judge_name, replace=True)
    OmegaConf.register_new_resolver("rubric", lambda name: Rubric.load(name).system, replace=True)
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name, schema)
    store.store("bench_sizes", BENCH_SIZES, package="_global_")
    for name in confs():
        store.store(name, {"defaults": [f"/{name}"]}, group="conf", package="_global_")


def confs(schema: str = "") -> list[str]:
    """The names that `conf=` takes, of the command of a schema or of all."""
    names = sorted(path.stem for path in CONF.glob("*.yaml"))
    taken = SCHEMAS[schema].takes or (SCHEMAS[schema].verb,) if schema else ()
    return [name for name in names if not schema or verb_of(name) in taken]


def verb_of(conf: str) -> str:
    """The command that a conf is for."""
    return str(OmegaConf.select(OmegaConf.load(CONF / f"{conf}.yaml"), "verb", default=Common.verb))


def _run_name() -> str:
    """The conf; with a learner that is not the conf's own, that one's name behind it."""
    from hydra.core.hydra_config import HydraConfig

    chosen: Any = HydraConfig.get().runtime.choices
    given = chosen.get("train")
    return str(chosen.conf) if given in (_learner_of(chosen.conf), None) else f"{chosen.conf}-{given}"


def _judge_name() -> str:
    """The conf and what judges in it: the part that compares, else the one that rates."""
    from hydra.core.hydra_config import HydraConfig

    chosen: Any = HydraConfig.get().runtime.choices
    return f"{chosen.conf}-{chosen.get('pairwise') or chosen.get('judge')}"


def given(schema: str) -> list[str] | None:
    """What is set on the command line, `key=value`; None where it is not that of the command of `schema`."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized() or HydraConfig.get().job.config_name != schema:
        return None
    return list(HydraConfig.get().overrides.task)


def _learner_of(conf: str) -> str | None:
    """The learner that a conf names, or the conf that it goes on from."""
    text = OmegaConf.to_container(OmegaConf.load(CONF / f"{conf}.yaml"))
    parts = text.get("defaults", []) if isinstance(text, dict) else []
    for part in parts:
        named = part.get("train", part.get("override /train")) if isinstance(part, dict) else None
        if named or (isinstance(part, str) and part != "_self_" and (named := _learner_of(part))):
            return str(named)
    return None


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
    return {
        key: value
        for key, value in _flat(tree, "")
        if key.partition(".")[0] not in MAY_CHANGE and key not in MAY_CHANGE_WITHIN
    }


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


def check_names(schema: str, arguments: list[str]) -> None:
    """Refuse a conf that does not exist or is for another command, before Hydra does.

    Raises:
        ConfigError: names the conf that was meant and all there are, or the command that it is for.
    """
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key == "conf" and equals and "--config-dir" not in arguments:
            for name in value.split(","):
                if name not in confs():
                    raise ConfigError(unknown("conf", name, confs(schema)))
                if name not in confs(schema):
                    verb = verb_of(name)
                    raise ConfigError(
                        f"conf {name!r} is for another command: python -m arena.{verb} conf={name}; "
                        f"here there are {', '.join(confs(schema))}"
                    )


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
