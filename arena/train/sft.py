"""Supervised fine-tuning: the likelihood of completions, given their prompts, by TRL's SFTTrainer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from agents.dialogue import Reply
from agents.errors import ConfigError
from arena.train.through_trl import Numbers, Row, ThroughTRL, batches, guarded
from rewards.verdict import Example

if TYPE_CHECKING:
    from agents.local import Local
    from arena.train.desk import Desk
    from arena.train.subject import Subject

IGNORED = -100
"""The label of a token that is not learned."""


class SFT(ThroughTRL):
    """Raises the mean log-probability of the completions' tokens; no token of a prompt is in the loss.

    A completion ends with the token that ends a turn, so that the model learns to stop.

    Args:
        settings: see `arena.train.settings.Settings`.
    """

    takes: ClassVar[type] = Example
    columns: ClassVar[Mapping[str, str]] = {
        "loss": "loss",
        "accuracy": "mean_token_accuracy",
        "grad_norm": "grad_norm",
        "lr": "learning_rate",
        "tokens": "num_tokens",
    }

    def rows(self, agent: "Local", records: Sequence[Example]) -> list[Row]:
        """Token ids, and labels that leave the prompt out.

        Raises:
            ConfigError: a record has a weight, which this loss does not know.
        """
        weighted = next((record for record in records if record.weight != 1.0), None)
        if weighted is not None:
            raise ConfigError(
                f"the record {weighted.id} has the weight {weighted.weight:g}, but train=sft counts all "
                "alike: give records of weight 1"
            )
        rows = []
        for record in records:
            prompt, completion = (
                agent.prompt_ids(record.prompt),
                agent.completion_ids(Reply(record.completion)),
            )
            rows.append({"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion})
        return rows

    def size(self, row: Row) -> int:
        """Tokens of prompt and completion."""
        return len(row["input_ids"])

    def trainer(self, subject: "Subject", arguments: dict[str, Any], rows: Any, desk: "Desk") -> Any:
        """TRL's SFTTrainer on our token ids."""
        from trl import SFTConfig, SFTTrainer

        prepared = {"dataset_kwargs": {"skip_prepare_dataset": True}, "max_length": None}
        return guarded(SFTTrainer)(
            model=subject.model,
            args=SFTConfig(**arguments, **prepared, router_aux_loss_coef=0.0),
            train_dataset=rows,
            processing_class=subject.tokenizer,
        )

    def evaluate(self, trainer: Any, rows: Sequence[Row]) -> Numbers:
        """Mean loss in nats, and the share of tokens that are the likeliest, over all completion tokens."""
        loss = correct = tokens = 0.0
        for batch in batches(trainer, rows):
            out = trainer.model(**batch, use_cache=False, fused_lm_head=True)
            loss -= float(out.log_probs.sum())
            correct += float(out.is_top1.sum())
            tokens += float(out.label_mask.sum())
        return {
            "records": len(rows),
            "tokens": int(tokens),
            "loss": loss / tokens,
            "accuracy": correct / tokens,
        }
