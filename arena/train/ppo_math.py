"""The arithmetic of PPO as pure functions.

Completions of different lengths stand one after the other in flat tensors, without padding, so that no
mask can be forgotten. Notation: `(tokens,)` is one number per completion token of a batch, in order;
`lengths` says how many tokens each completion has, and sums to `tokens`. Log-probabilities are in nats.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

KL_STEP = 0.2
"""The largest relative error of the KL that moves its coefficient (Ziegler et al. 2019, section 2.2)."""


def shaped_rewards(
    log_ratios: torch.Tensor, scores: torch.Tensor, lengths: Sequence[int], kl_coef: float
) -> torch.Tensor:
    """r_t = -kl_coef (log pi - log ref)_t, plus the completion's score on its last token.

    R(x, y) = r(x, y) - beta log(pi / rho) of Ziegler et al. 2019, Eq. 2, spread over the tokens.

    Args:
        log_ratios: (tokens,) log pi - log ref of the sampled tokens.
        scores: (completions,).
        lengths: tokens of each completion, all above 0.
        kl_coef: beta, at least 0.

    Returns:
        (tokens,).
    """
    last = torch.tensor(lengths, device=log_ratios.device).cumsum(0) - 1
    return (-kl_coef * log_ratios).index_add(0, last, scores.to(log_ratios))


def gae(
    rewards: torch.Tensor, values: torch.Tensor, lengths: Sequence[int], gamma: float, lam: float
) -> torch.Tensor:
    """Generalised advantage estimates (Schulman et al. 2016, Eq. 16) of each completion.

    A_t = sum over l of (gamma lam)^l delta_{t+l}, delta_t = r_t + gamma V_{t+1} - V_t. A completion ends
    after its last token, where V is 0, also one that was cut at the token limit: its score is what it is
    worth as it stands.

    Args:
        rewards: (tokens,).
        values: (tokens,) V of the state before each token.
        lengths: tokens of each completion.
        gamma: discount, in [0, 1].
        lam: lambda, in [0, 1]: 0 trusts the values, 1 the rewards.

    Returns:
        (tokens,); the returns that values are fitted to are these plus `values`.
    """
    r, v = rewards.double().tolist(), values.double().tolist()
    out = [0.0] * len(r)
    end = 0
    for length in lengths:
        start, end = end, end + length
        advantage = after = 0.0
        for t in reversed(range(start, end)):
            advantage = r[t] + gamma * after - v[t] + gamma * lam * advantage
            after = v[t]
            out[t] = advantage
    return torch.tensor(out, dtype=values.dtype, device=values.device)


def whiten(x: torch.Tensor, shift_mean: bool = True) -> torch.Tensor:
    """`x` (tokens,) with variance 1, and mean 0 unless `shift_mean` is false: then with the mean it had.

    One number, or equal numbers, have no variance: what is left of them is their mean or 0.
    """
    mean = x.mean()
    white = (x - mean) * torch.rsqrt(x.var(correction=0) + 1e-8)
    return white if shift_mean else white + mean


def policy_losses(
    logps: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, clip: float
) -> torch.Tensor:
    """-min(rho A, clip(rho, 1 - clip, 1 + clip) A), rho = pi / pi_old (Schulman et al. 2017, Eq. 7).

    Args:
        logps: (tokens,) of the sampled tokens, now.
        old: (tokens,) when they were sampled.
        advantages: (tokens,).
        clip: epsilon, above 0.

    Returns:
        (tokens,) to be minimised.
    """
    ratio = torch.exp(logps - old)
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def clipped(logps: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, clip: float) -> torch.Tensor:
    """(tokens,) 1.0 where `policy_losses` is flat, since the ratio has gone as far as it may; else 0.0."""
    ratio = torch.exp(logps - old)
    return (((ratio > 1 + clip) & (advantages > 0)) | ((ratio < 1 - clip) & (advantages < 0))).float()


def value_losses(values: torch.Tensor, old: torch.Tensor, returns: torch.Tensor, clip: float) -> torch.Tensor:
    """max((V - R)^2, (V_clip - R)^2) / 2 with V_clip within `clip` of the old V.

    As in the code of Schulman et al. 2017 (OpenAI Baselines, ppo2); all (tokens,), `clip` above 0.
    """
    near = old + (values - old).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def k1(log_ratios: torch.Tensor) -> torch.Tensor:
    """Log(p / q) of samples of p: its mean estimates KL(p || q) without bias (Schulman 2020). (tokens,)."""
    return log_ratios


def k3(log_ratios: torch.Tensor) -> torch.Tensor:
    """q/p - 1 + log(p/q) of samples of p: as `k1`, but never negative and of less variance. (tokens,).

    Schulman 2020, "Approximating KL divergence", where the ratio is r = q/p: (r - 1) - log r.
    """
    return torch.expm1(-log_ratios) + log_ratios


def next_kl_coef(coef: float, kl: float, target: float, samples: int, horizon: float) -> float:
    """The adaptive KL coefficient (Ziegler et al. 2019, section 2.2).

    beta (1 + K e), e = clip(kl / target - 1, -0.2, 0.2), K = samples / horizon, at most 1: log beta moves in
    proportion to the error. A horizon of ten updates' samples is the paper's K = 0.1.

    Args:
        coef: beta of the last update, above 0.
        kl: what was measured.
        target: what it is to be, above 0, in the unit of `kl`.
        samples: completions of the last update.
        horizon: completions over which beta may change by e; above 0.
    """
    error = min(max(kl / target - 1, -KL_STEP), KL_STEP)
    return coef * (1 + error * min(1.0, samples / horizon))


def explained_variance(values: torch.Tensor, returns: torch.Tensor) -> float:
    """1 - Var(R - V) / Var(R) over tokens: 1 is a perfect critic, 0 a constant; below 0 is worse than that.

    0 too where the returns do not vary, since there is nothing to explain.
    """
    variance = float(returns.var(correction=0))
    return 1 - float((returns - values).var(correction=0)) / variance if variance > 0 else 0.0


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of the numbers seen so far."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def with_(self, x: torch.Tensor) -> "Moments":
        """These and the numbers `x` (n,), n above 0 (Chan et al. 1979, the pairwise update)."""
        count, mean = x.numel(), float(x.double().mean())
        total, delta = self.count + count, mean - self.mean
        squares = float(((x.double() - mean) ** 2).sum())
        return Moments(
            total,
            self.mean + delta * count / total,
            self.squares + squares + delta**2 * self.count * count / total,
        )

    @property
    def std(self) -> float:
        """Standard deviation; 1 where the numbers have not varied yet, so that it can be divided by."""
        return (self.squares / self.count) ** 0.5 if self.squares > 0 else 1.0
