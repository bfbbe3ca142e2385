"""What the tests of learners from tables share: a desk, a tiny policy, records."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from agents.dialogue import Message, Reply
from agents.families import Llama
from agents.local import Local
from arena.display import Display
from arena.problems import Problem
from arena.rundir import opened
from arena.scribe import Stop
from arena.train.desk import Desk
from arena.train.trackers import Trackers
from rewards.verdict import Example, Preference

TABLES = ("metrics", "evaluations", "failures")
WORDS = ("ice", "floats", "because", "water", "is", "heavier", "than", "it", "no", "idea")


class StopsAt(Display):
    """A display that keeps what it is told, and stops or kills the run when step `at` is learned."""

    def __init__(self, stop: Stop, at: int = 0, kill: bool = False) -> None:
        """Nothing yet."""
        self.stop, self.at, self.kill = stop, at, kill
        self.events: list[tuple[str, dict[str, Any]]] = []

    def say(self, event: str, **facts: Any) -> None:
        """Keep it."""
        self.events.append((event, facts))
        if event == "learned" and facts["step"] == self.at:
            self.stop.reason = "asked to"
            if self.kill:
                raise KeyboardInterrupt


@contextmanager
def desk(path: Path, stop: Stop | None = None) -> Iterator[Desk]:
    """The desk of a run in `path`, which is open as long as the body runs."""
    stop = stop or Stop()
    with opened(path, "", {}, TABLES) as files:
        yield Desk(files, StopsAt(stop), stop, 0, "policy", Trackers([], path, {}))


def policy(folder: Path, precision: str = "fp32", adapter: str = "", **options: Any) -> Local:
    """A tiny Llama."""
    return Llama(checkpoint=str(folder), precision=precision, device="cpu", adapter=adapter, **options)


def prompt(number: int) -> tuple[Message, ...]:
    """A question; equal numbers ask the same."""
    return (Message(role="user", content=f"why {WORDS[number % 10]} {number}"),)


def examples(count: int) -> list[Example]:
    """Questions with answers of different lengths."""
    return [Example(f"e{i}", prompt(i), " ".join(WORDS[: 2 + i % 7])) for i in range(count)]


def pairs(count: int) -> list[Preference]:
    """Pairs of answers of different lengths."""
    return [
        Preference(prompt(i), Reply("because " * (1 + i % 4)), Reply("no idea " * (1 + i % 3)), 1.0 + i % 2)
        for i in range(count)
    ]


def problems(count: int) -> list[Problem]:
    """Questions without answers."""
    return [Problem("qa", prompt(i)) for i in range(count)]


def tensors(folder: Path) -> dict[str, Any]:
    """All tensors that a folder holds."""
    return {
        f"{file.name}/{k}": t
        for file in sorted(folder.glob("*.safetensors"))
        for k, t in load_file(file).items()
    }


def table(run: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a table of a run."""
    from arena import jsonl

    return [row for _, row in jsonl.rows(run / f"{name}.jsonl")]
