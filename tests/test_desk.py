"""The desk of a learner: rows of metrics once each, checkpoints and the final adapter whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from example_session import Silent

from arena.rundir import RunFolder, opened
from arena.scribe import Stop, Stopped
from arena.train.desk import Desk
from arena.train.errors import Diverged, check_finite
from arena.train.trackers import Trackers

TABLES = ("metrics", "evaluations", "failures")


class Noted(Silent):
    """Remembers what it is told."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self.told: list[tuple[str, dict[str, object]]] = []

    def say(self, kind: str, /, **fields: object) -> None:
        """Remember it."""
        self.told.append((kind, fields))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    """An open folder."""
    with opened(tmp_path / "run", "a: 1\n", {"a": 1}, TABLES) as folder:
        yield folder


def desk(run: RunFolder, stop: Stop | None = None) -> Desk:
    """A desk whose display remembers."""
    return Desk(run, Noted(), stop or Stop(), 0, "policy", Trackers([], run.path, {}))


def test_a_step_is_logged_once(run: RunFolder) -> None:
    """A run that goes on from a checkpoint passes steps that are on record."""
    one = desk(run)
    one.log(1, {"loss": 0.5, "pairs": 3})
    one.log(1, {"loss": 0.7, "pairs": 3})
    [row] = run.rows("metrics")
    assert (row["id"], row["step"], row["loss"], row["pairs"]) == ("policy@1", 1, 0.5, 3)
    assert [kind for kind, _ in one.display.told] == ["learned"]  # type: ignore[attr-defined]


def test_measurements_have_a_table_of_their_own(run: RunFolder) -> None:
    """With their own schema."""
    desk(run).evaluated(4, {"accuracy": 0.5})
    [row] = run.rows("evaluations")
    assert (row["schema"], row["step"], row["accuracy"]) == ("arena.evaluation/1", 4, 0.5)
    assert not list(run.rows("metrics"))


def test_a_learner_is_told_to_stop(run: RunFolder) -> None:
    """It may save first."""
    stop = Stop()
    one = desk(run, stop)
    one.check()
    stop.reason = "SIGTERM"
    assert one.stopping
    with pytest.raises(Stopped, match="SIGTERM"):
        one.check()


def test_the_final_adapter_replaces_one_that_is_there(run: RunFolder) -> None:
    """And an attempt that fails leaves the old one."""
    one = desk(run)
    one.finish(lambda folder: (folder / "a").write_text("first") and None)
    one.finish(lambda folder: (folder / "b").write_text("second") and None)
    assert [path.name for path in (run.path / "adapter").iterdir()] == ["b"]

    def failing(folder: Path) -> None:
        (folder / "c").write_text("torn")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        one.finish(failing)
    assert [path.name for path in (run.path / "adapter").iterdir()] == ["b"]


def test_a_checkpoint_is_found_again(run: RunFolder) -> None:
    """The newest one, with its step."""
    one = desk(run)
    assert one.checkpoint() is None
    for step in (2, 11):
        one.save(step, lambda folder: (folder / "w").write_text("x") and None)
    found = one.checkpoint()
    assert found and (found[0], (found[1] / "w").read_text()) == (11, "x")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_by_name(bad: float) -> None:
    """With the step, and what to do."""
    check_finite(3, loss=0.5, gradient=1.0)
    with pytest.raises(Diverged, match=r"step 3: gradient = .*lower train.lr"):
        check_finite(3, loss=0.5, gradient=bad)
