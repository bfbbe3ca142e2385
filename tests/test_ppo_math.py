"""The arithmetic of PPO against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch import tensor

from arena.train.ppo_math import (
    Moments,
    clipped,
    explained_variance,
    gae,
    k1,
    k3,
    next_kl_coef,
    policy_losses,
    shaped_rewards,
    value_losses,
    whiten,
)


def test_each_token_pays_for_its_distance_and_the_last_one_has_the_score() -> None:
    """Two completions, of two tokens and of one."""
    rewards = shaped_rewards(tensor([0.5, -1.0, 2.0]), tensor([1.0, -3.0]), [2, 1], 0.1)
    assert rewards.tolist() == pytest.approx([-0.05, 0.1 + 1.0, -0.2 - 3.0])


def test_advantages_by_hand() -> None:
    """Gamma = 0.5 and lambda = 0.5, so that a step back counts a quarter; the second starts anew."""
    rewards, values = tensor([0.0, 0.0, 8.0, 1.0]), tensor([1.0, 2.0, 4.0, 3.0])
    # deltas: 0 + 0.5 * 2 - 1 = 0; 0 + 0.5 * 4 - 2 = 0; 8 - 4 = 4; and of the second completion 1 - 3 = -2
    expected = [0.25 * 0.25 * 4, 0.25 * 4, 4.0, -2.0]
    assert gae(rewards, values, [3, 1], 0.5, 0.5).tolist() == pytest.approx(expected)


def test_lambda_zero_trusts_the_values_and_one_the_rewards() -> None:
    """Temporal differences on the one hand, rewards to come less the value on the other."""
    rewards, values = tensor([1.0, 2.0, 3.0]), tensor([0.5, 0.25, -1.0])
    assert gae(rewards, values, [3], 1.0, 0.0).tolist() == pytest.approx([0.75, 0.75, 4.0])
    assert gae(rewards, values, [3], 1.0, 1.0).tolist() == pytest.approx([6 - 0.5, 5 - 0.25, 3 + 1.0])


def test_advantages_are_the_sum_of_the_papers_equation() -> None:
    """Eq. 16 of Schulman et al. 2016 written out, on random completions of lengths 1 to 9."""
    draw = np.random.default_rng(0)
    lengths = [int(n) for n in draw.integers(1, 10, size=6)]
    rewards, values = (draw.normal(size=sum(lengths)) for _ in range(2))
    expected, start = [], 0
    for length in lengths:
        r, v = rewards[start : start + length], [*values[start : start + length], 0.0]
        deltas = [r[t] + 0.9 * v[t + 1] - v[t] for t in range(length)]
        expected += [sum((0.9 * 0.7) ** n * d for n, d in enumerate(deltas[t:])) for t in range(length)]
        start += length
    found = gae(torch.from_numpy(rewards), torch.from_numpy(values), lengths, 0.9, 0.7)
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_whitening_by_hand() -> None:
    """Mean 2 and variance 2/3; without the shift the mean stays."""
    step = math.sqrt(3 / 2)
    assert whiten(tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-step, 0.0, step])
    assert whiten(tensor([1.0, 2.0, 3.0]), shift_mean=False).tolist() == pytest.approx(
        [2 - step, 2, 2 + step]
    )


@pytest.mark.parametrize("numbers", [[5.0], [0.0, 0.0, 0.0], [3.0, 3.0]])
def test_what_does_not_vary_is_white_zero(numbers: list[float]) -> None:
    """No number is divided by zero."""
    assert whiten(tensor(numbers)).tolist() == [0.0] * len(numbers)


def test_the_ratio_is_clipped_where_that_is_worse() -> None:
    """Ratios 1.5 and 0.5 with both signs of the advantage: the pessimistic bound of the paper's Figure 1."""
    old = tensor([0.0, 0.0, 0.0, 0.0, 0.0])
    logps = tensor([math.log(1.5), math.log(0.5), math.log(1.5), math.log(0.5), math.log(1.1)])
    advantages = tensor([2.0, 2.0, -2.0, -2.0, 2.0])
    losses = policy_losses(logps, old, advantages, 0.2)
    assert losses.tolist() == pytest.approx([-2.4, -1.0, 3.0, 1.6, -2.2])
    assert clipped(logps, old, advantages, 0.2).tolist() == [1.0, 0.0, 0.0, 1.0, 0.0]


def test_the_policys_gradient_ends_where_the_clip_begins() -> None:
    """`clipped` names just the tokens without a gradient."""
    logps = tensor([0.5, -0.5, 0.5, -0.5, 0.0], requires_grad=True)
    advantages = tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    old = torch.zeros(5)
    policy_losses(logps, old, advantages, 0.2).sum().backward()  # type: ignore[no-untyped-call]
    assert logps.grad is not None
    flat = (logps.grad == 0).float()
    assert flat.tolist() == clipped(logps.detach(), old, advantages, 0.2).tolist()
    assert float(logps.grad[4]) == pytest.approx(-1.0)  # -rho A at rho = 1


def test_a_value_that_has_moved_too_far_is_held_to_the_worse_of_two_errors() -> None:
    """Towards the return beyond the clip; away from it; and within."""
    values, old, returns = tensor([1.0, -1.0, 0.1]), torch.zeros(3), tensor([1.0, 1.0, 1.0])
    expected = [0.5 * 0.8**2, 0.5 * 2.0**2, 0.5 * 0.9**2]
    assert value_losses(values, old, returns, 0.2).tolist() == pytest.approx(expected)


def test_both_estimates_of_the_kl_are_right_on_the_mean() -> None:
    """Summed over all outcomes with their probabilities, k1 and k3 are the KL; k3 is never negative."""
    p, q = tensor([0.5, 0.3, 0.2]).double(), tensor([0.2, 0.2, 0.6]).double()
    ratios = (p / q).log()
    kl = sum(a * math.log(a / b) for a, b in ((0.5, 0.2), (0.3, 0.2), (0.2, 0.6)))
    assert float((p * k1(ratios)).sum()) == pytest.approx(kl)
    assert float((p * k3(ratios)).sum()) == pytest.approx(kl)
    assert bool((k3(ratios) >= 0).all()) and float(k1(ratios).min()) < 0


@pytest.mark.parametrize(
    ("kl", "samples", "expected"),
    [
        (6.0, 100, 1.0),  # on target
        (6.6, 100, 1 + 0.1 * 0.1),  # a tenth above it
        (60.0, 100, 1 + 0.2 * 0.1),  # far above: the error is clipped
        (-1.0, 100, 1 - 0.2 * 0.1),  # an estimate may be negative
        (60.0, 10**9, 1.2),  # and one update does not more than that
    ],
)
def test_the_kl_coefficient_follows_its_target(kl: float, samples: int, expected: float) -> None:
    """Ziegler's controller with a target of 6 nats and a horizon of 1000."""
    assert next_kl_coef(2.0, kl, 6.0, samples, 1000.0) == pytest.approx(2 * expected)


def test_explained_variance_by_hand() -> None:
    """A perfect critic, a constant, an inverted one, and returns that do not vary."""
    returns = tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns + 5, returns) == pytest.approx(1.0)
    assert explained_variance(torch.ones(3), returns) == pytest.approx(0.0)
    assert explained_variance(-returns, returns) == pytest.approx(-3.0)
    assert explained_variance(returns, torch.ones(3)) == 0.0


def test_moments_of_parts_are_those_of_the_whole() -> None:
    """Taken in three pieces; one number has no deviation to divide by."""
    x = torch.randn(50, generator=torch.Generator().manual_seed(0))
    moments = Moments()
    for part in torch.split(x, [1, 30, 19]):
        moments = moments.with_(part)
    assert moments.mean == pytest.approx(float(x.mean()), rel=1e-5)
    assert moments.std == pytest.approx(float(x.std(correction=0)), rel=1e-5)
    assert Moments().with_(tensor([7.0])).std == 1.0
