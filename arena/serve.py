"""Serve a judge over HTTP, for learners in other processes and other projects.

    python -m arena.serve reward                       # the conf reward_server: SmolLM2 rates from 1 to 10
    python -m arena.serve reward judge=length port=0
    ARENA_SERVE_TOKEN=... python -m arena.serve reward host=0.0.0.0

    curl -s http://127.0.0.1:8008/v1/score -d '{"items": [{"prompt": "Why?", "completion": "Because."}]}'

N items get N rewards, in order, and null where the judge could not judge. What other projects' clients send
(Critic-IdeaKing, LLaMA-Factory, OpenRLHF) is in `arena.serving.dialects`, what failures answer in
`arena.serving.web`. `GET /health` and `GET /metrics` tell how it is. The token, where ARENA_SERVE_TOKEN is
set, is asked of everybody; off the loopback nothing is served without one. Ctrl-C or SIGTERM ends the server
when the requests that have come are answered.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import ConfigError
from arena import config
from arena.command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from agents.base import Agent
    from rewards.judge import Judge

TOKEN = "ARENA_SERVE_TOKEN"
"""The environment variable that holds the token."""

WHAT = ("reward",)


def serve(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """Serve the conf's judge until the process is told to stop.

    Returns:
        The exit code, 0.
    """
    from omegaconf import OmegaConf

    OmegaConf.resolve(cfg)
    _check(cfg)
    token = _token(cfg.host)

    from arena import job
    from arena.serving.batching import Batcher
    from arena.serving.counts import Counts
    from arena.serving.items import Item, rate
    from arena.serving.server import Server, address_of, bound, run
    from arena.serving.web import Limits, Service

    judge, agent = _bench(cfg)
    with bound(cfg.host, cfg.port) as listening:
        url, counts = address_of(listening), Counts()
        batcher = Batcher(
            partial(rate, judge, agent, cfg.seed), counts, cfg.max_batch, cfg.wait_ms, cfg.queue
        )
        batcher.warm_up(Item("warm-up", ({"role": "user", "content": "Are you there?"},), "Yes."))
        limits = Limits(cfg.max_items, cfg.max_body, cfg.timeout)
        service = Service(f"{agent.name}, {judge}", agent.name, batcher, counts, limits, token)
        ready = partial(print, _ready(url, service.judge, token), flush=True)
        with job.signals():
            run(Server(service, ready), listening)
    return 0


def _bench(cfg: "DictConfig") -> tuple["Judge", "Agent"]:
    """The judge, and the agent that it judges with.

    Raises:
        ConfigError: it is not clear which agent that is.
    """
    from hydra.utils import instantiate

    judge: Judge = instantiate(cfg.judge)
    if judge.agent is not None:
        return judge, judge.agent
    if len(cfg.agents) != 1:
        raise ConfigError(
            f"one agent judges, found the seats {list(cfg.agents)}: keep one, or name another by judge.agent"
        )
    agent: Agent = instantiate(next(iter(cfg.agents.values())))
    return judge, agent


def _check(cfg: "DictConfig") -> None:
    """Refuse settings that cannot serve."""
    if cfg.what not in WHAT:
        raise ConfigError(config.unknown("thing to serve", cfg.what, list(WHAT)))
    if not (find_spec("starlette") and find_spec("uvicorn")):
        raise ConfigError("a server needs starlette and uvicorn: pip install -e '.[web]'")
    for key in ("max_batch", "queue", "max_items", "max_body"):
        if cfg[key] < 1:
            raise ConfigError(f"{key} must be at least 1, got {cfg[key]!r}")
    if not 0 <= cfg.wait_ms < float("inf"):
        raise ConfigError(f"wait_ms must be at least 0, got {cfg.wait_ms!r}")
    if not 0 < cfg.timeout < float("inf"):
        raise ConfigError(f"timeout must be above 0, got {cfg.timeout!r}")
    if cfg.max_items > cfg.queue:
        raise ConfigError(
            f"max_items={cfg.max_items} items of one request would never fit into queue={cfg.queue}: "
            "raise queue, or lower max_items"
        )


def _token(host: str) -> str:
    """The token, or nothing where none is needed.

    Raises:
        ConfigError: none is set and `host` can be reached from elsewhere; or it is no token.
    """
    from arena.serving.server import is_loopback

    token = os.environ.get(TOKEN, "").strip()
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(f"{TOKEN} holds characters that no token has: set it anew")
    if not token and not is_loopback(host):
        raise ConfigError(
            f"host={host} can be reached from other machines: set a token in the environment variable "
            f"{TOKEN}, or host=127.0.0.1"
        )
    return token


def _ready(url: str, judge: str, token: str) -> str:
    """One line: where, who judges, how to try it."""
    header = f' -H "Authorization: Bearer ${TOKEN}"' if token else ""
    body = '{"items": [{"prompt": "Why?", "completion": "Because."}]}'
    return f"rewards by {judge} at {url}; try: curl -s {url}/v1/score{header} -d '{body}'"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; its first word, if it sets nothing, is what to serve."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and "=" not in given[0] and not given[0].startswith("-"):
        given[0] = f"what={given[0]}"
    command("serve", serve, given)


if __name__ == "__main__":
    main()
