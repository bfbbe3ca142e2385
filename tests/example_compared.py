"""Run folders whose numbers are planted: topics differ a lot, two runs by little."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from agents.dialogue import Reply, Turn
from arena.records import failure_row, line, metrics_row, now, turn_row, verdict_row
from arena.train.online_dpo import Update
from rewards.verdict import Verdict

TOPICS = tuple(f"topic {number}" for number in range(12))
SETTINGS: Mapping[str, object] = {
    "agents.ada.checkpoint": "tiny",
    "judge._target_": "rewards.judge.Judge",
    "judge.rater._target_": "rewards.rating.Labels",
    "judge.zeta": 0.4,
    "judge.tie_margin": 0.01,
    "judge.moving": False,
    "train._target_": "arena.train.online_dpo.OnlineDPO",
    "train.loss": "sigmoid",
    "train.beta": 0.1,
}
Row = dict[str, object]


def words_of(number: int) -> str:
    """A text of so many words, which are different."""
    return " ".join(f"w{i}" for i in range(number))


@dataclass
class Planted:
    """A run of one dialogue per topic, with two drafts a turn."""

    effect: float = 0.0
    """What is added to every reward."""
    noise: int = 0
    """Seed of what differs between runs."""
    topics: Sequence[str] = TOPICS
    order: Sequence[int] = ()
    """Dialogue numbers of the topics; default: as they come."""
    seed: int = 0
    turns: int = 2
    words: int = 20
    truncated: float = 0.0
    """Share of drafts that were cut."""
    outcome: str = "pair"
    abstained: int = 0
    """The first drafts of so many dialogues have no verdict."""
    updates: int = 8
    scale: Callable[[int], str] = lambda place: "rating+wim"
    settings: Mapping[str, object] = field(default_factory=dict)
    info: Mapping[str, object] = field(default_factory=lambda: {"conf": "planted", "status": "done"})
    identity: Mapping[str, str] = field(default_factory=lambda: {"lab/tiny": "sha 1; fp32 on cpu"})

    def write(self, path: Path) -> Path:
        """Write the folder."""
        tables: dict[str, list[Row]] = {
            name: [] for name in ("turns", "verdicts", "exchanges", "failures", "metrics", "steps")
        }
        for place, topic in enumerate(self.topics):
            number = self.order[place] if self.order else place
            self._dialogue(tables, place, topic, f"d{number:04d}")
        for step in range(self.updates):
            update = Update(2, 0.69 - 0.1 * self.effect, self.effect * step, 0.5, 0.0, 0.0, 0.01, 1.0, 0.5)
            tables["metrics"].append(metrics_row(asdict(update), seat="ada", step=step))
        path.mkdir(parents=True)
        for name, own in tables.items():
            own.sort(key=lambda row: str(row["id"]))
            (path / f"{name}.jsonl").write_bytes(b"".join(map(line, own)))
        files = {
            "run": self.info,
            "config": {**SETTINGS, "seed": self.seed, **self.settings},
            "identity": self.identity,
        }
        for name, value in files.items():
            (path / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        return path

    def _dialogue(self, tables: dict[str, list[Row]], place: int, topic: str, id: str) -> None:
        common = np.random.default_rng([7, place])
        level = common.normal(0, 1.0)
        for turn in range(self.turns):
            for draft in "ab":
                own = np.random.default_rng([self.noise, self.seed, place, turn, ord(draft)])
                name = f"{id}.{turn:02d}{draft}"
                cut = "length" if own.random() < self.truncated else "stop"
                length = self.words + place + int(own.integers(3))
                reply = Reply(words_of(length), cut, tuple(range(length)))
                tables["turns"].append(
                    turn_row(
                        Turn(name, "", "ada", reply), step=turn, model="tiny", seed=int(own.integers(99))
                    )
                )
                if draft == "a" and turn == 0 and place < self.abstained:
                    tables["failures"].append(failure_row(name, "absent", "draft", "?", by="tiny", step=turn))
                    continue
                verdict = Verdict(
                    name, "tiny", rating=5.0 + level, wim="more", wim_status="ok", cosine=0.5,
                    cosine_shuffled=0.25, reward=level + self.effect + own.normal(0, 0.05),
                    scale=self.scale(place),
                )  # fmt: skip
                tables["verdicts"].append(
                    verdict_row(verdict, judge="bob", about="draft", zeta=self._zeta, step=turn)
                )
            tables["exchanges"].append(self._exchange(id, topic, turn))
        whole = Verdict(f"{id}.ada", "tiny", rating=5.0 + level, reward=level, scale="rating")
        tables["verdicts"].append(
            verdict_row(whole, judge="bob", about="performance", zeta=self._zeta, step=0)
        )

    @property
    def _zeta(self) -> float:
        found = self.settings.get("judge.zeta", SETTINGS["judge.zeta"])
        assert isinstance(found, float)
        return found

    def _exchange(self, id: str, topic: str, turn: int) -> Row:
        return {
            "schema": "arena.exchange/1", "id": f"{id}.{turn:02d}", "dialogue": id, "topic": topic,
            "opener": "ada", "speaker": "ada", "judge": "bob", "drafts": 2, "said": f"{id}.{turn:02d}a",
            "outcome": self.outcome, "chosen": "", "rejected": "", "step": turn, "ts": now(),
        }  # fmt: skip
