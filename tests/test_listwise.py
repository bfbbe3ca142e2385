"""Listwise learning: its two losses, its reference, and that it learns to rank."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from memo_desk import MemoDesk

from agents import ConfigError, Message, Reply
from agents.backbone import Lora, load
from agents.families import Llama
from arena.train.listwise import Listwise, in_order
from arena.train.losses import LOSSES, listwise_exo, listwise_mse
from rewards.verdict import Ranking

NUMBERS = st.floats(-5, 5)
QUICK: dict[str, Any] = {"rank": 4, "alpha": 8.0, "lr": 1e-2, "batch": 4}


def ranking(place: int, good: str = "you say", bad: str = "the er", poor: str = "an in") -> Ranking:
    """Three drafts, the first the best."""
    prompt = (Message(role="user", content=f"what {place}"),)
    return Ranking(f"r{place}", prompt, (Reply(good), Reply(bad), Reply(poor)), (1.0, -0.5, -1.0))


@pytest.fixture
def agent(checkpoint: Callable[..., Path]) -> Llama:
    """A tiny Llama on weights that nobody has touched."""
    load.cache_clear()
    return Llama(checkpoint=str(checkpoint(families.LLAMA)), precision="fp32", device="cpu")


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.floats(0.05, 2))
def test_two_drafts_are_the_case_of_a_pair(a: float, b: float, r: float, s: float, beta: float) -> None:
    """EXO of a list of two is EXO of the pair, as its formula; in the pair's MSE the partition cancels."""
    ratios = torch.tensor([a, b], dtype=torch.float64)
    rewards = torch.tensor([r, s], dtype=torch.float64)
    h, margin = ratios[:1] - ratios[1:], rewards[:1] - rewards[1:]
    p, q = 1 / (1 + math.exp(-beta * (a - b))), 1 / (1 + math.exp(-(r - s)))
    by_formula = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert float(listwise_exo(ratios, beta, rewards)) == pytest.approx(by_formula, abs=1e-9)
    assert float(LOSSES["exo"](h, beta, margin)) == pytest.approx(by_formula, abs=1e-9)
    off = ratios - rewards / beta  # each draft's deviation, but for log Z, which is the same for both
    pair = float(LOSSES["mse"](h, beta, margin))
    assert pair == pytest.approx(beta**2 * float(off[0] - off[1]) ** 2, abs=1e-6)


def test_exo_by_hand() -> None:
    """Uniform against 1/2, 1/4, 1/4; and nothing where policy and judge agree."""
    rewards = torch.tensor([math.log(2), 0.0, 0.0])
    third = 1 / 3
    expected = third * math.log(third * 2) + 2 * third * math.log(third * 4)
    assert float(listwise_exo(torch.zeros(3), 0.1, rewards)) == pytest.approx(expected, abs=1e-6)
    assert float(listwise_exo(rewards / 0.1, 0.1, rewards)) == pytest.approx(0, abs=1e-6)


def test_mse_by_hand() -> None:
    """Rewards ln 1, ln 2, ln 3 at beta 1: Z is 2, and the wanted log-ratios are ln 1/2, ln 1, ln 3/2."""
    rewards = torch.tensor([1.0, 2.0, 3.0]).log()
    expected = (math.log(2) ** 2 + math.log(1.5) ** 2) / 3
    assert float(listwise_mse(torch.zeros(3), 1.0, rewards)) == pytest.approx(expected, abs=1e-6)


@given(st.lists(NUMBERS, min_size=2, max_size=6), st.floats(0.01, 2))
def test_the_best_policy_of_theory_has_no_loss(values: list[float], beta: float) -> None:
    """It is ref exp(r / beta) / Z, with Z the mean over the drafts; also where exp(r / beta) overflows."""
    rewards = torch.tensor(values, dtype=torch.float64)
    wanted = rewards / beta
    top = float(wanted.max())
    log_z = top + math.log(sum(math.exp(float(w) - top) for w in wanted) / len(values))
    assert float(listwise_mse(wanted - log_z, beta, rewards)) == pytest.approx(0, abs=1e-9)
    assert float(listwise_exo(wanted - log_z, beta, rewards)) == pytest.approx(0, abs=1e-9)


def test_large_rewards_do_not_overflow() -> None:
    """exp(1e4) is infinite; loss and gradient are not."""
    for loss in (listwise_exo, listwise_mse):
        ratios = torch.zeros(2, requires_grad=True)
        value = loss(ratios, 0.01, torch.tensor([100.0, -100.0]))
        value.backward()  # type: ignore[no-untyped-call]
        assert math.isfinite(float(value.detach()))
        assert ratios.grad is not None and bool(ratios.grad.isfinite().all())


def test_pairs_in_order_by_hand() -> None:
    """Equal rewards make no pair, equal ratios half a point."""
    assert in_order([3.0, 2.0, 2.0], [1.0, 0.0, -1.0]) == [1.0, 1.0, 0.5]
    assert in_order([1.0, 2.0, 0.0], [1.0, 0.0, 0.0]) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"loss": "dpo"}, "exo, mse"),
        ({"beta": 0.0}, "beta=0.0"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"loss": "mse", "temperature": 0.5}, "no temperature"),
        ({"batch": 0}, "batch=0"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: dict[str, Any], named: str) -> None:
    """By its name."""
    with pytest.raises(ConfigError, match=named):
        Listwise(**settings)


def test_a_ranking_of_one_draft_is_refused(agent: Llama, tmp_path: Path) -> None:
    """And so is one with more drafts than rewards."""
    prompt = (Message(role="user", content="what"),)
    desk: Any = MemoDesk(tmp_path)
    for replies, rewards in (((Reply("a"),), (1.0,)), ((Reply("a"), Reply("b")), (1.0,))):
        with pytest.raises(ConfigError, match="odd: a ranking needs two"):
            Listwise().fit(agent, [Ranking("odd", prompt, replies, rewards)], [], desk)


@pytest.mark.parametrize("begun", [False, True])
def test_the_first_loss_is_that_of_the_reference(agent: Llama, begun: bool, tmp_path: Path) -> None:
    """All log-ratios are 0: also where the policy begins from an adapter, which is then the reference."""
    if begun:
        agent.learn_as("before", Lora(4, 8.0, agent.lora_targets))
        for parameter in agent.backbone.adapter_parameters("before"):
            parameter.data.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
        agent.backbone.save_adapter("before", tmp_path / "begun")
        load.cache_clear()
        agent = Llama(
            checkpoint=agent.source[0], precision="fp32", device="cpu", adapter=str(tmp_path / "begun")
        )
    desk: Any = MemoDesk(tmp_path)
    Listwise(temperature=0.5, **QUICK).fit(agent, [ranking(0), ranking(1)], [], desk)
    expected = float(listwise_exo(torch.zeros(3), 1.0, torch.tensor([2.0, -1.0, -2.0])))
    assert desk.metrics[1]["loss"] == pytest.approx(expected, abs=1e-5)
    assert not desk.evaluations


@pytest.mark.parametrize("loss", ["exo", "mse"])
def test_it_learns_to_rank(loss: str, agent: Llama, tmp_path: Path) -> None:
    """Prompts that were not trained on: a coin before, right after; the loss falls on both."""
    desk: Any = MemoDesk(tmp_path)
    train, valid = [ranking(i) for i in range(8)], [ranking(i) for i in range(20, 24)]
    Listwise(loss=loss, beta=0.5, epochs=10, **QUICK).fit(agent, train, valid, desk)
    first, last = desk.evaluations[0], desk.evaluations[20]
    assert (first["rankings"], first["pairs"], first["accuracy"]) == (4, 12, 0.5)
    assert last["accuracy"] - last["accuracy_half"] > 0.5
    assert last["loss"] < 0.5 * first["loss"]
    assert desk.metrics[20]["loss"] < 0.5 * desk.metrics[1]["loss"]


def test_drafts_of_equal_rewards_are_no_measurement(agent: Llama, tmp_path: Path) -> None:
    """There is a note instead of a number."""
    alike = Ranking("a", ranking(0).prompt, (Reply("a"), Reply("b")), (1.0, 1.0))
    desk: Any = MemoDesk(tmp_path)
    Listwise(**QUICK).fit(agent, [ranking(0)], [alike, alike], desk)
    assert not desk.evaluations
    assert "fewer than two held-out rankings" in desk.notes[0]
