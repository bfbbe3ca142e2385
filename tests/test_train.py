"""The command that trains: what it leaves, what it refuses, and that a kill costs nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import families
import pytest

from arena import job
from arena.rundir import rows

VOLATILE = {"ts", "seconds", "seconds_drafting", "seconds_judging"}
Line = Callable[..., list[str]]


@pytest.fixture
def line(checkpoint: Callable[..., Path], tmp_path: Path) -> Line:
    """The command line of a training of tiny random weights, into a named folder."""
    folder = checkpoint(families.SMOLLM)

    def made(name: str, *words: str) -> list[str]:
        fixed = [
            f"agents.policy.checkpoint={folder}", "agents.policy.max_new_tokens=12", "device=cpu",
            "precision=fp32", f"hydra.run.dir={tmp_path / name}", "display=plain",
        ]  # fmt: skip
        return [sys.executable, "-m", "arena.train", *words, *fixed]

    return made


PRACTICE = ["count=24", "valid=0.3", "batch=4", "drafts=3", "save_every=2", "judge=random"]
LOOSE = ["judge.pair_truncated=true", "train.lr=1e-2", "train.rank=4"]


def environment() -> dict[str, str]:
    """One thread, no hub: what is compared must not depend on how many cores are free."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def ran(command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    """Rows in the order of their ids, without what depends on the clock."""
    kept = [{k: v for k, v in row.items() if k not in VOLATILE} for row in rows(folder / f"{name}.jsonl")]
    return sorted(kept, key=lambda row: str(row["id"]))


def write(path: Path, *found: dict[str, Any]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


PAIRS = [{"prompt": f"what is {i}", "chosen": f"a number {i}", "rejected": "no idea"} for i in range(12)]


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["online_dpo", "ppo"])
def test_practice_leaves_tables_an_adapter_and_what_was_gained(
    learner: str, line: Line, tmp_path: Path
) -> None:
    """By either learner: the same tables, a measurement on held-out prompts, a report."""
    done = ran(line("one", f"train={learner}", *PRACTICE, *LOOSE), tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / "one"
    assert {path.name for path in (folder / "adapter").iterdir()} >= {
        "adapter_model.safetensors", "adapter_config.json",
    }  # fmt: skip
    [gained] = table(folder, "evaluations")
    assert gained["prompts"] == gained["rewarded"] == 8
    assert gained["change_low"] <= gained["change"] <= gained["change_high"]
    assert len(table(folder, "turns")) == 16 // 4 * 4 * 3
    assert len(table(folder, "metrics")) == len({row["id"] for row in table(folder, "metrics")}) > 0
    report = (folder / "README.md").read_text()
    assert "| held out | after step 3 |" in report and "policy, " in report
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    again = ran(line("one", f"train={learner}", *PRACTICE, *LOOSE), tmp_path)
    assert again.returncode == 0 and "is trained; its adapter is" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["online_dpo", "ppo"])
def test_practice_that_is_killed_goes_on_to_the_same_bytes(learner: str, line: Line, tmp_path: Path) -> None:
    """SIGKILL after each few rows, until it ends by itself."""
    words = [f"train={learner}", *PRACTICE, *LOOSE]
    assert ran(line("whole", *words), tmp_path).returncode == 0
    folder, kills = tmp_path / "broken", 0
    for wanted in (5, 20, 40):
        with subprocess.Popen(line("broken", *words), cwd=tmp_path, env=environment(), stdout=-3) as job:
            while job.poll() is None:
                lines = sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))
                if lines >= wanted:
                    job.send_signal(signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.02)
    assert kills >= 2
    assert ran(line("broken", *words), tmp_path).returncode == 0
    for name in ("turns", "verdicts", "preferences", "metrics", "evaluations"):
        assert table(folder, name) == table(tmp_path / "whole", name), name
    adapters = [(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "broken")]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


@pytest.mark.slow
def test_a_stop_saves_and_says_how_to_go_on(line: Line, tmp_path: Path) -> None:
    """SIGTERM: exit code 75, a checkpoint, and the command."""
    words = ["train=online_dpo", *PRACTICE, *LOOSE]
    with subprocess.Popen(
        line("one", *words), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as job:
        while job.poll() is None and not list((tmp_path / "one").glob("metrics.jsonl")):
            time.sleep(0.02)
        while job.poll() is None and not (tmp_path / "one" / "metrics.jsonl").stat().st_size:
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        out, _ = job.communicate(timeout=120)
    assert job.returncode == 75
    assert "stopped" in out and "continue  python -m arena.train" in out
    assert list((tmp_path / "one" / "checkpoints").glob("step-*"))


@pytest.mark.slow
def test_a_stage_goes_on_from_the_adapter_of_another(line: Line, tmp_path: Path) -> None:
    """DPO from pairs, then practice from its adapter, which is the reference."""
    pairs = write(tmp_path / "pairs.jsonl", *PAIRS)
    first = line("dpo", "conf=learn", "train=dpo", f"data.paths=[{pairs}]", "train.rank=4", "valid=0.2")
    done = ran(first, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    on = line("on", "train=online_dpo", *PRACTICE, *LOOSE, f"agents.policy.adapter={tmp_path / 'dpo'}")
    done = ran([*on, "train.alpha=16"], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "adapter dpo-" in done.stdout
    first_turn = table(tmp_path / "on", "turns")[0]
    assert first_turn["adapter"] == "policy@0"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["conf=learn", "train=sft", "data.paths=[PAIRS]"],
            "not examples: python -m arena.revise makes them",
        ),
        (["conf=learn", "train=dpo", "data.paths=[gone.jsonl]"], "no file"),
        (["conf=learn", "train=dpo"], "data.paths"),
        (["conf=learn", "train=dpo", "data.paths=[BAD]"], "bad.jsonl', line 2: "),
        (["conf=learn", "train=grpo", "data.paths=[PAIRS]"], "name a judge by judge=..."),
        (["train=dpo", "data.paths=[PAIRS]"], "data"),
        (["train=dpoo"], "did you mean 'dpo'?"),
        (["conf=kritic"], "did you mean 'critic'?"),
        (["conf=smollm_duo"], "is for another command: python -m arena.run conf=smollm_duo"),
        (["drafts=1"], "OnlineDPO compares drafts of one prompt: drafts must be at least 2, got 1"),
        (
            ["conf=learn", "train=dpo", "data.paths=[PAIRS]", "data@heldout=files", "heldout.paths=[PAIRS]"],
            "`data` and `heldout` hold the same prompts",
        ),
        (["conf=learn", "train=grpo", "data.paths=[PAIRS]", "drafts=2"], "not used here: set train.drafts"),
        (["conf=learn", "train=sft", "data.paths=[PAIRS]", "drafts=2"], "not used here: leave it out"),
        (["conf=sentiment", "train.kl_coef=0.1"], "the stage sentiment_reward does not take all of"),
        (["batch=1000"], "are fewer than the 1000 of a step: set batch=48, or passes=21"),
        (["batch=0"], "batch must be at least 1, got 0"),
        (["valid=1.5"], "valid is a share of the data and must be in [0, 1), got 1.5"),
        (["report_to=[tensorbord]"], "report_to names 'tensorbord'; known are"),
        (
            ["conf=learn", "data=oasst", "agent@agents.policy=human"],
            "the seat 'policy' cannot learn: Human has no weights here",
        ),
        (["agents.policy.adapter=gone"], "no adapter in 'gone'"),
        (["train.lr=0"], "lr > 0"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What was found, what is allowed, what to do; nothing is left behind that binds the next try."""
    from hydra.core.global_hydra import GlobalHydra

    from arena.train.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["arena.train"])
    pairs = write(tmp_path / "pairs.jsonl", *PAIRS)
    bad = write(tmp_path / "bad.jsonl", PAIRS[0], {"prompt": "q", "chosen": 3, "rejected": "x"})
    given = [word.replace("PAIRS", str(pairs)).replace("BAD", str(bad)) for word in words]
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as ended:
        main(["display=quiet", *given])
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert told in err
    assert (out, ended.value.code) == ("", 2)


def test_a_stop_in_a_part_of_a_job_stops_the_whole(tmp_path: Path) -> None:
    """A stage that ends in order though it was asked to stop is the last one."""
    with job.signals() as outer:
        with job.signals() as inner:
            signal.raise_signal(signal.SIGTERM)
        assert inner.reason == outer.reason == "SIGTERM"


@pytest.mark.slow
def test_other_records_than_those_it_began_with_are_refused(line: Line, tmp_path: Path) -> None:
    """Also where there are as many of them."""
    pairs = write(tmp_path / "pairs.jsonl", *PAIRS)
    words = ["conf=learn", "train=dpo", f"data.paths=[{pairs}]", "train.rank=4", "valid=0"]
    first = ran(line("one", *words), tmp_path)
    assert first.returncode == 0, first.stderr[-2000:]
    (tmp_path / "one" / "run.json").write_text("{}")
    write(pairs, *[{**row, "chosen": "another"} for row in PAIRS])
    done = ran(line("one", *words), tmp_path)
    assert done.returncode == 2 and "was started with another records" in done.stderr
