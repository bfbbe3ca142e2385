"""A desk that keeps what a learner leaves on it, and can be told to stop."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from arena.scribe import Stopped

Numbers = Mapping[str, float | int]


class MemoDesk:
    """Stands in for `arena.train.desk.Desk`.

    Args:
        path: the run folder.
        stop_after: the step after which a stop is asked for; 0 for never.
    """

    def __init__(self, path: Path, stop_after: int = 0) -> None:
        """Nothing is written before the learner does."""
        self.path, self.stop_after, self.seed, self.seat = path, stop_after, 0, "critic"
        self.metrics: dict[int, dict[str, float | int]] = {}
        self.evaluations: dict[int, dict[str, float | int]] = {}
        self.notes: list[str] = []
        self.stopping = False

    def check(self) -> None:
        """Stop where that was asked for."""
        if self.stopping:
            raise Stopped("enough")

    def log(self, step: int, numbers: Numbers, of: int = 0) -> None:
        """Keep a row of metrics."""
        self.metrics[step] = dict(numbers)
        self.stopping = step == self.stop_after

    def evaluated(self, step: int, numbers: Numbers) -> None:
        """Keep a row of evaluations."""
        self.evaluations[step] = dict(numbers)

    def note(self, text: str) -> None:
        """Keep what the user is told."""
        self.notes.append(text)

    def checkpoint(self) -> tuple[int, Path] | None:
        """(step, folder) of the newest checkpoint."""
        found = sorted(self.path.glob("checkpoints/step-*"))
        return (int(found[-1].name[5:]), found[-1]) if found else None

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        """Make a checkpoint."""
        self._write(self.path / "checkpoints" / f"step-{step:06d}", write)

    def finish(self, write: Callable[[Path], None]) -> None:
        """Make the final adapter."""
        self._write(self.path / "adapter", write)

    def adapter(self) -> dict[str, Any]:
        """The weights of the final adapter."""
        from safetensors.torch import load_file

        return dict(load_file(self.path / "adapter" / "adapter_model.safetensors"))

    def _write(self, folder: Path, write: Callable[[Path], None]) -> None:
        folder.mkdir(parents=True)
        write(folder)
