"""Trackers: whoever is named gets the numbers, and none of them can end a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from accelerate import tracking

from agents import ConfigError
from arena.train.trackers import Trackers


def test_an_unknown_tracker_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    """All that accelerate knows."""
    with pytest.raises(ConfigError, match=r"'tensorbord'; known are .*tensorboard.*wandb"):
        Trackers(["tensorbord"], tmp_path, {})


def test_a_tracker_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to get it."""
    monkeypatch.setattr("accelerate.tracking._available_trackers", [])
    with pytest.raises(ConfigError, match="'tensorboard', which is not installed: pip install tensorboard"):
        Trackers(["tensorboard"], tmp_path, {})


def test_a_tracker_that_fails_is_left_alone(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """The run's own tables hold the numbers."""

    class Broken:
        name = "broken"
        asked = 0

        def log(self, numbers: Mapping[str, Any], step: int) -> None:
            self.asked += 1
            raise RuntimeError("no network")

    trackers, broken = Trackers([], tmp_path, {}), Broken()
    trackers._trackers = [broken]
    trackers.log(1, {"loss": 0.5})
    trackers.log(2, {"loss": 0.4})
    assert broken.asked == 1
    assert "the tracker broken failed (no network)" in caplog.text


@pytest.mark.slow
def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    """Under its name and step, in files below the run folder."""
    pytest.importorskip("tensorboard", reason="tensorboard is an option")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    trackers = Trackers(["tensorboard"], run, {"train.lr": 2e-4, "paths": ["a"]})
    trackers.log(1, {"train/loss": 0.5})
    trackers.log(2, {"train/loss": 0.25})
    trackers.close()
    [folder] = [path.parent for path in (run / "trackers").rglob("events.*") if path.parent.name == "run"]
    found = EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in found.Scalars("train/loss")] == [(1, 0.5), (2, 0.25)]


def test_a_tracker_that_does_not_end_in_order_is_told_of(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The run is done by then."""

    class Broken:
        name = "broken"

        def finish(self) -> None:
            raise RuntimeError("network gone")

    trackers = Trackers([], tmp_path, {})
    trackers._trackers = [Broken()]
    trackers.close()
    assert "broken did not end in order (network gone)" in caplog.text


def test_a_tracker_that_refuses_to_start_is_a_setting_to_mend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With its reason."""

    class Refusing:
        requires_logging_directory = False

        def __init__(self, name: str) -> None:
            raise RuntimeError("api_key not configured")

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", Refusing)
    monkeypatch.setattr(tracking, "_available_trackers", ["wandb"])
    with pytest.raises(ConfigError, match="'wandb', which refuses to start .api_key not configured."):
        Trackers(["wandb"], tmp_path, {})
