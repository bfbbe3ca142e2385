"""The command that evaluates, from its settings to the folder that it leaves, with tiny weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_dataset
from families import LLAMA, Family

from agents.backbone import Lora, load
from agents.local import Local
from arena import evaluate
from arena.evaluation.trained import take_adapter, trained

Checkpoint = Callable[[Family], Path]
QUICK = ["precision=fp32", "device=cpu", "agents.policy.max_new_tokens=12"]


def learned(checkpoint: Path, folder: Path) -> None:
    """Leave an adapter, as a training does, that changes what the checkpoint says."""
    load.cache_clear()  # tests before this one may have left an adapter of this name on the weights
    agent: Local = LLAMA.agent(str(checkpoint), precision="fp32", device="cpu")
    name = folder.name
    agent.learn_as(name, Lora(seed=3))
    with torch.no_grad():
        for parameter in agent.backbone.adapter_parameters(name):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)) * 0.1)
    agent.backbone.save_adapter(name, folder / "adapter")


def papers(path: Path, first: int, count: int, year: int) -> str:
    """A file of rated papers."""
    rows = [
        {
            "id": f"p{i}",
            "year": year,
            "title": f"On {i}",
            "abstract": f"We study the number {i}.",
            "ratings": [1 + i % 9, 6],
        }
        for i in range(first, first + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"[{path}]"


def ran(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as ended:
        evaluate.main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def results(folder: str) -> dict[str, Any]:
    """What a run left for programs."""
    found: dict[str, Any] = json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))
    return found


def critic(checkpoint: Path, runs: Path) -> list[str]:
    """Settings of a critic that was trained in runs/critic."""
    learned(checkpoint, runs / "critic")
    return [
        "conf=critic", f"agents.policy.checkpoint={checkpoint}", *QUICK,
        f"data.paths={papers(Path('train.jsonl'), 0, 5, 2017)}",
        f"heldout.paths={papers(Path('held.jsonl'), 50, 6, 2018)}", "evaluation.critic.rater.mass=0",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_critic_is_measured_with_the_adapter_of_its_training(
    checkpoint: Checkpoint, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report, its numbers and its tables; again, nothing is rated anew and the numbers are the same."""
    settings = critic(checkpoint(LLAMA), runs)
    assert ran(*settings, "--plain") == 0
    shown = capsys.readouterr().out
    assert "MSE" in shown and "rated by critic: 6" in shown
    first = results("runs/evaluate-critic")
    assert {row["arm"] for row in first["findings"]} == {"critic", "untrained", "mean", "median"}
    report = Path("runs/evaluate-critic/README.md").read_text(encoding="utf-8")
    assert "| MSE | critic |" in report and "densities_of_ratings.png" in report
    rows = load_dataset("json", data_files="runs/evaluate-critic/verdicts.jsonl", split="train")
    by_arm = {arm: [r["rating"] for r in rows if r["judge"] == arm] for arm in ("critic", "untrained")}
    assert len(by_arm["critic"]) == 6 and by_arm["critic"] != by_arm["untrained"]
    assert ran(*settings, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "results" and lines[-1]["findings"] == first["findings"]
    assert len(Path("runs/evaluate-critic/verdicts.jsonl").read_text().splitlines()) == 12


@pytest.mark.slow
def test_another_adapter_needs_another_folder(
    checkpoint: Checkpoint, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers of two critics are not mixed."""
    settings = critic(checkpoint(LLAMA), runs)
    assert ran(*settings, "-q") == 0
    learned(checkpoint(LLAMA), runs / "other")
    assert ran(*settings, "-q", "agents.policy.adapter=runs/other") == 2
    assert "hydra.run.dir=runs/NAME" in capsys.readouterr().err


@pytest.mark.slow
def test_a_writer_is_measured(checkpoint: Checkpoint, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the longer text, and by chance."""
    learned(checkpoint(LLAMA), runs / "king")
    settings = [
        "conf=king", f"agents.policy.checkpoint={checkpoint(LLAMA)}", *QUICK, "judge=length",
        "judge@evaluation.second=random", "evaluation.embedder=null", "count=12", "valid=0.5",
    ]  # fmt: skip
    assert ran(*settings, "--plain") == 0
    found = {row["measure"] for row in results("runs/evaluate-king")["findings"]}
    assert {"its judge: reward", "second judge: reward", "distinct-2", "self-BLEU", "words"} <= found
    rows = load_dataset("json", data_files="runs/evaluate-king/turns.jsonl", split="train")
    assert set(rows["speaker"]) == {"untrained", "king"}
    assert "ALARM" in capsys.readouterr().out  # twelve random tokens end nowhere


@pytest.mark.slow
def test_summaries_are_measured_stage_by_stage(checkpoint: Checkpoint, runs: Path) -> None:
    """Against references, without a judge."""
    for stage in ("summarize_sft", "summarize_ppo"):
        learned(checkpoint(LLAMA), runs / stage)
    rows = [{"instruction": f"Sum up {i}.", "input": "", "output": f"The number {i}."} for i in range(8)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = [
        "conf=summarize", f"agents.policy.checkpoint={checkpoint(LLAMA)}", *QUICK,
        "data.paths=[sums.jsonl]", "data.form=alpaca", "valid=0.5", "judge=random", "judge.agent=null",
    ]  # fmt: skip
    assert ran(*settings, "-q") == 0
    arms = [
        row["arm"]
        for row in results(str(next(Path("runs").glob("evaluate-summarize*"))))["findings"]
        if row["measure"] == "rouge1"
    ]
    assert arms == ["untrained", "sft", "ppo"]


def test_what_was_not_trained_yet_is_said(
    checkpoint: Checkpoint, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that trains it."""
    settings = ["conf=king", f"agents.policy.checkpoint={checkpoint(LLAMA)}", "judge=length"]
    assert ran(*settings) == 2
    assert "run python -m arena.train conf=king first" in capsys.readouterr().err


def test_the_adapter_is_that_of_the_conf_unless_another_is_named(checkpoint: Checkpoint, runs: Path) -> None:
    """Or the bare checkpoint is, by null."""
    learned(checkpoint(LLAMA), runs / "critic")
    learned(checkpoint(LLAMA), runs / "last")
    folder = runs / "evaluate-critic"
    assert trained(folder) == trained(runs / "critic") == "runs/critic"
    assert trained(runs / "evaluate-gone") == ""
    assert trained(runs / "evaluate-several", ["critic", "last"]) == "runs/last"
    for given, taken in (("", "runs/critic"), ("x", "x"), (None, "")):
        part: dict[str, Any] = {"adapter": given}
        take_adapter(part, folder)
        assert part == {"adapter": taken}
    remote: dict[str, Any] = {"url": "x"}
    take_adapter(remote, folder)
    assert remote == {"url": "x"}
