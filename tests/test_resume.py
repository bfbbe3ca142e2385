"""A run that is killed again and again ends like one that never was: the same rows, the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import families
import pytest

from arena.rundir import TABLES, rows

VOLATILE = {"ts", "seconds", "seconds_drafting", "seconds_judging"}
SHAPE = [
    "dialogues=4",
    "turns=3",
    "drafts=3",
    "save_every=2",
    "judge=random",
    "judge.pair_truncated=true",
    "device=cpu",
    "precision=fp32",
]


@pytest.fixture
def command(checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[[str], list[str]]:
    """The command line of a small run on tiny random weights, into a named folder."""
    folder = checkpoint(families.SMOLLM)

    def line(name: str) -> list[str]:
        seats = [
            f"agents.{seat}.{key}"
            for seat in ("ada", "bob")
            for key in (
                f"checkpoint={folder}",
                "max_new_tokens=24",
                "decoding.min_p=0.0",
                "decoding.temperature=1.0",
            )
        ]
        where = f"hydra.run.dir={tmp_path / name}"
        return [sys.executable, "-m", "arena.run", "display=quiet", "train.lr=1e-2", *SHAPE, *seats, where]

    return line


def environment() -> dict[str, str]:
    """One thread: what is compared must not depend on how many cores are free."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def finish(command: Sequence[str]) -> None:
    """Run to the end."""
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    """Rows in the order of their ids, without what depends on the clock."""
    kept = [{k: v for k, v in row.items() if k not in VOLATILE} for row in rows(folder / f"{name}.jsonl")]
    return sorted(kept, key=lambda row: str(row["id"]))


def adapters(folder: Path) -> dict[str, bytes]:
    """The bytes of the newest checkpoint's adapters."""
    newest = sorted((folder / "checkpoints").glob("step-*"))[-1]
    return {seat: (newest / seat / "adapter_model.safetensors").read_bytes() for seat in ("ada", "bob")}


def same_end(one: Path, other: Path) -> None:
    """Both runs hold the same rows and adapters."""
    for name in TABLES:
        assert table(one, name) == table(other, name), name
    assert adapters(one) == adapters(other)


@pytest.mark.slow
def test_a_run_killed_many_times_ends_like_one_that_was_not(
    command: Callable[[str], list[str]], tmp_path: Path
) -> None:
    """SIGKILL at random moments, then the same command, until it ends; no row that was written is lost."""
    finish(command("whole"))
    assert table(tmp_path / "whole", "preferences"), "without pairs the comparison says nothing"
    assert len(table(tmp_path / "whole", "metrics")) >= 3
    draw, kills, known = random.Random(7), 0, 0
    target = tmp_path / "killed"
    while True:
        process = subprocess.Popen(
            command("killed"), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if kills < 8:
            kill_after_rows(process, target, draw.randint(1, 14))
        code = process.wait(timeout=300)
        count = sum(len(table(target, name)) for name in TABLES)
        assert count >= known, "a row that was written is gone"
        known = count
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills >= 4
    same_end(tmp_path / "whole", target)


def kill_after_rows(process: "subprocess.Popen[bytes]", folder: Path, more: int) -> None:
    """Kill once that many rows have been added, or leave the process if it ends before."""
    files = [folder / f"{name}.jsonl" for name in TABLES]
    begin = sum(lines(file) for file in files)
    while process.poll() is None:
        if sum(lines(file) for file in files) >= begin + more:
            process.kill()
            return
        time.sleep(0.005)


def lines(file: Path) -> int:
    """Lines of a table that may not be there yet."""
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.mark.slow
def test_a_run_that_is_asked_to_stop_saves_and_continues(
    command: Callable[[str], list[str]], tmp_path: Path
) -> None:
    """SIGTERM: exit code 75, status `stopped`, a checkpoint; the same command ends it."""
    finish(command("whole"))
    target = tmp_path / "asked"
    process = subprocess.Popen(command("asked"), env=environment(), stdout=subprocess.DEVNULL)
    while lines(target / "metrics.jsonl") < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 75
    assert json.loads((target / "run.json").read_text())["status"] == "stopped"
    assert list((target / "checkpoints").glob("step-*"))
    finish(command("asked"))
    same_end(tmp_path / "whole", target)
