"""What the learners on TRL's trainers share: fp32 adapters, resuming, stops, divergence, silence."""

import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import offline
import pytest
import torch

from agents import adapters
from agents.dialogue import Reply
from agents.errors import ConfigError
from arena.scribe import Stop, Stopped
from arena.train.dpo import DPO
from arena.train.errors import Diverged
from arena.train.grpo import GRPO, RLOO
from arena.train.reward import Reward
from arena.train.settings import Settings
from arena.train.sft import SFT
from arena.train.subject import Subject
from arena.train.through_trl import ThroughTRL
from rewards.judge import Judge
from rewards.rating import Length

pytestmark = pytest.mark.slow
"""Each trains a few steps through TRL."""

SMALL: dict[str, Any] = {"lr": 1e-2, "epochs": 2, "rank": 4, "alpha": 8.0, "save_every": 2, "eval_every": 0}
LEARNERS: dict[str, Callable[..., ThroughTRL]] = {
    "sft": SFT,
    "reward": Reward,
    "dpo": DPO,
    "rloo": RLOO,
    "grpo": GRPO,
}
SHORT = {"batch_size": 4, "max_new_tokens": 6}


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama."""
    return checkpoint(families.LLAMA)


def learner(name: str, **options: Any) -> ThroughTRL:
    """A learner with small settings."""
    return LEARNERS[name](**SMALL, **(SHORT if name in ("rloo", "grpo") else {}), **options)


def material(name: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Records to train on, records held out, and the judge if one is needed."""
    if name == "sft":
        return offline.examples(12), offline.examples(2), []
    if name in ("reward", "dpo"):
        return offline.pairs(12), offline.pairs(2), []
    return offline.problems(6), offline.problems(2), [Judge(rater=Length(4), pair_truncated=True)]


def fit(name: str, folder: Path, run: Path, stop_at: int = 0, kill: bool = False, **options: Any) -> None:
    """Train in the run folder `run`; ask it to stop while it does step `stop_at`, or kill it there."""
    train, valid, judge = material(name)
    stop = Stop()
    with offline.desk(run, stop) as desk:
        desk.display = offline.StopsAt(stop, stop_at, kill)
        learner(name, **options).fit(offline.policy(folder), train, valid, desk, *judge)


@pytest.mark.parametrize(
    "name", [n if n == "sft" else pytest.param(n, marks=pytest.mark.slow) for n in LEARNERS]
)
def test_a_stopped_run_goes_on_to_the_same_bytes(name: str, folder: Path, tmp_path: Path) -> None:
    """Adapter and rows: stopped after step 3 of 6 or so, in the second epoch, between two checkpoints."""
    fit(name, folder, tmp_path / "straight")
    with pytest.raises(Stopped):
        fit(name, folder, tmp_path / "stopped", stop_at=3)
    assert not (tmp_path / "stopped" / "adapter").exists()
    kept = sorted(path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir())
    assert kept[-1] == "step-000003"
    fit(name, folder, tmp_path / "stopped")
    expected, found = (offline.tensors(tmp_path / run / "adapter") for run in ("straight", "stopped"))
    assert expected.keys() == found.keys() and expected
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    rows = [
        [{k: v for k, v in row.items() if k != "ts"} for row in offline.table(tmp_path / run, table)]
        for run in ("straight", "stopped")
        for table in ("metrics", "evaluations")
    ]
    assert rows[:2] == rows[2:]
    assert [row["step"] for row in rows[0]] == list(range(1, len(rows[0]) + 1))


def test_a_finished_run_is_finished_again_without_a_step(folder: Path, tmp_path: Path) -> None:
    """A kill between the last checkpoint and the adapter loses nothing."""
    fit("sft", folder, tmp_path)
    before = offline.tensors(tmp_path / "adapter")
    (tmp_path / "adapter").rename(tmp_path / "gone")
    fit("sft", folder, tmp_path)
    assert all(torch.equal(before[key], t) for key, t in offline.tensors(tmp_path / "adapter").items())
    assert len(offline.table(tmp_path, "metrics")) == 4


def test_a_killed_run_goes_on_from_its_newest_whole_checkpoint(folder: Path, tmp_path: Path) -> None:
    """To the same bytes; a torn checkpoint is not taken, and a step that is done again has one row."""
    fit("sft", folder, tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        fit("sft", folder, tmp_path / "killed", stop_at=3, kill=True)
    assert [path.name for path in (tmp_path / "killed" / "checkpoints").iterdir()] == ["step-000002"]
    torn = tmp_path / "killed" / "checkpoints" / "writing"
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"\x00")
    fit("sft", folder, tmp_path / "killed")
    expected, found = (offline.tensors(tmp_path / run / "adapter") for run in ("straight", "killed"))
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert [row["step"] for row in offline.table(tmp_path / "killed", "metrics")] == [1, 2, 3, 4]


def test_other_records_than_the_checkpoint_s_are_refused(folder: Path, tmp_path: Path) -> None:
    """Its place in the data would be another."""
    with pytest.raises(Stopped):
        fit("sft", folder, tmp_path, stop_at=3)
    with (
        offline.desk(tmp_path) as desk,
        pytest.raises(ConfigError, match="12 training records and there are 9"),
    ):
        learner("sft").fit(offline.policy(folder), offline.examples(9), [], desk)


@pytest.mark.parametrize("precision", ["bf16", "nf4"])
@pytest.mark.parametrize("name", ["sft", "reward", "dpo"])
def test_adapters_are_fp32_whatever_the_base_is(
    name: str, precision: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL casts them to bf16 on 4-bit weights, where small updates are lost."""
    subjects: list[Subject] = []
    of = Subject.of.__func__  # type: ignore[attr-defined]

    def kept(cls: type[Subject], *arguments: Any) -> Subject:
        subjects.append(of(cls, *arguments))
        return subjects[-1]

    monkeypatch.setattr(Subject, "of", classmethod(kept))
    train, valid, _ = material(name)
    with offline.desk(tmp_path) as desk:
        LEARNERS[name](**{**SMALL, "lr": 1e-6, "epochs": 0.5}).fit(
            offline.policy(folder, precision), train, valid, desk
        )
    (subject,) = subjects
    trained = {key: p for key, p in subject.model.named_parameters() if p.requires_grad}
    assert trained.keys() == subject.start.keys()
    assert {p.dtype for p in trained.values()} == {torch.float32}
    moved = [key for key, p in trained.items() if not torch.equal(p, subject.start[key])]
    assert any("lora_B" in key for key in moved)
    stored = offline.tensors(tmp_path / "adapter")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_learning_goes_on_from_the_initial_adapter(name: str, folder: Path, tmp_path: Path) -> None:
    """The first measurement is that of the initial adapter; its rank and alpha cannot be others."""
    with offline.desk(tmp_path / "first") as desk:
        learner("sft").fit(offline.policy(folder), offline.examples(12), offline.examples(3), desk)
    start = offline.policy(folder, adapter=str(tmp_path / "first"))
    train, valid, _ = material(name)
    with offline.desk(tmp_path / "second") as desk:
        learner(name).fit(start, train, valid if name == "dpo" else offline.examples(3), desk)
    first, second = (offline.table(tmp_path / run, "evaluations") for run in ("first", "second"))
    if name == "sft":
        assert second[0]["loss"] == pytest.approx(first[-1]["loss"], rel=1e-5)
        assert second[-1]["loss"] < second[0]["loss"]
    else:
        # The reference is the initial adapter, not the bare model.
        assert second[0]["margin"] == 0.0
        assert offline.table(tmp_path / "second", "metrics")[0]["loss"] == pytest.approx(0.693147, abs=1e-5)
    with offline.desk(tmp_path / "third") as desk, pytest.raises(ConfigError, match="rank=4 and alpha=8"):
        LEARNERS[name](**{**SMALL, "rank": 8}).fit(start, train, [], desk)


def test_a_loss_that_is_no_number_leaves_the_last_good_adapter(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found before the optimiser's step, and a checkpoint has the weights of the step before."""
    from trl import SFTTrainer

    plain, calls = SFTTrainer.compute_loss, []

    def broken(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        loss = plain(self, *arguments, **options)
        return loss * float("nan") if len(calls) > 5 else loss  # the only pass of step 4

    with pytest.raises(Stopped):
        fit("sft", folder, tmp_path / "good", stop_at=3)
    monkeypatch.setattr(SFTTrainer, "compute_loss", broken)
    with pytest.raises(Diverged, match="diverged at step 4: loss = nan"):
        fit("sft", folder, tmp_path / "bad")
    expected, found = (
        offline.tensors(tmp_path / run / "checkpoints" / "step-000003") for run in ("good", "bad")
    )
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert all(bool(tensor.isfinite().all()) for tensor in found.values())
    assert not (tmp_path / "bad" / "adapter").exists()


def test_a_gradient_that_is_no_number_is_found_as_well(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finite loss can have one."""
    from trl import SFTTrainer

    plain = SFTTrainer.compute_loss

    def broken(self: Any, *arguments: Any, **options: Any) -> Any:
        loss = plain(self, *arguments, **options)
        return loss + 0.0 * torch.sqrt(loss - loss.detach())  # the slope of a root at 0 is infinite

    monkeypatch.setattr(SFTTrainer, "compute_loss", broken)
    with pytest.raises(Diverged, match="diverged at step 1: gradient = nan"):
        fit("sft", folder, tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_long_records_are_left_out_and_counted(folder: Path, tmp_path: Path) -> None:
    """None is cut; if all are too long, that is an error."""
    long = offline.examples(4)
    long[1] = type(long[1])("long", offline.prompt(1), "water " * 200)
    with offline.desk(tmp_path) as desk:
        learner("sft", max_tokens=200).fit(offline.policy(folder), long, [], desk)
        notes = [facts["text"] for event, facts in desk.display.events if event == "note"]
    assert notes == ["1 of 4 records have more than max_tokens=200 tokens and are left out"]
    with (
        offline.desk(tmp_path / "none") as desk,
        pytest.raises(ConfigError, match="none of the 4 .*max_tokens=9"),
    ):
        learner("sft", max_tokens=9).fit(offline.policy(folder), long, [], desk)


def test_token_ids_are_those_of_the_policy_without_its_weights(folder: Path) -> None:
    """Template, end of turn and special tokens written as text."""
    policy = offline.policy(folder, system="You are <|eot_id|>.")
    subject = Subject.of(policy, Settings(rank=4))
    said = [{"role": "system", "content": policy.system}, {"role": "user", "content": "what <|eot_id|> says"}]
    for reply in (Reply("the model"), Reply("cut", "length", (5, 6))):
        assert subject.agent.completion_ids(reply) == policy.completion_ids(reply)
    assert subject.agent.prompt_ids(said) == policy.prompt_ids(said)  # type: ignore[arg-type]
    assert subject.agent.ends == policy.ends
    assert subject.fresh


def test_nothing_is_printed_logged_or_sent(
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TRL's logs, bars, model cards and telemetry stay out; so do connections to a hub."""

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.delenv("CI", raising=False)
    level = logging.getLogger("trl").level
    fit("dpo", folder, tmp_path)
    out = capfd.readouterr()
    assert (out.out, out.err) == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert logging.getLogger("trl").level == level
    assert not (tmp_path / "trainer").exists()
    assert not list(tmp_path.rglob("README.md")) + list(tmp_path.rglob("*.bin"))


def test_the_order_of_records_and_the_adapter_s_start_go_by_the_seed(folder: Path, tmp_path: Path) -> None:
    """The same seed gives the same losses, another one others."""
    losses = []
    for run, seed in enumerate((1, 1, 2)):
        fit("sft", folder, tmp_path / str(run), seed=seed)
        losses.append([row["loss"] for row in offline.table(tmp_path / str(run), "metrics")])
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
def test_recomputed_activations_do_not_change_what_is_learned(folder: Path, tmp_path: Path) -> None:
    """Checkpointing costs time, not accuracy, and gradients reach the adapter."""
    for name in ("sft", "reward"):
        for on in (False, True):
            fit(name, folder, tmp_path / f"{name}{on}", checkpointing=on)
        plain, again = (offline.table(tmp_path / f"{name}{on}", "metrics") for on in (False, True))
        assert [r["loss"] for r in again] == pytest.approx([r["loss"] for r in plain], rel=1e-5)
        assert again[0]["grad_norm"] > 0


def test_an_adapter_is_found_and_stored_as_peft_s_own(folder: Path, tmp_path: Path) -> None:
    """One adapter in the run folder and in each checkpoint; nothing in its settings says that TRL made it."""
    with pytest.raises(Stopped):
        fit("dpo", folder, tmp_path, stop_at=2)
    assert adapters.find(tmp_path) == tmp_path / "checkpoints" / "step-000002"
    fit("dpo", folder, tmp_path)
    stored = adapters.stored(tmp_path)
    assert (stored.folder, stored.rank, stored.alpha) == (tmp_path / "adapter", 4, 8.0)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["task_type"], config["base_model_name_or_path"]) == ("CAUSAL_LM", str(folder))
    assert set(os.listdir(tmp_path / "adapter")) == {"adapter_config.json", "adapter_model.safetensors"}


def test_the_rate_rises_from_the_first_step_on_and_falls_to_0(folder: Path, tmp_path: Path) -> None:
    """Transformers begins a warm-up with a rate of 0; the rows tell the rates that were taken."""
    fit("sft", folder, tmp_path, warmup=2)
    found = [row["lr"] for row in offline.table(tmp_path, "metrics")]
    assert found == pytest.approx([5e-3, 1e-2, 1e-2, 5e-3])
    shares = {
        name: [round(Settings(schedule=name, warmup=0.25).share(done, 8), 3) for done in range(9)]
        for name in ("linear", "cosine", "constant")
    }
    assert shares["linear"] == [0.5, 1.0, 1.0, 0.833, 0.667, 0.5, 0.333, 0.167, 0.0]
    assert shares["cosine"][3:6] == [0.933, 0.75, 0.5]
    assert shares["constant"] == [0.5] + [1.0] * 8


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.0},
        {"epochs": 0},
        {"batch_size": 0},
        {"warmup": -1},
        {"schedule": "square"},
        {"lr": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """Before any weights are loaded."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        SFT(**options)
