"""RLOO and GRPO, by TRL's trainers."""

from typing import TYPE_CHECKING, Any

from agents.errors import ConfigError
from arena.train.grouped import Grouped

if TYPE_CHECKING:
    from arena.train.desk import Desk
    from arena.train.subject import Subject

LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo")
SCALES = ("group", "batch", "none")


class RLOO(Grouped):
    """REINFORCE with the mean of the group's other answers as the baseline (Ahmadian et al. 2024).

    The KL divergence is taken off the reward of a whole answer.

    Args:
        settings: see `arena.train.grouped.Grouped`.
    """

    def trainer(self, subject: "Subject", arguments: dict[str, Any], rows: Any, desk: "Desk") -> Any:
        """TRL's RLOOTrainer."""
        from trl import RLOOConfig, RLOOTrainer

        return self.build(RLOOTrainer, subject, RLOOConfig(**{**arguments, **self.grouping()}), rows)


class GRPO(Grouped):
    """Group-relative policy optimisation (Shao et al. 2024): the group's mean as the baseline.

    Args:
        loss: how tokens are averaged: `grpo` (in each answer), `dr_grpo` (by the token limit, Liu et al.
            2025), `dapo` (over the step, Yu et al. 2025), `bnpo` (over a pass).
        scale: what advantages are divided by: the deviation of rewards in the `group` or `batch`, or `none`.
        settings: see `arena.train.grouped.Grouped`.
    """

    def __init__(self, loss: str = "dapo", scale: str = "group", **settings: Any) -> None:
        """Check the settings."""
        super().__init__(**settings)
        if loss not in LOSSES or scale not in SCALES:
            raise ConfigError(
                f"loss={loss!r} or scale={scale!r} is not known; allowed are {', '.join(LOSSES)} and "
                f"{', '.join(SCALES)}"
            )
        self.loss, self.scale = loss, scale

    def trainer(self, subject: "Subject", arguments: dict[str, Any], rows: Any, desk: "Desk") -> Any:
        """TRL's GRPOTrainer."""
        from trl import GRPOConfig, GRPOTrainer

        own = {**self.grouping(), "loss_type": self.loss, "scale_rewards": self.scale}
        return self.build(GRPOTrainer, subject, GRPOConfig(**{**arguments, **own}), rows)
