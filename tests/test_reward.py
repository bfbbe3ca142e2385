"""Reward models from pairs: the loss, the control, the head and where it reads."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import offline
import pytest
import torch
from safetensors.torch import load_file

from agents.dialogue import Reply
from agents.errors import ConfigError
from arena.stats.intervals import wilson
from arena.train.reward import Reward, in_order, longer
from arena.train.settings import Settings
from arena.train.subject import Subject
from rewards.verdict import Preference

SMALL: dict[str, Any] = {"lr": 1e-2, "rank": 4, "alpha": 8.0}


@pytest.fixture
def folder(checkpoint: Callable[..., Path]) -> Path:
    """A tiny random Llama."""
    return checkpoint(families.LLAMA)


def pair(chosen: Reply, rejected: Reply, margin: float = 1.0) -> Preference:
    """A pair of answers to one question."""
    return Preference(offline.prompt(1), chosen, rejected, margin)


def test_the_pairs_are_learned(folder: Path, tmp_path: Path) -> None:
    """Held-out pairs of the same kind come into order; the folder has the head, and one score per pair."""
    with offline.desk(tmp_path) as desk:
        Reward(**SMALL, epochs=2).fit(offline.policy(folder), offline.pairs(12), offline.pairs(5), desk)
    first, *_, last = offline.table(tmp_path, "evaluations")
    assert (last["pairs"], last["correct"], last["accuracy"]) == (5, 5.0, 1.0)
    assert (last["low"], last["high"]) == wilson(1.0, 5)
    assert last["margin"] > first["margin"]
    rows = offline.table(tmp_path, "metrics")
    assert rows[-1]["loss"] < rows[0]["loss"]
    head = load_file(tmp_path / "adapter" / "reward_head.safetensors")
    assert {key: tuple(tensor.shape) for key, tensor in head.items()} == {"weight": (1, 64)}
    adapter = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert all(".lora_" in key for key in adapter)


@pytest.mark.parametrize(
    ("options", "kept"), [({}, False), ({"margin": True}, True), ({"center": 0.1}, False)]
)
def test_the_loss_is_that_of_the_paper(
    options: dict[str, Any], kept: bool, folder: Path, tmp_path: Path
) -> None:
    """Computed from the scores of the first weights: -log sigma(difference - margin) + center (sum)^2."""
    records = [pair(Reply("it floats"), Reply("no"), 1.0), pair(Reply("is"), Reply("water is heavier"), 2.5)]
    subject = Subject.of(offline.policy(folder), Settings(**SMALL), True)
    scores = [
        tuple(
            subject.model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long)).logits.item()
            for ids in (row["chosen_ids"], row["rejected_ids"])
        )
        for row in Reward().rows(subject.agent, records)
    ]
    expected = [
        math.log1p(math.exp(-(chosen - rejected - (margin if kept else 0.0))))
        + options.get("center", 0.0) * (chosen + rejected) ** 2
        for (chosen, rejected), margin in zip(scores, (1.0, 2.5), strict=True)
    ]
    with offline.desk(tmp_path) as desk:
        Reward(**SMALL, **options).fit(offline.policy(folder), records, records, desk)
    assert offline.table(tmp_path, "metrics")[0]["loss"] == pytest.approx(sum(expected) / 2, rel=1e-5)
    margins = [chosen - rejected for chosen, rejected in scores]
    first = offline.table(tmp_path, "evaluations")[0]
    assert first["margin"] == pytest.approx(sum(margins) / 2, rel=1e-4)
    assert first["correct"] == sum(margin > 0 for margin in margins)


def test_the_score_is_read_at_the_last_token_however_a_row_is_padded(folder: Path) -> None:
    """Also where the last token is the padding token, which transformers' own class passes over."""
    subject = Subject.of(offline.policy(folder), Settings(**SMALL), True)
    end = subject.agent.completion_ids(Reply("a"))[-1]
    rows = [[5, 6, 7, end], [5, 6, end, end, end, end], [8, 9]]
    alone = [
        subject.model(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long)).logits.item()
        for row in rows
    ]
    ids = torch.tensor([row + [end] * (6 - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (6 - len(row)) for row in rows])
    assert subject.model(ids, mask).logits[:, 0].tolist() == pytest.approx(alone, abs=1e-5)
    assert len({round(value, 3) for value in alone}) == 3


def test_an_end_of_turn_is_read_only_where_a_reply_ended(folder: Path) -> None:
    """And tokens that another model sampled are not taken for this one's."""
    agent = offline.policy(folder)
    (row,) = Reward().rows(agent, [pair(Reply("it floats", ids=(1, 2)), Reply("it floats", "length"))])
    assert row["chosen_ids"][:-1] == row["rejected_ids"]
    assert row["chosen_ids"][-1] == agent.completion_ids(Reply("x"))[-1]
    assert Reward().size(row) == len(row["chosen_ids"])


def test_order_counts_ties_as_halves_and_stands_beside_length() -> None:
    """A model that says nothing of a pair is not right."""
    found = in_order([0.5, 0.0, -2.0, 1.0], [1.0, 0.5, 1.0, 1.0])
    assert (found["pairs"], found["correct"], found["accuracy"], found["margin"]) == (4, 2.5, 0.625, -0.125)
    assert (found["low"], found["high"]) == wilson(0.625, 4)
    assert (found["longer"], found["longer_low"], found["longer_high"]) == (0.875, *wilson(0.875, 4))
    assert [longer(pair(Reply("a b"), Reply(text))) for text in ("a", "c d", "a b c")] == [1.0, 0.5, 0.0]


def test_the_same_seed_draws_the_same_head(folder: Path) -> None:
    """Normal, with variance 1 / (hidden + 1)."""
    heads = [
        Subject.of(offline.policy(folder), Settings(**SMALL, seed=seed), True).head.weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    assert heads[0].std().item() == pytest.approx(1 / math.sqrt(65), rel=0.3)


def test_a_weight_below_zero_is_refused() -> None:
    """Scores would be driven apart."""
    with pytest.raises(ConfigError, match="center must be at least 0"):
        Reward(center=-0.1)
