"""lm-eval's tasks, loaded; and what lm-eval raises by itself, in one line that says what to do."""

import logging
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any

import numpy as np

from agents.errors import ConfigError
from arena.spelling import did_you_mean

OURS = {"agents", "rewards", "arena"}
FETCHING = {"datasets", "huggingface_hub", "fsspec", "httpx", "httpx2", "requests", "urllib3"}
"""Packages in which an error is about data that cannot be had."""
LETTERS = 300
"""Of what lm-eval said, at most."""


def manager_of(tasks: Sequence[str], folder: Path | None) -> Any:
    """lm-eval's index of tasks; of those of `folder` alone where they are all that is asked, which is quick.

    Raises:
        ConfigError: a file of the folder is no task.
    """
    with explained(tasks, "read the tasks"):
        from lm_eval.tasks import TaskManager

        if folder:
            own = TaskManager(include_path=str(folder), include_defaults=False)
            if set(tasks) <= set(own.all_tasks):
                return own
        return TaskManager(include_path=str(folder) if folder else None)


def load_tasks(tasks: Sequence[str], manager: Any, seed: int = 0) -> Any:
    """lm-eval's tasks with their data.

    Args:
        tasks: names of tasks, groups or tags.
        manager: lm-eval's index of them.
        seed: of the global random numbers, since some tasks shuffle their choices as they load.

    Raises:
        ConfigError: a task is not known, cannot be read, or needs a package or data that are not here; names
            the task and says what to do.
    """
    for name in tasks:
        if name not in manager.all_tasks:
            raise ConfigError(
                f"lm-eval has no task {name!r}{did_you_mean(name, manager.all_tasks)}; lm-eval ls tasks "
                "lists them, and evaluation.folder=FOLDER adds your own (a file that is no YAML adds none)"
            )
    with _drawn_by(seed), explained(tasks, "load it"):
        return manager.load(list(tasks))


@contextmanager
def explained(tasks: Sequence[str], doing: str) -> Iterator[None]:
    """Tell what lm-eval raises while the body runs in a line; errors of our own code pass as they are.

    Args:
        tasks: what was asked for, for errors that belong to no task.
        doing: what lm-eval does, in words: `load it`.

    Raises:
        ConfigError: lm-eval, or what a task calls, raised something; it stands as the cause.
    """
    try:
        yield
    except Exception as error:
        frames = [frame for frame, _ in walk_tb(error.__traceback__)]
        while frames and _package(frames[0]) in {*OURS, "contextlib"}:
            frames.pop(0)  # down to where our code has called lm-eval
        if not frames or any(_package(frame) in OURS for frame in frames):
            raise
        named = next((name for frame in reversed(frames) if (name := _task_in(frame))), "")
        fetching = isinstance(error, OSError) or any(_package(frame) in FETCHING for frame in frames)
        missing = fetching and not isinstance(error, LookupError)  # such as a split that is not in the data
        raise ConfigError(_told(error, named or ", ".join(tasks), doing, missing)) from error


def _told(error: Exception, task: str, doing: str, missing: bool) -> str:
    """What was found, and what to do about it."""
    said = " ".join(str(error).split())[:LETTERS].removesuffix(".")
    if isinstance(error, ImportError):
        return (
            f"{task}: a package is not here ({said}): pip install 'lm-eval[tasks]'; a module of your own "
            "lies beside the task's YAML file"
        )
    if missing:
        return (
            f"the data of {task} cannot be had: {said or type(error).__name__}. Where the hub can be "
            "reached, run the tasks once and bring the folder HF_DATASETS_CACHE (default: "
            "~/.cache/huggingface/datasets) here; or put a copy of a task's YAML file whose data_files are "
            "local into a folder, and set evaluation.folder"
        )
    return (
        f"{task}: lm-eval could not {doing}: {type(error).__name__}: {said or 'no message'}. Mend the task's "
        "YAML file, or what it calls, in a copy in evaluation.folder, or leave the task out of "
        "evaluation.tasks; answers on record are kept"
    )


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _task_in(frame: FrameType) -> str:
    """The task, or the file of one, that a frame of lm-eval is about; `""` where it is about none."""
    if _package(frame) != "lm_eval":
        return ""
    for name in ("self", "task", "task_obj", "cfg", "config", "entry", "yaml_path", "resolved", "path"):
        value = frame.f_locals.get(name)
        if isinstance(value, Path):
            return str(value)
        config = getattr(value, "config", value)
        settings = config if isinstance(config, Mapping) else {}
        found = getattr(config, "task", None) or settings.get("task")
        if isinstance(found, str):
            return found
    return ""


@contextmanager
def _drawn_by(seed: int) -> Iterator[None]:
    """Run the body with the global random numbers of a seed; afterwards they go on as before."""
    before, numbers = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numbers)


@contextmanager
def hushed() -> Iterator[None]:
    """Run the body without the messages and bars of lm-eval and of what it loads data with."""
    from tqdm.std import tqdm

    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets", "huggingface_hub")]
    before, begin = [logger.level for logger in loggers], tqdm.__init__
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    tqdm.__init__ = partialmethod(begin, disable=True)  # the environment is read too early
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        tqdm.__init__ = begin
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
