"""Offline DPO: the losses of `arena.train.losses`, the reference, and what is held out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import offline
import pytest
import torch

from agents.dialogue import Reply
from agents.errors import ConfigError
from arena.train.dpo import DPO, LOSSES
from arena.train.losses import LOSSES as OURS
from arena.train.losses import PER_TOKEN
from arena.train.sft import SFT
from rewards.verdict import Preference

SMALL: dict[str, Any] = {"lr": 1e-2, "rank": 4, "alpha": 8.0}


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama."""
    return checkpoint(families.LLAMA)


def ratios(policy: Any, reference: Any, pair: Preference) -> list[list[float]]:
    """Log-ratios of the tokens of the chosen and of the rejected answer, by our own engine."""
    replies = [pair.chosen, pair.rejected]
    rows = [agent.logps([pair.prompt] * 2, replies) for agent in (policy, reference)]
    return [[a - b for a, b in zip(*row, strict=True)] for row in zip(*rows, strict=True)]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_that_of_our_own_functions(loss: str, folder: Path, tmp_path: Path) -> None:
    """On the same pairs with an adapter that does something, to 1e-4; the SFT term is added by its weight."""
    records = offline.pairs(3)
    with offline.desk(tmp_path / "warm") as desk:
        DPO(**SMALL, epochs=2).fit(offline.policy(folder), offline.pairs(8), [], desk)
    # A continued run tells the loss of the adapter that it begins with; its reference is a third one.
    warm, bare = offline.policy(folder, adapter=str(tmp_path / "warm")), offline.policy(folder)
    by_token = [ratios(warm, bare, record) for record in records]
    h = torch.tensor(
        [[sum(side) / (len(side) if loss in PER_TOKEN else 1) for side in sides] for sides in by_token]
    )
    expected = OURS[loss](h[:, 0] - h[:, 1], 0.3, torch.ones(3)).mean().item()
    found = losses_with_bare_reference(folder, tmp_path, DPO(**SMALL, beta=0.3, loss=loss), records)
    assert found == pytest.approx(expected, rel=1e-4)
    chosen = [logp for r in records for logp in warm.logps([r.prompt], [r.chosen])[0]]
    mixed = DPO(**SMALL, beta=0.3, loss=loss, sft_weight=0.5)
    found = losses_with_bare_reference(folder, tmp_path, mixed, records)
    assert found == pytest.approx(expected - 0.5 * sum(chosen) / len(chosen), rel=1e-4)


def losses_with_bare_reference(
    folder: Path, tmp_path: Path, learner: DPO, records: list[Preference]
) -> float:
    """TRL's loss of the warm adapter against the bare model."""
    from datasets import Dataset

    from arena.train.subject import Subject, read_adapter
    from arena.train.through_trl import batches, silent

    with silent():
        subject = Subject.of(offline.policy(folder), learner.settings)
        rows = learner.rows(subject.agent, records)
        arguments = learner.settings.arguments(tmp_path / "trainer", "cpu")
        trainer = learner.trainer(subject, arguments, Dataset.from_list(rows), None)  # type: ignore[arg-type]
        subject.restore()
        read_adapter(subject, tmp_path / "warm" / "adapter")
        (batch,) = batches(trainer, rows)
        return float(trainer.compute_loss(trainer.model, dict(batch)).detach())


def test_training_starts_at_the_reference_and_leaves_it(folder: Path, tmp_path: Path) -> None:
    """Loss ln 2 and half of the pairs at first; at the end the margin is what our own engine says."""
    held = offline.pairs(5)
    with offline.desk(tmp_path) as desk:
        DPO(**SMALL, epochs=2).fit(offline.policy(folder), offline.pairs(12), held, desk)
    first, *_, last = offline.table(tmp_path, "evaluations")
    assert (first["margin"], first["accuracy"]) == (0.0, 0.5)
    assert offline.table(tmp_path, "metrics")[0]["loss"] == pytest.approx(0.693147, abs=1e-6)
    policy, bare = offline.policy(folder, adapter=str(tmp_path)), offline.policy(folder)
    margins = []
    for record in held:
        chosen, rejected = (sum(side) for side in ratios(policy, bare, record))
        margins.append(0.1 * (chosen - rejected))
    assert last["margin"] == pytest.approx(sum(margins) / 5, rel=1e-4)
    assert last["correct"] == sum(margin > 0 for margin in margins) == 5


def test_the_reference_of_an_initial_adapter_is_that_adapter(folder: Path, tmp_path: Path) -> None:
    """Also on 4-bit weights, where TRL casts the policy but not its copy."""
    with offline.desk(tmp_path / "sft") as desk:
        SFT(**SMALL).fit(offline.policy(folder, "nf4"), offline.examples(8), [], desk)
    start = offline.policy(folder, "nf4", str(tmp_path / "sft"))
    with offline.desk(tmp_path / "dpo") as desk:
        DPO(**SMALL).fit(start, offline.pairs(8), offline.pairs(2), desk)
    first, *_, last = offline.table(tmp_path / "dpo", "evaluations")
    assert first["margin"] == 0.0 < last["margin"]
    assert set(offline.tensors(tmp_path / "dpo" / "adapter")) == set(
        offline.tensors(tmp_path / "sft" / "adapter")
    )


def test_sampled_tokens_are_kept_as_they_are(folder: Path) -> None:
    """A reply that was cut teaches no end; TRL would add one."""
    agent = offline.policy(folder)
    cut = Preference(offline.prompt(1), Reply("it", "length", (7, 8, 9)), Reply("no"), 1.0)
    (row,) = DPO().rows(agent, [cut])
    assert row["prompt_ids"] == agent.prompt_ids(cut.prompt)
    assert row["chosen_ids"] == [7, 8, 9]
    assert row["rejected_ids"] == agent.completion_ids(Reply("no"))
    assert DPO().size(row) == len(row["prompt_ids"]) + max(3, len(row["rejected_ids"]))


@pytest.mark.parametrize("options", [{"beta": 0.0}, {"loss": "exo"}, {"sft_weight": -1.0}])
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """Before any weights are loaded."""
    with pytest.raises(ConfigError, match=next(iter(options))):
        DPO(**options)
