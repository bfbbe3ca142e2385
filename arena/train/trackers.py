"""Trackers of experiments: whoever `report_to` names gets every row of metrics, by accelerate's adapters."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.errors import ConfigError

_log = logging.getLogger(__name__)


class Trackers:
    """Tells trackers of numbers; what a tracker cannot take never ends a run.

    Args:
        names: such as `tensorboard`, `wandb`, `trackio`, `mlflow`, `comet_ml`, as accelerate knows them.
        folder: of the run; trackers that write files write below it.
        settings: of the run, flat.
    """

    def __init__(self, names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> None:
        """Start the trackers.

        Raises:
            ConfigError: a name is not known, or its package is not installed, or it refuses to start.
        """
        self._trackers = [_started(name, folder, settings) for name in names]

    def log(self, step: int, numbers: Mapping[str, float | int]) -> None:
        """Send numbers; a tracker that fails is told of once and left alone from then on."""
        for tracker in list(self._trackers):
            try:
                tracker.log(dict(numbers), step=step)
            # Each tracker has errors of its own; the run's tables hold the numbers anyway.
            except Exception as error:  # noqa: BLE001
                _log.warning("the tracker %s failed (%s) and is told no more", tracker.name, error)
                self._trackers.remove(tracker)

    def close(self) -> None:
        """End the trackers."""
        for tracker in self._trackers:
            try:
                tracker.finish()
            except Exception as error:  # noqa: BLE001 - as above
                _log.warning("the tracker %s did not end in order (%s)", tracker.name, error)


def _started(name: str, folder: Path, settings: Mapping[str, Any]) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = sorted(str(kind) for kind in LOGGER_TYPE_TO_CLASS)
    if name not in known:
        raise ConfigError(f"report_to names {name!r}; known are {', '.join(known)}")
    if name not in [str(kind) for kind in get_available_trackers()]:
        raise ConfigError(f"report_to names {name!r}, which is not installed: pip install {name}")
    try:
        return _started_as(LOGGER_TYPE_TO_CLASS[name], folder, settings)
    except Exception as error:  # noqa: BLE001 - each tracker has errors of its own
        raise ConfigError(
            f"report_to names {name!r}, which refuses to start ({error}): set it up, or take it out"
        ) from error


def _started_as(kind: Any, folder: Path, settings: Mapping[str, Any]) -> Any:
    where = {"logging_dir": folder / "trackers"} if kind.requires_logging_directory else {}
    tracker = kind(folder.name, **where)
    if hasattr(tracker, "start"):
        tracker.start()
    plain = {
        key: value if isinstance(value, int | float | str) else str(value) for key, value in settings.items()
    }
    tracker.store_init_configuration(plain)
    return tracker
