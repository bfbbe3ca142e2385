"""TRL's experimental OnlineDPOTrainer on the same model, prompts, lengths, adapter and reward.

Its own loop runs, untouched: a callback takes the time of each of its steps, and lets ours take one step
after each of them.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from agents.base import Prompt
from agents.errors import ArenaError
from agents.loading import load_model
from agents.local import Local
from agents.quiet import quiet
from arena.benchmark.engine import reward
from arena.benchmark.measure import Peak, settle
from arena.benchmark.work import Recorded, own_attention, sampling, unending
from arena.train.online_dpo import OnlineDPO

VARIANTS = {"trl as it is": True, "trl tuned": False}
"""Name -> gradient checkpointing, which in TRL also takes generation its cache; it is TRL's default."""

WARM = 1
"""Steps that are not counted."""


@dataclass(frozen=True)
class Step:
    """One step: two replies to each prompt, their rewards, one update."""

    pairs: int
    seconds: float
    growth: float
    """Peak memory above the level before the step, in bytes."""
    most: float
    """Peak memory, in bytes, with the weights of both sides."""

    @property
    def speed(self) -> float:
        """Pairs per second."""
        return self.pairs / self.seconds


def compare(
    agent: Recorded,
    learner: OnlineDPO,
    prompts: Sequence[Sequence[Prompt]],
    limit: int,
    checkpointing: bool,
    ours: Callable[[int], Step],
) -> tuple[list[Step], list[Step]]:
    """(ours, TRL's) steps, interleaved in TRL's own training loop.

    Args:
        agent: whose checkpoint TRL loads once more, and whose sampling it follows.
        learner: whose rate, beta and adapter TRL takes.
        prompts: of each step, those of the `WARM` first included.
        limit: new tokens of each reply.
        checkpointing: TRL's `gradient_checkpointing`.
        ours: takes our step, by its number.
    """
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    with quiet():
        from transformers import AutoTokenizer
        from trl.experimental.online_dpo import OnlineDPOTrainer

    backbone = agent.backbone
    model = load_model(backbone.weights.folder, backbone.precision, str(backbone.device))
    counted: list[int] = []

    def rewards(completions: list[Any], completion_ids: list[list[int]], **_: Any) -> list[float]:
        counted.append(sum(map(len, completion_ids)))
        return [reward(completion[0]["content"]) for completion in completions]

    rows = [list(prompt) for step in prompts for prompt in step]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(unending(model, agent.silenced))
        stack.enter_context(own_attention(model))
        stack.enter_context(quiet())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", FutureWarning)  # TRL asks for what transformers has renamed
        trainer = OnlineDPOTrainer(
            model=model,
            reward_funcs=rewards,
            args=_settings(agent, learner, len(prompts[0]), len(prompts), limit, checkpointing, folder),
            train_dataset=_dataset(rows),
            processing_class=AutoTokenizer.from_pretrained(backbone.weights.folder, local_files_only=True),
            peft_config=_adapter(agent, learner),
        )
        clock = _clock(str(backbone.device), len(prompts[0]), ours)
        trainer.add_callback(clock)
        trainer.train()
    if set(counted) != {2 * len(prompts[0]) * limit}:
        raise ArenaError(f"the work is not equal: TRL wrote {counted} tokens, not {limit} for each reply")
    return clock.ours[WARM:], clock.theirs[WARM:]


def _dataset(rows: list[Any]) -> Any:
    from datasets import Dataset

    return Dataset.from_list([{"prompt": row} for row in rows])


def _adapter(agent: Local, learner: OnlineDPO) -> Any:
    """The same adapter as ours."""
    import peft

    targets = agent.lora_targets
    return peft.LoraConfig(
        r=learner.rank,
        lora_alpha=learner.alpha,
        lora_dropout=0.0,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )


def _settings(
    agent: Local, learner: OnlineDPO, pairs: int, steps: int, limit: int, checkpointing: bool, folder: str
) -> Any:
    """TRL's defaults, but for what makes the work equal, and for printing and saving."""
    from trl.experimental.online_dpo import OnlineDPOConfig

    chosen = sampling(agent)
    return OnlineDPOConfig(
        output_dir=folder,
        per_device_train_batch_size=pairs,
        max_steps=steps,
        learning_rate=learner.lr,
        beta=learner.beta,
        max_new_tokens=limit,
        max_length=1 << 20,
        temperature=chosen.temperature,
        top_p=chosen.top_p,
        min_p=chosen.min_p or None,
        train_sampling_strategy="sequential",
        gradient_checkpointing=checkpointing,
        bf16=agent.backbone.precision != "fp32",
        use_cpu=agent.backbone.device.type == "cpu",
        max_grad_norm=learner.max_grad_norm,
        lr_scheduler_type="constant",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def _clock(device: str, pairs: int, ours: Callable[[int], Step]) -> Any:
    """A callback that times TRL's steps and takes one of ours after each."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        """Lies between the two."""

        def __init__(self) -> None:
            """Nothing yet."""
            self.ours: list[Step] = []
            self.theirs: list[Step] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            """TRL begins."""
            self.peak = Peak(device).__enter__()
            settle()
            self.start = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """TRL has done its update; now ours."""
            settle()
            took = time.perf_counter() - self.start
            self.peak.__exit__(None, None, None)
            self.theirs.append(Step(pairs, took, self.peak.growth, self.peak.most))
            self.ours.append(ours(len(self.ours)))

    return Clock()
