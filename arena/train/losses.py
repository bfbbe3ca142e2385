"""Preference losses as pure functions of log-probabilities.

Notation for two drafts: `h` (pairs,) is the difference of log-ratios,
(log pi - log ref)(chosen) - (log pi - log ref)(rejected), in nats over whole completions.
"""

import math
from collections.abc import Callable

import torch
from torch.nn.functional import relu, softplus

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
    """`listwise_exo` of two drafts: only differences count, so that the worse one's numbers may be 0.

    `margin` (pairs,) is the difference of the two rewards.
    """
    return listwise_exo(_against_zero(h), beta, _against_zero(margin))


def mse(h: torch.Tensor, beta: float, margin: torch.Tensor) -> torch.Tensor:
    """(beta h - margin)^2: the implicit reward's difference regressed on the judge's. (pairs,).

    For two drafts the partition function cancels in the difference (Gao et al. 2024, REBEL, Eq. 4);
    `listwise_mse` estimates it.
    """
    return (beta * h - margin) ** 2


def listwise_exo(ratios: torch.Tensor, beta: float, rewards: torch.Tensor) -> torch.Tensor:
    """KL(softmax of beta log-ratios || softmax of rewards) over drafts: EXO (Ji et al. 2024, Eq. 14).

    Args:
        ratios: (..., drafts) log pi - log ref of whole completions, in nats.
        beta: strength of the tie to the reference, above 0.
        rewards: (..., drafts) already divided by their temperature.

    Returns:
        (...,) at least 0; 0 where both rank the drafts with the same probabilities.
    """
    policy, target = (beta * ratios).log_softmax(-1), rewards.log_softmax(-1)
    return (policy.exp() * (policy - target)).sum(-1)


def listwise_mse(ratios: torch.Tensor, beta: float, rewards: torch.Tensor) -> torch.Tensor:
    """Mean over drafts of (log-ratio - r / beta + log Z)^2, in nats squared (DAIF's third learner).

    The best policy has log pi / ref = r / beta - log Z with Z = E_ref exp(r / beta) (Rafailov et al. 2023,
    Eq. 4); the mean of exp(r / beta) over drafts that the reference wrote estimates Z.

    Args:
        ratios: (..., drafts) log pi - log ref of whole completions, in nats.
        beta: strength of the tie to the reference, above 0.
        rewards: (..., drafts)

    Returns:
        (...,) at least 0.
    """
    wanted = rewards / beta
    log_z = wanted.logsumexp(-1, keepdim=True) - math.log(rewards.shape[-1])
    return ((ratios - wanted + log_z) ** 2).mean(-1)


def _against_zero(difference: torch.Tensor) -> torch.Tensor:
    return torch.stack([difference, torch.zeros_like(difference)], -1)


LOSSES: dict[str, Callable[[torch.Tensor, float, torch.Tensor], torch.Tensor]] = {
    "sigmoid": sigmoid,
    "ipo": ipo,
    "hinge": hinge,
    "exo": exo,
    "mse": mse,
}

LISTWISE: dict[str, Callable[[torch.Tensor, float, torch.Tensor], torch.Tensor]] = {
    "exo": listwise_exo,
    "mse": listwise_mse,
}

PER_TOKEN = frozenset({"ipo"})
"""Losses whose `h` is the difference of log-ratios averaged over each completion's tokens."""
