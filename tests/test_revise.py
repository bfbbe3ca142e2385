"""`arena.revise` from its command line: exact numbers of revisions, real prompts, kills, what is learned."""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import pytest
from chat_server import Chats, Endpoint
from test_collect import endpoint, environment, problems, refused, run, tables, timeless, trains
from trainers import one_step

from arena.feedback.rows import REVISE_TABLES
from arena.revise import main

__all__ = ["endpoint", "problems"]  # fixtures


@pytest.fixture
def small(checkpoint: Callable[..., Path]) -> list[str]:
    """Settings of a quick revision on tiny random weights, which never give a verdict."""
    folder = checkpoint(families.SMOLLM)
    return [
        f"agents.ada.checkpoint={folder}", "agents.ada.max_new_tokens=12", "agents.ada.decoding.min_p=0.0",
        "count=6", "precision=fp32", "device=cpu", "display=plain", "judge=length",
        "judge.pair_truncated=true",
    ]  # fmt: skip


def versions(found: dict[str, list[dict[str, Any]]]) -> Counter[str]:
    """Dialogue -> revisions that its chain has: results of feedback, each of them once."""
    return Counter(row["dialogue"] for row in found["feedback"] if row["outcome"] == "revised")


@pytest.mark.slow
@pytest.mark.parametrize("minimum", [0, 2])
def test_a_revision_writes_chains_and_as_many_revisions_as_are_enforced(
    small: list[str], minimum: int, tmp_path: Path
) -> None:
    """Feedback without a verdict stops a chain here, unless revisions are enforced."""
    settings = [*small, f"min_revisions={minimum}", "max_revisions=2", "unclear=stop"]
    run("revise", *settings, cwd=tmp_path, OMP_NUM_THREADS="1")
    folder = tmp_path / "runs/self_feedback"
    found = tables(folder, REVISE_TABLES)
    made = versions(found)
    assert [made[f"d{i:04d}"] for i in range(6)] == [minimum] * 6
    assert Counter(row["status"] for row in found["feedback"] if row["kind"] == "feedback")
    assert len(found["verdicts"]) == 6 * (minimum + 1)
    report = (folder / "README.md").read_text(encoding="utf-8")
    assert "equal length" in report if minimum else "revision" in report
    again = run("revise", *settings, cwd=tmp_path, OMP_NUM_THREADS="1")
    assert "continued from its record" in again.stdout and tables(folder, REVISE_TABLES) == found
    assert "answer" in run("show", "self_feedback", "d0000", cwd=tmp_path).stdout


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL's own
def test_a_panel_of_three_is_judged_at_the_end(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Every seat answers and revises; the best last answer over the worst."""
    folder = checkpoint(families.SMOLLM)
    seats = [
        setting
        for seat in ("ada", "bob", "eve")
        for setting in (
            f"agents.{seat}.checkpoint={folder}",
            f"agents.{seat}.max_new_tokens={8 if seat == 'ada' else 16}",
            f"agents.{seat}.decoding.min_p=0.0",
        )
    ]
    rest = ["count=3", "max_revisions=1", "precision=fp32", "judge=length", "judge.pair_truncated=true"]
    run("revise", "conf=panel", *seats, *rest, "display=plain", cwd=tmp_path, OMP_NUM_THREADS="1")
    found = tables(tmp_path / "runs/panel", REVISE_TABLES)
    assert Counter(row["speaker"] for row in found["turns"]) == {"ada": 6, "bob": 6, "eve": 6}
    assert [row["number"] for row in _numbered(found["turns"])] == list(range(6))
    panel = [row for row in found["preferences"] if row["kind"] == "panel"]
    assert len(panel) == len(found["examples"]) >= 1
    said = [tuple(len(row[side][0]["content"].split()) for side in ("chosen", "rejected")) for row in panel]
    assert all(chosen > rejected for chosen, rejected in said)
    learns(tmp_path / "runs/panel/examples.jsonl", folder, tmp_path)
    assert "panel" in (tmp_path / "runs/panel/README.md").read_text(encoding="utf-8")


def learns(file: Path, model: Path, folder: Path) -> None:
    """One step of TRL's SFTTrainer on a file of examples; the loss is on the completion alone."""
    from trl import SFTConfig, SFTTrainer

    trainer = one_step(SFTTrainer, SFTConfig, file, model, folder)
    [batch] = list(trainer.get_train_dataloader())[:1]
    assert (batch["labels"] == -100).any() and (batch["labels"] != -100).any()


def _numbered(turns: list[dict[str, Any]]) -> list[dict[str, int]]:
    own = [row["turn"] for row in turns if row["dialogue"] == "d0000"]
    return [{"number": number} for number in sorted(own)]


@pytest.mark.slow
def test_a_revision_that_is_killed_ends_like_one_that_was_not(small: list[str], tmp_path: Path) -> None:
    """SIGKILL when some rows have been added; no row twice, the same in the end."""
    settings = [*small, "min_revisions=1", "max_revisions=2", "chunk=3"]
    run("revise", *settings, "hydra.run.dir=runs/whole", cwd=tmp_path, OMP_NUM_THREADS="1")
    killed, kills = tmp_path / "runs/killed", 0
    line = [sys.executable, "-m", "arena.revise", *settings, "hydra.run.dir=runs/killed"]
    for more in (1, 8, 15):
        process = subprocess.Popen(
            line,
            cwd=tmp_path,
            env=environment(OMP_NUM_THREADS="1"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before = written(killed)
        while process.poll() is None and written(killed) < before + more:
            time.sleep(0.02)
        process.kill()
        kills += process.wait(timeout=60) == -signal.SIGKILL
    assert kills >= 2
    run("revise", *settings, "hydra.run.dir=runs/killed", cwd=tmp_path, OMP_NUM_THREADS="1")
    found = tables(killed, REVISE_TABLES)
    assert all(len({row["id"] for row in own}) == len(own) for own in found.values())
    assert timeless(found) == timeless(tables(tmp_path / "runs/whole", REVISE_TABLES))


def written(folder: Path) -> int:
    """Lines in the tables."""
    files = [folder / f"{name}.jsonl" for name in REVISE_TABLES]
    return sum(file.read_bytes().count(b"\n") for file in files if file.exists())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("feedback=teacher", "there is none: seat one by agent@teacher=NAME"),
        ("feedback=peers", "seat two authors or more"),
        ("min_revisions=5", "min_revisions must be between 0 and max_revisions=2, got 5"),
        (
            "feedback=teacher agent@teacher=smollm rubric=feedback_gold problems.tasks=[dialogue]",
            "needs a correct answer to every question",
        ),
        ("rubric=feedbak", "no rubric 'feedbak'; shipped are"),
        ("example=all", "example='all' is not known; allowed are chain, last"),
        ("max_revision=2", "unknown key 'max_revision', did you mean 'max_revisions'?"),
        ("conf=by_difficulty", "is for another command: python -m arena.collect conf=by_difficulty"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    arguments: str, told: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is loaded; exit code 2."""
    refused(main, arguments, told, capsys)
    assert written(runs / "self_feedback") == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL's own
def test_sixty_real_prompts_on_real_weights_with_a_teacher_on_a_server(
    smollm2: str, problems: list[str], endpoint: Endpoint, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """One revision each, enforced; chains are read by arena.show, by datasets and by TRL unchanged."""
    from agents.families import SmolLM

    endpoint.answer = Chats(SmolLM(max_new_tokens=40))
    settings = [
        *problems, "feedback=teacher", "agent@teacher=remote", f"teacher.url={endpoint.url}",
        "teacher.model=tiny", "teacher.max_new_tokens=40", "teacher.in_flight=32", "min_revisions=1",
        "max_revisions=1", "agents.ada.max_new_tokens=48", "judge.pair_truncated=true", "display=plain",
        f"teacher.cache={tmp_path / 'replies'}", "judge.agent=${agents.ada}",
    ]  # fmt: skip
    done = run("revise", *settings, cwd=tmp_path)
    folder = tmp_path / "runs/self_feedback"
    found = tables(folder, REVISE_TABLES)
    print(done.stdout[-2500:])
    made = versions(found)
    short = {row["dialogue"] for row in found["feedback"] if row["outcome"] not in ("revised", "given")}
    assert len(made) + len(short - set(made)) >= 60, "a chain without its revision says why"
    assert len(made) >= 50 and set(made.values()) == {1}
    assert len(found["verdicts"]) + len(found["failures"]) >= 110
    if found["preferences"]:
        trains(folder / "preferences.jsonl", checkpoint(families.SMOLLM), tmp_path)
    shown = run("show", "self_feedback", "d0001", cwd=tmp_path).stdout
    assert "revision 1" in shown and "teacher" in shown
