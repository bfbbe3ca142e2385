"""Measure a judge against people's labels before it is trusted.

    python -m arena.judge conf=smollm_duo judge=pmi pairs=[PAIRS.jsonl] limit=100

The first seat of the conf judges (or `judge.agent`). Each answer is rated by itself, so there is no order
to be biased by. Random and length judges stand beside it, on the same items.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from arena import jsonl
from arena.command import command
from arena.stats.intervals import wilson
from rewards.verdict import Case

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from rewards.verdict import Verdict


@dataclass(frozen=True)
class Pair:
    """Two answers of which people preferred one."""

    better: Case
    worse: Case


@dataclass(frozen=True)
class Agreement:
    """How often a judge prefers what people prefer."""

    judge: str
    right: int
    wrong: int
    ties: int
    abstained: int

    @property
    def share(self) -> float:
        """Agreement in [0, 1]; a tie counts a half, an abstention is left out."""
        return (self.right + 0.5 * self.ties) / max(1, self.right + self.wrong + self.ties)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share (Wilson 1927)."""
        return wilson(self.share, self.right + self.wrong + self.ties)


def read_pairs(path: Path, limit: int, seed: int) -> list[Pair]:
    """Up to `limit` pairs of a JSONL file in an order drawn by the seed; rows labelled as ties are left out.

    Raises:
        ConfigError: there is no such file, or a row lacks what a pair needs; names the line.
    """
    pairs = []
    for number, row in jsonl.rows(path, "file of pairs"):
        try:
            pair = _pair(row, f"{path.stem}-{number}")
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}, line {number} is no labelled pair ({type(error).__name__}: {error}); it needs "
                "prompt or messages, a, b and label (a, b or tie), or chosen and rejected"
            ) from error
        if pair is not None:
            pairs.append(pair)
    random.Random(f"{seed}").shuffle(pairs)
    return pairs[:limit]


def _pair(row: Mapping[str, Any], name: str) -> Pair | None:
    if "chosen" in row:
        better, worse = row["chosen"], row["rejected"]
    elif row["label"] in ("a", "b"):
        better, worse = row[row["label"]], row["b" if row["label"] == "a" else "a"]
    else:
        return None
    said = row.get("messages") or [{"role": "user", "content": row["prompt"]}]
    prompt = tuple(Message(role=m["role"], content=m["content"]) for m in said)
    topic = prompt[0]["content"]
    return Pair(Case(f"{name}+", topic, prompt, Reply(better)), Case(f"{name}-", topic, prompt, Reply(worse)))


def compare(name: str, pairs: Sequence[Pair], verdicts: Sequence["Verdict"], tie_margin: float) -> Agreement:
    """Count a judge's verdicts: `verdicts` holds better and worse of each pair in turn."""
    counts = {"right": 0, "wrong": 0, "ties": 0, "abstained": 0}
    for better, worse in zip(verdicts[::2], verdicts[1::2], strict=True):
        if better.reward is None or worse.reward is None or better.scale != worse.scale:
            counts["abstained"] += 1
        elif abs(better.reward - worse.reward) <= tie_margin:
            counts["ties"] += 1
        else:
            counts["right" if better.reward > worse.reward else "wrong"] += 1
    return Agreement(name, **counts)


def calibrate(cfg: "DictConfig", conf: str, folder: Path) -> int:
    """Print how the conf's judge and the trivial judges agree with people, file by file."""
    from hydra.utils import instantiate
    from rich.console import Console
    from rich.table import Table

    from rewards.judge import Judge
    from rewards.rating import Length, Random

    judge = instantiate(cfg.judge)
    agent = judge.agent or instantiate(next(iter(cfg.agents.values())))
    judges = {f"{agent.name}, {judge}": judge, "random": Judge(Random()), "longer": Judge(Length())}
    table = Table("pairs", "judge", "agreement", "95 %", "n", "ties", "abstained")
    for name in cfg.pairs:
        pairs = read_pairs(jsonl.expanded(name), cfg.limit, cfg.seed)
        cases = [case for pair in pairs for case in (pair.better, pair.worse)]
        for label, one in judges.items():
            verdicts = one.rate(agent, cases, [cfg.seed + i for i in range(len(cases))])
            found = compare(label, pairs, verdicts, one.tie_margin)
            low, high = found.interval
            decided = found.right + found.wrong + found.ties
            numbers = (decided, found.ties, found.abstained)
            table.add_row(
                Path(name).stem, label, f"{found.share:.1%}", f"{low:.1%} to {high:.1%}", *map(str, numbers)
            )
    Console(width=None if Console().is_terminal else 120).print(table)
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command("calibration", calibrate, arguments)


if __name__ == "__main__":
    main()
