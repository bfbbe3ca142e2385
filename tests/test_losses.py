"""Preference losses, with numbers worked out by hand."""

import math

import pytest
import torch

from arena.train.losses import LN2, LOSSES


def value(name: str, h: float, beta: float, margin: float = 1.0) -> float:
    """One loss of one pair."""
    return float(LOSSES[name](torch.tensor([h]), beta, torch.tensor([margin])))


def test_a_policy_that_equals_its_reference_loses_ln_two() -> None:
    """-log sigma(0) = ln 2."""
    assert value("sigmoid", 0.0, 0.1) == pytest.approx(LN2)


@pytest.mark.parametrize(
    ("name", "h", "beta", "margin", "expected"),
    [
        ("sigmoid", 10.0, 0.1, 1.0, math.log(1 + math.exp(-1))),
        ("sigmoid", -10.0, 0.1, 1.0, math.log(1 + math.e)),
        ("ipo", 3.0, 0.1, 1.0, 4.0),  # (3 - 5)^2
        ("hinge", 4.0, 0.1, 1.0, 0.6),
        ("hinge", 20.0, 0.1, 1.0, 0.0),
        ("mse", 4.0, 0.5, 3.0, 1.0),  # (2 - 3)^2
        ("exo", 3.0, 1.0, 3.0, 0.0),  # policy and judge agree
        ("exo", 0.0, 1.0, math.log(3), 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)),
    ],
)
def test_losses_by_hand(name: str, h: float, beta: float, margin: float, expected: float) -> None:
    """Each formula at a point."""
    assert value(name, h, beta, margin) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_better_margin_is_never_worse_below_the_target(name: str) -> None:
    """Every loss falls while the policy moves towards the chosen reply."""
    values = [value(name, h, 0.1, 5.0) for h in (-4.0, -2.0, 0.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)


def test_the_sigmoid_loss_does_not_overflow() -> None:
    """A margin of a thousand nats has a finite loss and gradient."""
    h = torch.tensor([-1e4], requires_grad=True)
    loss = LOSSES["sigmoid"](h, 0.1, torch.tensor([1.0])).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert h.grad is not None
    assert float(loss.detach()) == pytest.approx(1e3)
    assert float(h.grad) == pytest.approx(-0.1)
