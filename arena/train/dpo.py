"""DPO from pairs that were made before, by TRL's DPOTrainer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from agents.errors import ConfigError
from arena.train.reward import in_order, longer
from arena.train.through_trl import Numbers, Row, ThroughTRL, batches, guarded
from rewards.verdict import Preference

if TYPE_CHECKING:
    from agents.local import Local
    from arena.train.desk import Desk
    from arena.train.subject import Subject

LOSSES = ("sigmoid", "ipo", "hinge")
"""As in `arena.train.losses`."""


class DPO(ThroughTRL):
    """Direct preference optimisation (Rafailov et al. 2023, Eq. 7) on pairs from anywhere.

    The reference is the policy as it began: its initial adapter, or the bare checkpoint.

    Args:
        beta: strength of the tie to the reference, above 0.
        loss: `sigmoid`, `ipo` or `hinge`.
        sft_weight: weight of the chosen answer's mean negative log-likelihood beside it, at least 0
            ("ptx" of Ouyang et al. 2022, on the pairs' own answers).
        settings: see `arena.train.settings.Settings`.
    """

    takes: ClassVar[type] = Preference
    columns: ClassVar[Mapping[str, str]] = {
        "loss": "loss",
        "margin": "rewards/margins",
        "reward_chosen": "rewards/chosen",
        "reward_rejected": "rewards/rejected",
        "grad_norm": "grad_norm",
        "lr": "learning_rate",
        "tokens": "num_tokens",
    }

    def __init__(
        self, beta: float = 0.1, loss: str = "sigmoid", sft_weight: float = 0.0, **settings: Any
    ) -> None:
        """Check the settings."""
        super().__init__(**settings)
        if not beta > 0 or not sft_weight >= 0:
            raise ConfigError(
                f"DPO needs beta > 0 and sft_weight >= 0, got beta={beta!r}, sft_weight={sft_weight!r}"
            )
        if loss not in LOSSES:
            raise ConfigError(f"loss={loss!r} is not known; allowed are {', '.join(LOSSES)}")
        self.beta, self.loss, self.sft_weight = beta, loss, sft_weight

    def rows(self, agent: "Local", records: Sequence[Preference]) -> list[Row]:
        """Token ids of prompt and answers: those that were sampled, where they are known."""
        return [
            {
                "prompt_ids": agent.prompt_ids(pair.prompt),
                "chosen_ids": agent.completion_ids(pair.chosen),
                "rejected_ids": agent.completion_ids(pair.rejected),
                "longer": longer(pair),
            }
            for pair in records
        ]

    def size(self, row: Row) -> int:
        """Tokens of the longer answer with its prompt."""
        return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))

    def trainer(self, subject: "Subject", arguments: dict[str, Any], rows: Any, desk: "Desk") -> Any:
        """TRL's DPOTrainer on our token ids."""
        from trl import DPOConfig, DPOTrainer

        class PassThrough(guarded(DPOTrainer)):  # type: ignore[misc]
            def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
                return dataset

        both = {"loss_type": [self.loss, "sft"], "loss_weights": [1.0, self.sft_weight]}
        made = PassThrough(
            model=subject.model,
            args=DPOConfig(
                **arguments,
                **(both if self.sft_weight else {"loss_type": [self.loss]}),
                beta=self.beta,
                max_length=None,
                router_aux_loss_coef=0.0,
            ),
            train_dataset=rows.remove_columns("longer"),
            processing_class=subject.tokenizer,
        )
        settle_reference(subject)
        return made

    def evaluate(self, trainer: Any, rows: Sequence[Row]) -> Numbers:
        """How many pairs have a positive margin of implicit rewards, with the interval of their share."""
        margins = []
        for batch in batches(trainer, rows):
            inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
            labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
            out = trainer.model(**inputs, labels=labels, use_cache=False, fused_lm_head=True)
            chosen, rejected = out.log_probs.sum(1).chunk(2)
            ref_chosen, ref_rejected = trainer.compute_ref_log_probs(trainer.model, batch)
            margins += (self.beta * ((chosen - ref_chosen) - (rejected - ref_rejected))).tolist()
        return in_order(margins, [row["longer"] for row in rows])


def settle_reference(subject: "Subject") -> None:
    """Leave TRL's copy of the adapter as the reference only where the adapter already does something."""
    if subject.fresh and "ref" in subject.model.peft_config:
        subject.model.delete_adapter("ref")
