"""The settings of the learners that go through TRL's trainers."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import ConfigError
from arena.train import schedule


@dataclass(frozen=True)
class Settings:
    """How TRL trains.

    Args:
        lr: highest learning rate; adapters want 1e-5 or more.
        epochs: passes over the records, above 0; 0.5 is half of them.
        batch_size: rows in one forward pass, at least 1.
        accumulation: forward passes in one step of the optimiser, at least 1.
        rank: of the adapter.
        alpha: LoRA's scale is alpha / rank.
        max_tokens: rows of more tokens, prompt and completion together, are left out and counted.
        warmup: over which the rate rises linearly: steps, or a share of all steps if below 1.
        schedule: how it falls to 0 after that: `linear`, `cosine`, or `constant` for not at all.
        weight_decay: of AdamW, at least 0.
        max_grad_norm: gradients are clipped to this norm.
        checkpointing: recompute activations in the backward pass, to save memory.
        save_every: steps between checkpoints; 0 for one at the end alone.
        eval_every: steps between measurements; 0 for one before and one after.
        seed: of the adapter's first weights and of the order of records.

    Raises:
        ConfigError: a setting is out of its range.
    """

    lr: float = 1e-4
    epochs: float = 1.0
    batch_size: int = 4
    accumulation: int = 2
    rank: int = 16
    alpha: float = 16.0
    max_tokens: int = 1024
    warmup: float = 0.0
    schedule: str = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    checkpointing: bool = False
    save_every: int = 50
    eval_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings; weights come with `fit`."""
        ones, zeros = ("batch_size", "accumulation", "rank", "max_tokens"), ("save_every", "eval_every")
        bad = [f"{name}={getattr(self, name)!r} (at least 1)" for name in ones if getattr(self, name) < 1]
        bad += [f"{name}={getattr(self, name)!r} (at least 0)" for name in zeros if getattr(self, name) < 0]
        for name in ("lr", "epochs", "alpha", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                bad.append(f"{name}={getattr(self, name)!r} (above 0)")
        bad += [f"{k}={v!r} (at least 0)" for k, v in self._decay().items() if not 0 <= v < math.inf]
        if bad:
            raise ConfigError(f"training cannot go by {', '.join(bad)}")
        if self.schedule not in schedule.SCHEDULES:
            known = ", ".join(schedule.SCHEDULES)
            raise ConfigError(f"schedule={self.schedule!r} is not known; allowed are {known}")

    def _decay(self) -> dict[str, float]:
        return {"warmup": self.warmup, "weight_decay": self.weight_decay}

    def share(self, done: int, steps: int) -> float:
        """As `arena.train.schedule.share`, with a warm-up that may be a share of all steps."""
        warmup = self.warmup if self.warmup >= 1 else math.ceil(self.warmup * steps)
        return schedule.share(done, steps, int(warmup), self.schedule)

    def arguments(self, folder: Path, device: str) -> dict[str, Any]:
        """Settings that TRL's trainers share. Nothing goes to a hub, a tracker or the screen."""
        return {
            "output_dir": str(folder),
            "learning_rate": self.lr,
            "num_train_epochs": self.epochs,
            "per_device_train_batch_size": self.batch_size,
            "gradient_accumulation_steps": self.accumulation,
            "weight_decay": self.weight_decay,
            "max_grad_norm": self.max_grad_norm,
            "gradient_checkpointing": self.checkpointing,
            "gradient_checkpointing_kwargs": {"use_reentrant": False},
            "seed": self.seed,
            "optim": "paged_adamw_8bit" if device.startswith("cuda") else "adamw_torch",
            "bf16": False,
            "use_cpu": device == "cpu",
            "dataloader_pin_memory": device != "cpu",
            "logging_steps": 1,
            "logging_nan_inf_filter": False,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
        }
