"""What the learners that go through TRL's stable trainers share: weights, settings, checkpoints, records.

TRL makes the batches, the loss and the steps. Token ids, the adapter in fp32, what is written down, and
when training stops or ends are ours: TRL tokenises text anew, casts adapters on 4-bit weights to bf16,
prints what it logs, sends telemetry, and would go on after a loss that is no number.
"""

import errno
import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from agents.errors import ConfigError
from arena.train.errors import Diverged, check_finite
from arena.train.settings import Settings
from arena.train.subject import Subject, read_adapter, write_adapter

if TYPE_CHECKING:
    from agents.local import Local
    from arena.train.desk import Desk
    from rewards.judge import Judge

RECORDS = "records.json"
"""How many training records a checkpoint was made with."""

FULL = 1 << 20
"""A disk with fewer free bytes is full."""

Row = dict[str, Any]
Numbers = Mapping[str, float | int]

_log = logging.getLogger(__name__)


class ThroughTRL:
    """A learner from tables whose steps a trainer of TRL makes. Subclasses say which, and what is measured.

    Args:
        settings: see `arena.train.settings.Settings`.
    """

    takes: ClassVar[type]
    needs_judge: ClassVar[bool] = False
    scores: ClassVar[bool] = False
    """Whether the model gives a score in place of text."""
    columns: ClassVar[Mapping[str, str]]
    """Columns of the metrics by TRL's names for them; a step where one is missing has no row."""

    def __init__(self, **settings: Any) -> None:
        """Check the settings."""
        self.settings = Settings(**settings)

    def rows(self, agent: "Local", records: Sequence[Any]) -> list[Row]:
        """What TRL's collator takes, in token ids, for each record."""
        raise NotImplementedError

    def size(self, row: Row) -> int:
        """Tokens of the longest text in a row."""
        raise NotImplementedError

    def trainer(self, subject: Subject, arguments: dict[str, Any], rows: Any, desk: "Desk") -> Any:
        """TRL's trainer, guarded, on `rows` (a `datasets.Dataset`)."""
        raise NotImplementedError

    def evaluate(self, trainer: Any, rows: Sequence[Row]) -> Numbers | None:
        """What the model can do on held-out rows, at least one; None where there is no number to give."""
        raise NotImplementedError

    def fit(
        self,
        policy: "Local",
        train: Sequence[Any],
        valid: Sequence[Any],
        desk: "Desk",
        judge: "Judge | None" = None,
    ) -> None:
        """Train an adapter of `policy` on `train`, measure it on `valid`, and leave it by `desk.finish`.

        The weights are loaded anew: TRL's trainers patch the model that they train.

        Raises:
            ConfigError: no record is short enough, or the checkpoint was made with other records.
            Diverged: a loss or gradient is not finite; the last good weights are a checkpoint.
            Stopped: somebody asked for it; what was learned is a checkpoint.
        """
        from datasets import Dataset

        desk.check()
        scratch = desk.path / "trainer"
        with silent():
            subject = Subject.of(policy, self.settings, self.scores)
            self.prepare(policy, subject, judge)
            rows, held = (self._fitting(subject.agent, records, desk) for records in (train, valid))
            if not rows:
                raise ConfigError(
                    f"none of the {len(train)} training records has at most max_tokens="
                    f"{self.settings.max_tokens} tokens: raise it, or give other records"
                )
            arguments = self.settings.arguments(scratch, subject.device)
            trainer = self.trainer(subject, arguments, Dataset.from_list(rows), desk)
            subject.restore()
            trainer.subject, trainer.settings = subject, self.settings
            trainer.desk, trainer.records = desk, len(rows)
            try:
                _train(self, trainer, held, desk)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            desk.check()
            desk.finish(lambda folder: write_adapter(subject, folder))

    def prepare(self, policy: "Local", subject: Subject, judge: "Judge | None") -> None:
        """Take what else `rows`, `trainer` and `evaluate` need."""

    def _fitting(self, agent: "Local", records: Sequence[Any], desk: "Desk") -> list[Row]:
        rows = self.rows(agent, records)
        short = [row for row in rows if self.size(row) <= self.settings.max_tokens]
        if len(short) < len(rows):
            desk.note(
                f"{len(rows) - len(short)} of {len(rows)} records have more than "
                f"max_tokens={self.settings.max_tokens} tokens and are left out"
            )
        return short


@contextmanager
def _told_if_full(folder: Path) -> Iterator[None]:
    """A disk that is full is an OSError, which PyTorch's own error is not."""
    try:
        yield
    except RuntimeError as error:
        if shutil.disk_usage(folder).free < FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


def guarded(trainer: Any) -> Any:
    """TRL's class `trainer` with our checkpoints and rates, no telemetry, and a check of every loss.

    Its instances need the attributes `subject`, `settings`, `desk` and `records` before they train.
    """
    import torch

    class Guarded(trainer):  # type: ignore[misc]
        def _send_telemetry(self) -> None:
            """TRL would tell its makers of every run."""

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            check_finite(self.state.global_step + 1, loss=float(loss))
            return loss

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda done: self.settings.share(done, num_training_steps)
            )
            return self.lr_scheduler

        def _save_checkpoint(self, *_: Any) -> None:
            self.desk.save(self.state.global_step, self.write)

        def write(self, folder: Path) -> None:
            """Write adapter, optimiser, schedule, random numbers and position."""
            write_adapter(self.subject, folder)
            with _told_if_full(folder):
                self._save_optimizer_and_scheduler(str(folder))
                self._save_rng_state(str(folder))
            self.state.save_to_json(str(folder / "trainer_state.json"))
            (folder / RECORDS).write_text(json.dumps({"records": self.records}), encoding="utf-8")

        def _load_from_checkpoint(self, folder: str, model: Any = None) -> None:
            read_adapter(self.subject, Path(folder))

    return Guarded


def _train(learner: ThroughTRL, trainer: Any, held: Sequence[Row], desk: "Desk") -> None:
    """Train from the newest checkpoint to the end or to a stop."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_watch(learner, trainer, held, desk))
    newest = desk.checkpoint()
    if newest is not None:
        found = json.loads((newest[1] / RECORDS).read_text(encoding="utf-8"))["records"]
        if found != trainer.records:
            raise ConfigError(
                f"{newest[1]} was made with {found} training records and there are {trainer.records} now: "
                "give back the records that it began with, or begin a new run"
            )
        state = json.loads((newest[1] / "trainer_state.json").read_text(encoding="utf-8"))
        if state["global_step"] >= state["max_steps"]:  # transformers would make one step more
            read_adapter(trainer.subject, newest[1])
            return
    try:
        trainer.train(resume_from_checkpoint=str(newest[1]) if newest else None)
    except Diverged:
        if trainer.state.global_step > (newest[0] if newest else 0):
            desk.save(trainer.state.global_step, trainer.write)
        raise


def _watch(learner: ThroughTRL, trainer: Any, held: Sequence[Row], desk: "Desk") -> Any:
    """The callback that measures, writes down, saves and stops."""
    import torch
    from transformers import TrainerCallback

    settings, subject = learner.settings, trainer.subject

    def evaluate(step: int) -> None:
        if not held:
            return
        trainer.model.eval()
        devices = [torch.cuda.current_device()] if subject.device.startswith("cuda") else []
        with torch.no_grad(), torch.random.fork_rng(devices):
            numbers = learner.evaluate(trainer, held)
        trainer.model.train()
        if numbers is not None:
            desk.evaluated(step, numbers)

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 0:
                evaluate(0)

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # They have been clipped: an infinite norm has made them NaN.
            norms = [p.grad.norm() for p in trainer.model.parameters() if p.grad is not None]
            check_finite(state.global_step + 1, gradient=float(torch.stack(norms).norm()))

        def on_log(self, args: Any, state: Any, control: Any, logs: Row | None = None, **_: Any) -> None:
            state.log_history.clear()  # it would be written again with every checkpoint
            trainer._total_train_tokens = 0  # a row counts its own step; TRL counts since the process began
            if not logs or "loss" not in logs:  # the summary at the end
                return
            step, of = state.global_step, state.max_steps
            row = {own: float(logs[key]) for own, key in learner.columns.items() if logs.get(key) is not None}
            if len(row) == len(learner.columns):
                desk.log(step, {"epoch": step * settings.epochs / of, **row}, of)
            else:
                missing = ", ".join(own for own in learner.columns if own not in row)
                desk.note(f"step {step} has no row of metrics: it has no {missing}")
            # The step is saved after this, so that a checkpoint never lacks a measurement that was due.
            if step >= of or _due(step, settings.eval_every):
                evaluate(step)
            control.should_save = step >= of or desk.stopping or _due(step, settings.save_every)
            control.should_training_stop = control.should_training_stop or desk.stopping

    return Watch()


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def batches(trainer: Any, rows: Sequence[Row]) -> Iterator[Mapping[str, Any]]:
    """Rows as TRL's collator joins them, on the model's device."""
    size, device = trainer.args.per_device_train_batch_size, trainer.model.device
    for start in range(0, len(rows), size):
        joined = trainer.data_collator(list(rows[start : start + size]))
        yield {key: tensor.to(device) for key, tensor in joined.items()}


@contextmanager
def silent() -> Iterator[None]:
    """Run the body without the notes of TRL and the libraries below it."""
    from agents.quiet import quiet

    loggers = [logging.getLogger(name) for name in ("transformers", "trl", "accelerate", "datasets", "peft")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with quiet(), warnings.catch_warnings():
            # TRL 1.16 knows it by the old name alone, transformers 5.23 has a new one.
            warnings.filterwarnings("ignore", "`gradient_checkpointing", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
