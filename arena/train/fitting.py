"""Fitting an adapter to records made before: the loop of every learner that has a loss of its own."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import ConfigError
from arena.train.errors import Diverged, check_finite
from arena.train.memory import within_memory
from arena.train.optimizer import adamw, load_learned, save_learned, stored_state
from arena.train.schedule import SCHEDULES, share

if TYPE_CHECKING:
    import torch

    from agents.local import Local
    from agents.scoring import Group
    from arena.train.desk import Desk

Numbers = Mapping[str, float | int]


@dataclass(frozen=True)
class Task:
    """What is to be learned, and how well it was."""

    groups: Sequence["Group"]
    """Prompts with their completions, as token ids; each prompt is read once for all its completions."""
    sizes: Sequence[int]
    """Records in each group."""
    losses: Callable[[Sequence[int], Sequence["torch.Tensor"]], "torch.Tensor"]
    """(groups,) summed losses of the groups with these numbers, from the log-probabilities (tokens,) of
    their completions, in order."""
    evaluate: Callable[[], Numbers | None]
    """What the policy can do on records held out; None where there is no number to give."""


@dataclass(frozen=True)
class Fitting:
    """How an adapter is fitted: the mean loss over a batch's records, AdamW, a rate that rises and falls.

    Args:
        lr: highest learning rate; adapters want 1e-5 or more.
        epochs: passes over the records, at least 1.
        batch: prompts in one step, at least 1.
        micro_tokens: tokens in one forward pass, if one prompt with its completions does not take more.
        warmup: steps over which the rate rises linearly.
        schedule: how it falls to 0 after that: `linear`, `cosine`, or `constant` for not at all.
        max_grad_norm: gradients are clipped to this norm.
        rank: of the adapter.
        alpha: LoRA's scale is alpha / rank.
        checkpointing: recompute activations in the backward pass, to save memory.
        save_every: steps between checkpoints; 0 for one at the end alone.
        eval_every: steps between measurements; 0 for one before and one after.
        seed: of the adapter's first weights and of the order of records.

    Raises:
        ConfigError: a setting is out of its range.
    """

    lr: float = 2e-4
    epochs: int = 1
    batch: int = 8
    micro_tokens: int = 2048
    warmup: int = 0
    schedule: str = "linear"
    max_grad_norm: float = 1.0
    rank: int = 16
    alpha: float = 16.0
    checkpointing: bool = False
    save_every: int = 50
    eval_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings; weights come with `run`."""
        least = dict.fromkeys(("epochs", "batch", "micro_tokens", "rank"), 1)
        least |= dict.fromkeys(("warmup", "save_every", "eval_every"), 0)
        found = {name: getattr(self, name) for name in least}
        low = [
            f"{name}={found[name]!r} (at least {least[name]})" for name in least if found[name] < least[name]
        ]
        low += [f"{name}={v!r} (above 0)" for name, v in self._positive().items() if not 0 < v < math.inf]
        if low:
            raise ConfigError(f"training cannot go by {', '.join(low)}")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"schedule={self.schedule!r} is not known; allowed are {', '.join(SCHEDULES)}")

    def _positive(self) -> dict[str, float]:
        return {"lr": self.lr, "alpha": self.alpha, "max_grad_norm": self.max_grad_norm}

    def steps(self, groups: int) -> int:
        """Updates in all, for that many prompts."""
        return self.epochs * math.ceil(groups / self.batch)

    def batch_of(self, step: int, groups: int) -> list[int]:
        """Numbers of the prompts of `step` (from 1): a piece of the order that seed and epoch give."""
        epoch, place = divmod(step - 1, math.ceil(groups / self.batch))
        order = list(range(groups))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        return order[place * self.batch : (place + 1) * self.batch]

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of `step` (from 1) of `steps`."""
        return self.lr * share(step - 1, steps, self.warmup, self.schedule)

    def run(self, policy: "Local", task: Task, desk: "Desk") -> None:
        """Train a new adapter of `policy` on `task`, from the newest checkpoint on, and leave it in `desk`.

        Raises:
            ConfigError: there is nothing to learn from, or other records than the checkpoint was made with.
            Diverged: a loss or gradient is not finite; the last good weights are a checkpoint.
        """
        if not task.groups:
            raise ConfigError("there is nothing to train on: the training records are empty")
        _Fit(self, policy, task, desk).run()


class _Fit:
    """One policy on its way through one task."""

    def __init__(self, fitting: Fitting, policy: "Local", task: Task, desk: "Desk") -> None:
        from agents.backbone import Lora

        self.fitting, self.policy, self.task, self.desk = fitting, policy, task, desk
        self.steps = fitting.steps(len(task.groups))
        policy.learn_as(desk.seat, Lora(fitting.rank, fitting.alpha, policy.lora_targets, fitting.seed))
        self.parameters = policy.backbone.adapter_parameters(desk.seat)
        self.optimizer = adamw(self.parameters, fitting.lr)
        self.micro_tokens = fitting.micro_tokens

    def run(self) -> None:
        done = self._resume()
        if done == 0:
            self._evaluate(0)
        for step in range(done + 1, self.steps + 1):
            if self.desk.stopping:
                self._keep(step - 1)
            self.desk.check()
            try:
                self._update(step)
            except Diverged:
                self._keep(step - 1)
                raise
            # The measurement comes first, so that a checkpoint never lacks one that was due.
            if step == self.steps or _due(step, self.fitting.eval_every):
                self._evaluate(step)
            if step == self.steps or _due(step, self.fitting.save_every):
                self._keep(step)
        self.desk.finish(lambda folder: self.policy.backbone.save_adapter(self.desk.seat, folder))

    def _evaluate(self, step: int) -> None:
        numbers = self.task.evaluate()
        if numbers is not None:
            self.desk.evaluated(step, numbers)

    def _update(self, step: int) -> None:
        """One step of the optimiser on one batch, unless a number is not finite."""
        import torch

        start = time.perf_counter()
        numbers = self.fitting.batch_of(step, len(self.task.groups))
        shortest = min(_tokens(self.task.groups[i]) for i in numbers)
        (loss, tokens), self.micro_tokens = within_memory(
            lambda most: self._gradients(numbers, most),
            self.micro_tokens,
            shortest,
            lambda: self.optimizer.zero_grad(set_to_none=True),
        )
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.fitting.max_grad_norm))
        check_finite(step, loss=loss, grad_norm=norm)
        rate = self.fitting.rate(step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.policy.updates = step
        self.policy.backbone.engine.forget(self.desk.seat)  # what it has read was read by other weights
        row: dict[str, float | int] = {
            "epoch": step * self.fitting.epochs / self.steps,
            "loss": loss,
            "grad_norm": norm,
            "lr": rate,
            "records": sum(self.task.sizes[i] for i in numbers),
            "tokens": tokens,
            "seconds": time.perf_counter() - start,
        }
        self.desk.log(step, row, of=self.steps)

    def _gradients(self, numbers: Sequence[int], most: int) -> tuple[float, int]:
        """Gradients of the mean loss over the records of these groups; that mean, and the tokens read.

        A pass takes up to `most` tokens.
        """
        import torch

        from agents.scoring import Pack, completion_logps, packs

        backbone, groups = self.policy.backbone, [self.task.groups[i] for i in numbers]
        records = sum(self.task.sizes[i] for i in numbers)
        total, tokens = 0.0, 0
        with backbone.speaking_as(self.desk.seat), backbone.training(self.fitting.checkpointing):
            for part in packs(groups, most):
                pack = Pack.of([groups[i] for i in part], backbone.device)
                logps = torch.split(completion_logps(backbone, pack), list(pack.lengths))
                losses = self.task.losses([numbers[i] for i in part], logps)
                (losses.sum() / records).backward()  # type: ignore[no-untyped-call]
                total += float(losses.detach().sum()) / records
                tokens += len(pack.ids)
        return total, tokens

    def _keep(self, step: int) -> None:
        """Make a checkpoint of the first `step` updates, unless there is one."""
        newest = self.desk.checkpoint()
        if step > (newest[0] if newest else 0):
            self.desk.save(step, self._write)

    def _write(self, folder: Path) -> None:
        save_learned(folder, self.policy, self.optimizer, groups=len(self.task.groups))

    def _resume(self) -> int:
        """Continue from the newest checkpoint; the number of updates that it holds."""
        newest = self.desk.checkpoint()
        if newest is None:
            return 0
        step, folder = newest
        groups = stored_state(folder)["groups"]
        if groups != len(self.task.groups):
            raise ConfigError(
                f"{folder} was made with {groups} training prompts and there are "
                f"{len(self.task.groups)} now: give back the records that it began with, or begin a new run"
            )
        load_learned(folder, self.policy, self.optimizer)
        return step


def _tokens(group: "Group") -> int:
    prompt, completions = group
    return len(prompt) + sum(map(len, completions))


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
