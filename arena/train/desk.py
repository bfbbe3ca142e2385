"""What a learner from tables has of its run: metrics, checkpoints, and whether it is to stop."""

from collections.abc import Callable, Mapping
from pathlib import Path

from arena import records
from arena.display import Display
from arena.rundir import RunFolder
from arena.scribe import Stop, Stopped
from arena.train.trackers import Trackers

Numbers = Mapping[str, float | int]


class Desk:
    """The run of one learner.

    Args:
        files: the run folder, with the tables `metrics` and `evaluations`.
        display: what the user sees.
        stop: whether somebody asked the run to stop.
        seed: of the run.
        seat: whose adapter is trained.
        trackers: who else is told of every row of metrics.
    """

    def __init__(
        self, files: RunFolder, display: Display, stop: Stop, seed: int, seat: str, trackers: Trackers
    ) -> None:
        """Take the folder, the display and the flag."""
        self.files, self.display, self.seed, self.seat = files, display, seed, seat
        self._stop, self._trackers = stop, trackers

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.files.path

    @property
    def stopping(self) -> bool:
        """Whether somebody asked the run to stop."""
        return bool(self._stop.reason)

    def check(self) -> None:
        """Stop here, if somebody asked for it; what is to be kept has been saved.

        Raises:
            Stopped: somebody did.
        """
        if self._stop.reason:
            raise Stopped(self._stop.reason)

    def note(self, text: str) -> None:
        """Tell the user something once."""
        self.display.say("note", text=text)

    def log(self, step: int, numbers: Numbers, of: int = 0) -> None:
        """Write a row of metrics, show it and send it to trackers, unless the step is on record.

        Args:
            step: of the optimiser, from 1.
            numbers: finite, and of the same names in every row of a run.
            of: steps in all, 0 where it is not known.
        """
        row = records.metrics_row(numbers, seat=self.seat, step=step)
        if row["id"] in self.files.ids["metrics"]:
            return
        self.files.append("metrics", row)
        self.display.say("learned", step=step, of=of, seat=self.seat, numbers=dict(numbers))
        self._trackers.log(step, {f"train/{name}": value for name, value in numbers.items()})

    def evaluated(self, step: int, numbers: Numbers) -> None:
        """Write what a measurement on held-out records gave, unless it is on record."""
        row = records.metrics_row(numbers, seat=self.seat, step=step, schema="arena.evaluation/1")
        if row["id"] in self.files.ids["evaluations"]:
            return
        self.files.append("evaluations", row)
        self.display.say("evaluated", step=step, seat=self.seat, numbers=dict(numbers))
        self._trackers.log(step, {f"heldout/{name}": value for name, value in numbers.items()})

    def checkpoint(self) -> tuple[int, Path] | None:
        """(step, folder) of the newest checkpoint."""
        return self.files.checkpoint()

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        """Make the checkpoint of `step` by `write(folder)`, whole or not at all."""
        if self.files.save_checkpoint(step, write):
            self.display.say("saved", step=step)

    def finish(self, write: Callable[[Path], None]) -> None:
        """Leave the final adapter in the folder `adapter`, made by `write(folder)`, whole or not at all."""
        self.files.save_folder("adapter", write)
