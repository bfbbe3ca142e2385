"""Runs without weights whose judges can be asked again, for tests of what judges stored drafts."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from example_session import Bookkeeper, Silent
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf

from agents import Agent, Dialogue, Scripted
from agents.base import Prompt
from agents.dialogue import Reply
from arena.config import settings
from arena.loop import Table, converse
from arena.rundir import opened
from arena.scribe import Stop
from arena.session import Session
from rewards.rubric import Rubric
from rewards.verdict import Case, Rating
from rewards.wim import Embedder, Wim

TOPICS = ("glaciers", "tariffs", "bees", "tides", "rust", "yeast")
WORDS = "heat ice cost salt light sound water iron sugar wind rain clay".split()


def share(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=6).digest()) / 2**48


class Talker(Scripted):
    """Says some words that depend on what it was asked; one reply in eight is empty, one in eight cut."""

    def __init__(self, name: str, system: str = "") -> None:
        """Take a name, which is its model."""
        super().__init__(["..."], system)
        self._name = name

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """Two to nine words for each draft."""
        return [[self._said(prompt, draft) for draft in range(n)] for prompt in prompts]

    def _said(self, prompt: Prompt, draft: int) -> Reply:
        drawn = share(self._name, prompt, draft)
        if drawn < 1 / 8:
            return Reply("")
        count = 2 + int(8 * share(drawn, "words"))
        text = " ".join(WORDS[int(12 * share(drawn, i))] for i in range(count))
        return Reply(text, "length" if drawn > 7 / 8 else "stop")


class Rates:
    """Rates by everything it is given: the agent, the whole case, the seed; or by the words alone.

    Args:
        salt: another one is another judge.
        words: whether only the answer's words count.
        worse: whether 10 is the worst.
        unread: the share of answers that it cannot rate.
    """

    asks = False

    def __init__(self, salt: str = "", words: bool = False, worse: bool = False, unread: float = 0.1) -> None:
        """Take the settings."""
        self.salt, self.words, self.worse, self.unread = salt, words, worse, unread

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """One rating per case."""
        return [self._one(agent, case, seed) for case, seed in zip(cases, seeds, strict=True)]

    def _one(self, agent: Agent, case: Case, seed: int) -> Rating:
        seen = Rubric.load("rating").ask(case)
        key = (case.reply.text,) if self.words else (agent.name, case, seed, seen)
        if share("unread", case.reply.text) < self.unread:
            return Rating(None, "absent", "well")
        value = 1 + 9 * share(self.salt, *key)
        return Rating(11 - value if self.worse else value, "ok", f"raw {value:.3f}")


class Points(Embedder):
    """Embeds a text as a point that depends on the text and on the checkpoint's name."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(texts, 3) vectors of unit length."""
        name = Path(self.checkpoint).name
        rows = np.array([[share(name, text, axis) - 0.3 for axis in range(3)] for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Lacks(Wim):
    """Says what is missing by the case; some answers lack nothing, of some it says nothing usable."""

    def ask(
        self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int], ratings: Sequence[Rating]
    ) -> list[tuple[str, str]]:
        """(text, status) of each case."""
        drawn = [share("wim", case.prompt, case.reply.text) for case in cases]
        return [_lack(value, rating) for value, rating in zip(drawn, ratings, strict=True)]


def _lack(drawn: float, rating: Rating) -> tuple[str, str]:
    if drawn < 0.1:
        return "", "nothing_missing"
    if drawn < 0.2:
        return "", "placeholder"
    return f"the {WORDS[int(12 * drawn)]} of {round(rating.value or 0)} {drawn:.6f}", "ok"


def weights(folder: Path) -> Path:
    """A folder that passes for a checkpoint as long as nobody loads it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"x")
    return folder


def tree(embedder: Path, **judge: Any) -> dict[str, Any]:
    """The settings of a run; `judge` goes over those of its judge."""
    seats = {
        "ada": {"_target_": "rejudge_runs.Talker", "name": "a-model", "system": "You know {topic}."},
        "bob": {"_target_": "rejudge_runs.Talker", "name": "b-model", "system": "You doubt {topic}."},
    }
    part = {
        "_target_": "rewards.judge.Judge",
        "rater": {"_target_": "rejudge_runs.Rates", "salt": "", "worse": False},
        "wim": {
            "_target_": "rejudge_runs.Lacks",
            "embedder": {"_target_": "rejudge_runs.Points", "checkpoint": str(embedder), "device": "cpu"},
        },
        "zeta": 0.4,
        "normalisation": "centred",
        "tie_margin": 0.01,
        "agent": None,
        "moving": False,
        "pair_truncated": False,
        "cosine": "own",
    }
    return {
        "agents": seats, "judge": part | judge, "seed": 3, "persona": "", "precision": "fp32",
        "device": "cpu", "opening": "Ask about {topic}.", "learners": ["ada", "bob"], "dialogues": 6,
    }  # fmt: skip


def hold(folder: Path, config: dict[str, Any], turns: int = 2, drafts: int = 4) -> Path:
    """Hold dialogues in a run folder as arena.run does; both seats draft and learn."""
    cfg = OmegaConf.create(config)
    seats = {str(seat): instantiate(part) for seat, part in cfg.agents.items()}
    table = Table(
        seats, instantiate(cfg.judge), cfg.opening, turns, dict.fromkeys(seats, drafts), seed=cfg.seed
    )
    with opened(folder, OmegaConf.to_yaml(cfg), settings(cfg)) as run:
        run.describe(status="running", conf="example", command="python -m arena.run")
        learners = {seat: Bookkeeper() for seat in seats}
        session = Session(run, table, learners, Silent(), Stop(), save_every=100)
        dialogues = [Dialogue(f"d{i:04d}", topic, list(seats)[i % 2]) for i, topic in enumerate(TOPICS)]
        for event in converse(table, dialogues):
            session.take(event)
        run.describe(status="done")
    return folder
