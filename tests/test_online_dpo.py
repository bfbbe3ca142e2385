"""The learner: the same loss, rewards and gradients as TRL's DPOTrainer, and its own bookkeeping."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import pytest
import torch
import transformers

from agents import ConfigError, Message, Reply, Scripted, scoring
from agents.families import Llama
from arena.benchmark.work import own_attention
from arena.train.online_dpo import OnlineDPO
from rewards.verdict import Preference

TEXTS = [
    ("why does ice float", "because it is lighter", "no idea"),
    ("what is a proof", "a chain of steps that anyone can check", "it is a thing that a person says"),
    ("who judges the judge", "people do", "nobody does, and nobody can, and nobody wants to"),
]
EPSILON = 0.2
"""The target of TRL's `exo_pair`: the rejected reply's share."""


def preferences(margin: float = 1.0) -> list[Preference]:
    """Three pairs of replies of different lengths."""
    return [
        Preference((Message(role="user", content=q),), Reply(good), Reply(bad), margin)
        for q, good, bad in TEXTS
    ]


def learner(folder: Path, **options: Any) -> OnlineDPO:
    """A learner on a tiny Llama whose adapter already does something."""
    agent = Llama(checkpoint=str(folder), precision="fp32", device="cpu")
    made = OnlineDPO(rank=4, alpha=8.0, **options)
    from agents.backbone import load

    load.cache_clear()
    made.attach(agent, "ada")
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters:
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    return made


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama."""
    return checkpoint(families.LLAMA)


def trl_step(ours: OnlineDPO, pairs: list[Preference], loss_type: str, tmp_path: Path) -> dict[str, Any]:
    """Loss, implicit rewards and gradients of `trl.DPOTrainer` on the same weights and token ids."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class PassThrough(DPOTrainer):  # type: ignore[misc]
        """Takes token ids as they are: re-tokenising text would change them."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    agent = ours.agent
    rows = [
        {
            "prompt_ids": agent.prompt_ids(pair.prompt),
            "chosen_ids": agent.completion_ids(pair.chosen),
            "rejected_ids": agent.completion_ids(pair.rejected),
        }
        for pair in pairs
    ]
    config = DPOConfig(
        output_dir=str(tmp_path),
        beta=ours.beta,
        loss_type=loss_type,
        label_smoothing=EPSILON if loss_type == "exo_pair" else 0.0,
        max_length=None,
        per_device_train_batch_size=len(rows),
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = PassThrough(
        model=agent.backbone._peft,
        ref_model=transformers.AutoModelForCausalLM.from_pretrained(agent.source[0]),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=agent.backbone.tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    order = [
        next(i for i, row in enumerate(rows) if row["chosen_ids"] == _chosen(batch, n)) for n in range(3)
    ]
    assert sorted(order) == [0, 1, 2]
    # TRL calls the model without saying which token sees which, as our attention wants it.
    with agent.backbone.speaking_as("ada"), own_attention(agent.backbone.model):
        loss = trainer.compute_loss(agent.backbone._peft, batch)
        loss.backward()
    metrics = {key: values[-1] for key, values in trainer._metrics["eval"].items()}
    gradients = [parameter.grad.clone() for parameter in ours.parameters]
    for parameter in ours.parameters:
        parameter.grad = None
    return {"loss": float(loss.detach()), "metrics": metrics, "gradients": gradients}


def _chosen(batch: Any, row: int) -> list[int]:
    return list(batch["input_ids"][row][batch["completion_mask"][row].bool()].tolist())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("ours", "theirs", "margin"),
    [
        ("sigmoid", "sigmoid", 1.0),
        ("hinge", "hinge", 1.0),
        ("ipo", "ipo", 1.0),
        ("exo", "exo_pair", math.log((1 - EPSILON) / EPSILON)),
    ],
)
def test_loss_rewards_and_gradients_equal_those_of_trl(
    ours: str, theirs: str, margin: float, folder: Path, tmp_path: Path
) -> None:
    """fp32, one batch, to 1e-5 (a loss above 10, as IPO has here: to 1e-6 of it); ours in several passes."""
    made = learner(folder, loss=ours, micro_tokens=120)
    pairs = preferences(margin)
    expected = trl_step(made, pairs, theirs, tmp_path)
    made.agent.backbone.model.eval()
    packs = made._packs(pairs, 120)
    assert len(packs) > 1
    sums = made._accumulate(packs, made._reference(packs), len(pairs))
    assert sums["loss"] == pytest.approx(expected["loss"], abs=1e-5, rel=1e-6)
    assert sums["reward_chosen"] == pytest.approx(expected["metrics"]["rewards/chosen"], abs=1e-5)
    assert sums["reward_rejected"] == pytest.approx(expected["metrics"]["rewards/rejected"], abs=1e-5)
    for parameter, gradient in zip(made.parameters, expected["gradients"], strict=True):
        assert parameter.grad is not None
        scale = float(gradient.abs().max())
        assert scale > 0
        assert float((parameter.grad - gradient).abs().max()) <= 1e-5 * max(1.0, scale)


def test_a_fresh_adapter_has_the_loss_ln_two(folder: Path) -> None:
    """Policy and reference are the same weights before the first update."""
    made = OnlineDPO(rank=4)
    made.attach(Llama(checkpoint=str(folder), precision="fp32", device="cpu"), "fresh")
    update = made.step(preferences())
    assert update is not None
    assert update.loss == pytest.approx(math.log(2), abs=1e-6)
    assert (update.margin, update.kl, update.accuracy) == (0.0, 0.0, 0.5)


def test_updates_raise_the_margin(folder: Path) -> None:
    """Ten steps on one batch move it the right way, and leave the base alone."""
    made = learner(folder, lr=1e-2)
    before = {k: v.clone() for k, v in made.agent.backbone.model.state_dict().items() if "lora_" not in k}
    updates = [made.step(preferences()) for _ in range(10)]
    assert updates[-1] is not None and updates[0] is not None
    assert updates[-1].margin > updates[0].margin + 0.5
    after = made.agent.backbone.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_micro_batches_do_not_change_the_gradient(folder: Path) -> None:
    """A sum over accumulation steps would (TRL's experimental online trainer makes one)."""
    norms = []
    for tokens in (1, 10_000):
        update = learner(folder, micro_tokens=tokens).step(preferences())
        assert update is not None
        norms.append((update.grad_norm, update.loss, update.kl))
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_out_of_memory_halves_the_passes_and_changes_no_gradient(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and what was accumulated before the failure does not count twice."""
    expected = learner(folder).step(preferences())
    made = learner(folder)
    plain, most = scoring.completion_logps, []

    def scarce(backbone: Any, pack: scoring.Pack) -> Any:
        most.append(len(pack.ids))
        if len(pack.ids) > 150 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("not enough")
        return plain(backbone, pack)

    monkeypatch.setattr(scoring, "completion_logps", scarce)
    found = made.step(preferences())
    assert expected is not None and found is not None
    assert max(most) > 150
    assert found.grad_norm == pytest.approx(expected.grad_norm, rel=1e-4)
    assert "out of memory: learning goes on" in caplog.text


def test_a_pair_that_does_not_fit_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of one pair cannot be halved."""

    def never(*_: object) -> None:
        raise torch.OutOfMemoryError("not enough")

    monkeypatch.setattr(scoring, "completion_logps", never)
    with pytest.raises(torch.OutOfMemoryError):
        learner(folder).step(preferences())


def test_recomputed_activations_do_not_change_the_update(folder: Path) -> None:
    """Checkpointing costs time, not accuracy."""
    plain, recomputed = (learner(folder, checkpointing=on).step(preferences()) for on in (False, True))
    assert plain is not None and recomputed is not None
    assert recomputed.grad_norm == pytest.approx(plain.grad_norm, rel=1e-4)


def test_a_saved_learner_continues_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Adapter and optimiser are both kept."""
    straight = learner(folder, lr=1e-3)
    for _ in range(4):
        straight.step(preferences())
    expected = straight.agent.backbone.adapter_state("ada")
    first = learner(folder, lr=1e-3)
    for _ in range(2):
        first.step(preferences())
    first.save(tmp_path)
    second = learner(folder, lr=1e-3)
    second.load(tmp_path)
    assert second.agent.version == "ada@2"
    for _ in range(2):
        second.step(preferences())
    found = second.agent.backbone.adapter_state("ada")
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_no_pairs_make_no_update(folder: Path) -> None:
    """A step of ties leaves the adapter as it is."""
    made = learner(folder)
    assert made.step([]) is None
    assert made.agent.updates == 0


def test_a_seat_without_weights_cannot_learn() -> None:
    """The error says what to do."""
    with pytest.raises(ConfigError, match="'bob' cannot learn.*take it out of `learners`"):
        OnlineDPO().attach(Scripted(["x"]), "bob")


@pytest.mark.parametrize("options", [{"lr": 0.0}, {"beta": -1.0}, {"loss": "dpo"}, {"micro_tokens": 0}])
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """Before any weights are loaded."""
    with pytest.raises(ConfigError, match="got|allowed"):
        OnlineDPO(**options)
