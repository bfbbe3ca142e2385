"""Checkpoints that several test files share."""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:  # before torch is imported: workers that all use all cores wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))


@pytest.fixture(autouse=True, scope="module")
def bare_weights() -> None:
    """Each file begins with weights on which no test of another one has left an adapter."""
    if "agents.backbone" in sys.modules:
        from agents.backbone import load

        load.cache_clear()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from a family (and its words) to the folder of a tiny random checkpoint."""
    import families

    @functools.cache
    def folder(family: families.Family, words: tuple[str, ...] = families.WORDS) -> Path:
        return families.save(family, tmp_path_factory.mktemp("checkpoints") / family.name, words)

    return folder


@pytest.fixture(scope="session")
def smollm2() -> str:
    """The name of the real SmolLM2-135M-Instruct, where this machine can have it."""
    from agents.errors import Unavailable
    from agents.families import SmolLM
    from agents.weights import resolve

    try:
        resolve(SmolLM.checkpoint)
    except Unavailable as error:
        pytest.skip(str(error))
    return SmolLM.checkpoint


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs, below the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path("runs")


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that nobody changes."""
    from example_run import Example

    path = tmp_path_factory.mktemp("runs") / "example"
    Example().write(path)
    return str(path)
