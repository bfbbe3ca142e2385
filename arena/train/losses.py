"""Preference losses as pure functions of log-probabilities.

Notation: `h` (pairs,) is the difference of log-ratios,
(log pi - log ref)(chosen) - (log pi - log ref)(rejected), in nats over whole completions.
"""

import math
from collections.abc import Callable

import torch
from torch.nn.functional import logsigmoid, relu, softplus

LN2 = math.log(2)
"""The sigmoid loss of a policy that equals its reference."""


def sigmoid(h: torch.Tensor, beta: float, margin: torch.Tensor) -> torch.Tensor:
    """-log sigma(beta h): DPO (Rafailov et al. 2023, Eq. 7). (pairs,)."""
    return softplus(-beta * h)


def ipo(h: torch.Tensor, beta: float, margin: torch.Tensor) -> torch.Tensor:
    """(h - 1 / (2 beta))^2: IPO (Azar et al. 2023, Eq. 17), h of log-ratios averaged over tokens. (pairs,).

    The average keeps long completions from dominating; TRL reports that the authors mean it so.
    """
    return (h - 1 / (2 * beta)) ** 2


def hinge(h: torch.Tensor, beta: float, margin: torch.Tensor) -> torch.Tensor:
    """max(0, 1 - beta h): SLiC's margin on the DPO reward (Zhao et al. 2023; Liu et al. 2023). (pairs,)."""
    return relu(1 - beta * h)


def exo(h: torch.Tensor, beta: float, margin: torch.Tensor) -> torch.Tensor:
    """KL(softmax of beta log-ratios || softmax of rewards) over two drafts: EXO (Ji et al. 2024, Eq. 14).

    `margin` (pairs,) is the difference of the two rewards.
    """
    policy, target = beta * h, margin
    win = torch.sigmoid(policy) * (logsigmoid(policy) - logsigmoid(target))
    lose = torch.sigmoid(-policy) * (logsigmoid(-policy) - logsigmoid(-target))
    return win + lose


def mse(h: torch.Tensor, beta: float, margin: torch.Tensor) -> torch.Tensor:
    """(beta h - margin)^2: the implicit reward's difference regressed on the judge's. (pairs,).

    For two drafts the partition function cancels in the difference (Gao et al. 2024, REBEL, Eq. 4).
    """
    return (beta * h - margin) ** 2


LOSSES: dict[str, Callable[[torch.Tensor, float, torch.Tensor], torch.Tensor]] = {
    "sigmoid": sigmoid,
    "ipo": ipo,
    "hinge": hinge,
    "exo": exo,
    "mse": mse,
}

PER_TOKEN = frozenset({"ipo"})
"""Losses whose `h` is the difference of log-ratios averaged over each completion's tokens."""
