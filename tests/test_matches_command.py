"""The command that has models meet, from its settings to the folder that it leaves, with tiny weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from families import LLAMA, Family

from arena import evaluate

Checkpoint = Callable[[Family], Path]


def ran(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as ended:
        evaluate.main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def tiny(checkpoint: Path, *seats: str) -> list[str]:
    """Settings of a match among tiny weights."""
    parts = [f"agents.{seat}" for seat in seats] + ["evaluation.agent"]
    each = ("checkpoint=" + str(checkpoint), "max_new_tokens=12")
    return [
        "conf=match", "precision=fp32", "device=cpu", "count=6", "evaluation.pairwise.mass=0",
        *(f"{part}.{setting}" for part in parts for setting in each),
    ]  # fmt: skip


def results(folder: str) -> dict[str, Any]:
    """What a match left for programs."""
    found: dict[str, Any] = json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))
    return found


def questions(path: Path) -> str:
    """A file of questions of two turns."""
    rows = [{"id": f"t-{i}", "category": "made", "turns": [f"Say {i}.", "Say it again."]} for i in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_two_seats_meet(checkpoint: Checkpoint, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Report, numbers and tables; the same command again asks nobody, and a later one takes the answers."""
    settings = tiny(checkpoint(LLAMA), "expert", "plain")
    assert ran(*settings, "judge=rating", "+judge.rater.mass=0", "--plain") == 0
    shown = capsys.readouterr().out
    assert "expert over plain" in shown and "self_judging" in shown and "6 questions are too few" in shown
    first = results("runs/evaluate-match")
    assert first["counts"]["comparisons"] == 6
    assert {row["measure"] for row in first["findings"]} >= {"expert over plain", "relative score", "rating"}
    rows = load_dataset("json", data_files="runs/evaluate-match/matches.jsonl", split="train")
    assert set(rows["category"]) == {"dialogue", "qa", "summary"}
    text = Path("runs/evaluate-match/README.md").read_text(encoding="utf-8")
    assert "config_name: matches" in text and "## Comparisons" in text
    assert ran(*settings, "judge=rating", "+judge.rater.mass=0", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["findings"] == first["findings"]
    later = ["evaluation.answers={old: 'runs/evaluate-match:plain'}", "hydra.run.dir=runs/later"]
    assert ran(*tiny(checkpoint(LLAMA), "expert", "plain"), *later, "-q") == 0
    assert len(results("runs/later")["standings"]) == 3
    assert _said("later", "old") == _said("evaluate-match", "plain") != _said("later", "expert")


def _said(run: str, speaker: str) -> dict[str, str]:
    """What a contestant said, by dialogue."""
    lines = (Path("runs") / run / "turns.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["dialogue"]: row["content"] for row in map(json.loads, lines) if row["speaker"] == speaker}


@pytest.mark.slow
def test_a_file_of_two_turns_is_asked(checkpoint: Checkpoint, runs: Path) -> None:
    """Both turns of each question are judged."""
    source = ["problems=questions", f"problems.path={questions(Path('q.jsonl'))}", "count=4"]
    assert ran(*tiny(checkpoint(LLAMA), "expert", "plain"), *source, "evaluation.stop=true", "-q") == 0
    found = results("runs/evaluate-match")
    assert (found["counts"]["turns"], found["counts"]["comparisons"]) == (8, 8)


def test_what_cannot_be_is_answered_in_a_line(
    checkpoint: Checkpoint, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One seat, equal seats, more questions than there are."""
    settings = tiny(checkpoint(LLAMA), "expert", "plain")
    assert ran(*settings, "~agents.plain") == 2
    assert "a match needs two contestants or more, found expert" in capsys.readouterr().err
    assert ran(*settings, "agents.expert.system=") == 2
    assert "expert and plain have the same weights" in capsys.readouterr().err
    assert ran(*settings, "count=99") == 2
    assert "36 distinct problems, 99 were asked for" in capsys.readouterr().err
