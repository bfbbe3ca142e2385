"""What PPO is told, and what it tells: its settings, and the numbers of an update."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agents.errors import ConfigError


@dataclass(frozen=True)
class PPOUpdate:
    """What one step of the learner did. Per-token numbers are means over completion tokens, in nats."""

    samples: int
    """Drafts with a reward."""
    left_out: int
    """Drafts without one, or on another scale."""
    tokens: int
    score: float
    """Mean reward of the judge, as it gave it."""
    reward: float
    """Mean over samples of the sum of KL-shaped token rewards."""
    kl: float
    """Mean per token of log pi - log ref, before the update."""
    kl_coef: float
    """What it was weighed with."""
    loss: float
    """Mean over the minibatches of all epochs, as are the parts of the loss and what is said of the ratio."""
    policy_loss: float
    value_loss: float
    ptx_loss: float
    """Negative log-likelihood per token of supervised examples; 0 where none are mixed in."""
    entropy: float
    """Of the distributions that tokens were chosen from, before the update."""
    clip_fraction: float
    """Share of tokens whose ratio went as far as it may, in [0, 1]."""
    approx_kl: float
    """KL(old policy || new) per token."""
    explained_variance: float
    """Of the returns by the values, before the update: at most 1; 0 for a critic that knows nothing."""
    length: float
    """Mean tokens of a draft."""
    truncated: float
    """Share of drafts cut at the token limit, in [0, 1]."""
    grad_norm: float
    """Of the adapter, before clipping; mean over the optimiser's steps."""
    steps: int
    """The optimiser's steps; fewer than epochs times minibatches where `max_kl` ended them."""
    seconds: float


@dataclass(eq=False, repr=False)
class PPOSettings:
    """How PPO learns.

    Args:
        lr: learning rate of the adapter; adapters want 1e-5 or more.
        value_lr: learning rate of the value head.
        epochs: passes over the samples of a step, at least 1.
        minibatches: optimiser's steps of an epoch, at least 1; a prompt's drafts stay together.
        clip: how far the probability ratio may move, above 0.
        value_clip: how far a value may move, above 0.
        value_coef: weight of the value loss; its gradient reaches the adapter too.
        entropy_coef: weight of the entropy, which is rewarded.
        kl_coef: price of a nat of log pi - log ref.
        kl_target: nats per token that `kl_coef` is adapted to; None keeps it as it is.
        kl_horizon: samples over which it adapts, above 0.
        gamma: discount, in [0, 1].
        lam: lambda of the advantage estimates, in [0, 1].
        whiten: whether advantages are brought to mean 0 and variance 1 over the rollout.
        reward_clip: judge's rewards are clipped to this size, above 0.
        reward_scale: whether they are divided by their standard deviation so far, before clipping.
        missing_eos_penalty: taken from the reward of a draft that was cut at the token limit, at least 0.
        max_kl: KL(old || new) in nats per token that ends an update's epochs; None never does.
        ptx: supervised examples to mix in (InstructGPT: Ouyang et al. 2022, Eq. 2), an `arena.corpus.Corpus`.
        ptx_coef: weight of their loss.
        ptx_examples: examples in each minibatch, at least 1.
        rank: of the adapter.
        alpha: LoRA's scale is alpha / rank.
        micro_tokens: tokens in one forward pass, if a prompt's drafts do not take more.
        warmup: steps over which the rates rise linearly.
        max_grad_norm: gradients are clipped to this norm, the adapter's and the head's each on its own.
        checkpointing: recompute activations in the backward pass, to save memory.
        seed: of the adapter's initial weights, of minibatches and of the examples drawn.
    """

    lr: float = 1e-4
    value_lr: float = 1e-3
    epochs: int = 4
    minibatches: int = 1
    clip: float = 0.2
    value_clip: float = 0.2
    value_coef: float = 0.1
    entropy_coef: float = 0.0
    kl_coef: float = 0.05
    kl_target: float | None = None
    kl_horizon: float = 1000.0
    gamma: float = 1.0
    lam: float = 0.95
    whiten: bool = True
    reward_clip: float = 5.0
    reward_scale: bool = False
    missing_eos_penalty: float = 0.0
    max_kl: float | None = None
    ptx: Any = None
    ptx_coef: float = 1.0
    ptx_examples: int = 8
    rank: int = 16
    alpha: float = 16.0
    micro_tokens: int = 1024
    warmup: int = 0
    max_grad_norm: float = 1.0
    checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings; weights come with `attach`."""
        above = (
            "lr",
            "value_lr",
            "clip",
            "value_clip",
            "kl_horizon",
            "reward_clip",
            "max_grad_norm",
            "alpha",
        )
        counts = ("epochs", "minibatches", "ptx_examples", "rank", "micro_tokens")
        least = ("value_coef", "entropy_coef", "kl_coef", "missing_eos_penalty", "ptx_coef", "warmup")
        optional = [name for name in ("kl_target", "max_kl") if getattr(self, name) is not None]
        self._demand("above 0", [*above, *optional], lambda x: x > 0)
        self._demand("whole and at least 1", counts, lambda x: x >= 1 and x == int(x))
        self._demand("at least 0", least, lambda x: x >= 0)
        self._demand("in [0, 1]", ("gamma", "lam"), lambda x: 0 <= x <= 1)
        if self.kl_target is not None and not self.kl_coef:
            raise ConfigError(
                "kl_target adapts kl_coef by factors, and kl_coef=0 stays 0: set kl_coef above 0"
            )

    def _demand(self, what: str, names: Sequence[str], fits: Callable[[float], bool]) -> None:
        wrong = [f"{name}={getattr(self, name)!r}" for name in names if not fits(getattr(self, name))]
        if wrong:
            raise ConfigError(f"PPO needs {', '.join(names)} {what}, got {', '.join(wrong)}")
