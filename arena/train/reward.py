"""A reward model from pairs of answers, by TRL's RewardTrainer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from agents.errors import ConfigError
from arena.stats.intervals import wilson
from arena.train.through_trl import Numbers, Row, ThroughTRL, batches, guarded
from rewards.reward_model import said
from rewards.verdict import Preference

if TYPE_CHECKING:
    from agents.local import Local
    from arena.train.desk import Desk
    from arena.train.subject import Subject


class Reward(ThroughTRL):
    """-log sigma(r(chosen) - r(rejected) - margin): Bradley and Terry 1952, as in Stiennon et al. 2020.

    r is a linear head on the state of the last token, over an adapter on the policy's checkpoint. Held out,
    the share of pairs that are ordered as people ordered them stands beside that of "the longer one wins".

    Args:
        margin: whether the records' margins stand in the loss (Touvron et al. 2023, Eq. 2).
        center: weight of the mean of (r(chosen) + r(rejected))^2, which keeps scores near 0 (Eisenstein et
            al. 2023); 0 leaves it out.
        settings: see `arena.train.settings.Settings`.
    """

    takes: ClassVar[type] = Preference
    scores: ClassVar[bool] = True
    columns: ClassVar[Mapping[str, str]] = {
        "loss": "loss",
        "accuracy": "accuracy",
        "margin": "margin",
        "score": "mean_reward",
        "grad_norm": "grad_norm",
        "lr": "learning_rate",
        "tokens": "num_tokens",
    }

    def __init__(self, margin: bool = False, center: float = 0.0, **settings: Any) -> None:
        """Check the settings."""
        super().__init__(**settings)
        if not center >= 0:
            raise ConfigError(f"center must be at least 0, got {center!r}")
        self.margin, self.center = margin, center

    def rows(self, agent: "Local", records: Sequence[Preference]) -> list[Row]:
        """Token ids of both answers with their prompt, and which one has more words."""
        return [
            {
                "chosen_ids": (prompt := agent.prompt_ids(pair.prompt)) + said(agent, pair.chosen),
                "rejected_ids": prompt + said(agent, pair.rejected),
                **({"margin": pair.margin} if self.margin else {}),
                "longer": longer(pair),
            }
            for pair in records
        ]

    def size(self, row: Row) -> int:
        """Tokens of the longer answer with its prompt."""
        return max(len(row["chosen_ids"]), len(row["rejected_ids"]))

    def trainer(self, subject: "Subject", arguments: dict[str, Any], rows: Any, desk: "Desk") -> Any:
        """TRL's RewardTrainer on our token ids."""
        from trl import RewardConfig, RewardTrainer

        return guarded(RewardTrainer)(
            model=subject.model,
            args=RewardConfig(**arguments, max_length=None, center_rewards_coefficient=self.center or None),
            train_dataset=rows.remove_columns("longer"),
            processing_class=subject.tokenizer,
        )

    def evaluate(self, trainer: Any, rows: Sequence[Row]) -> Numbers:
        """How many pairs are in order, with the interval of their share; ties count a half."""
        margins = []
        for batch in batches(trainer, rows):
            inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
            chosen, rejected = trainer.model(**inputs).logits[:, 0].chunk(2)
            margins += (chosen - rejected).tolist()
        return in_order(margins, [row["longer"] for row in rows])


def longer(pair: Preference) -> float:
    """1 if the chosen answer has more words, 0 if the rejected one has, 0.5 for as many."""
    chosen, rejected = (len(reply.text.split()) for reply in (pair.chosen, pair.rejected))
    return (chosen > rejected) + 0.5 * (chosen == rejected)


def in_order(margins: Sequence[float], longer: Sequence[float]) -> Numbers:
    """Pairs whose margin is above 0 (half of those where it is 0), and where the longer answer was chosen.

    Args:
        margins: score of the chosen answer less that of the rejected one.
        longer: see `longer`.
    """
    pairs = len(margins)
    correct = sum((margin > 0) + 0.5 * (margin == 0) for margin in margins)
    low, high = wilson(correct / pairs, pairs)
    control = sum(longer) / pairs
    control_low, control_high = wilson(control, pairs)
    return {
        "pairs": pairs,
        "correct": correct,
        "accuracy": correct / pairs,
        "low": low,
        "high": high,
        "margin": sum(margins) / pairs,
        "longer": control,
        "longer_low": control_low,
        "longer_high": control_high,
    }
