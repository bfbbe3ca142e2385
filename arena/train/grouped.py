"""Learning from groups: the policy answers each problem several times, and the judge rewards the answers."""

import logging
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any, ClassVar

from agents.dialogue import Message, Reply
from agents.errors import ConfigError, Unavailable
from arena.problems import Problem
from arena.seeds import seed_of
from arena.train.dpo import settle_reference
from arena.train.through_trl import Numbers, Row, ThroughTRL, guarded
from rewards.verdict import Case

if TYPE_CHECKING:
    from agents.local import Local
    from arena.train.subject import Subject
    from rewards.judge import Judge

_log = logging.getLogger(__name__)


class Grouped(ThroughTRL):
    """What RLOO and GRPO share: several answers to each problem, held against each other.

    An answer that the judge abstains on, or that was cut at the token limit (unless the judge's
    `pair_truncated` is set), has no reward: it is left out of the group's mean, and nothing is learned
    from it. TRL does so since 1.16; a sum over no rewards would be 0, a number out of nothing. If the
    judge abstains on all that it was asked in a step, training ends with what it said.

    The judge without an agent of its own is the policy as it began, on a second copy of the weights: the
    first one is being trained.

    Args:
        drafts: answers to each problem, at least 2; batch_size * accumulation answers make a step.
        beta: weight of the KL divergence from the reference, at least 0.
        epsilon: the ratio of probabilities is clipped to 1 - epsilon, 1 + epsilon; above 0.
        max_new_tokens: of an answer.
        temperature: of sampling, above 0; 1 samples from the policy itself.
        settings: see `arena.train.settings.Settings`; batch_size counts answers.
    """

    takes: ClassVar[type] = Problem
    needs_judge: ClassVar[bool] = True
    columns: ClassVar[Mapping[str, str]] = {
        "loss": "loss",
        "reward": "reward",
        "rewarded": "rewarded",
        "abstained": "abstained",
        "truncated": "completions/clipped_ratio",
        "length": "completions/mean_length",
        "entropy": "entropy",
        "grad_norm": "grad_norm",
        "lr": "learning_rate",
    }

    def __init__(
        self,
        drafts: int = 4,
        beta: float = 0.05,
        epsilon: float = 0.2,
        max_new_tokens: int = 128,
        temperature: float = 1.0,
        **settings: Any,
    ) -> None:
        """Check the settings."""
        super().__init__(**settings)
        if drafts < 2 or max_new_tokens < 1 or not (beta >= 0 and epsilon > 0 and temperature > 0):
            raise ConfigError(
                "groups need drafts >= 2, max_new_tokens >= 1, beta >= 0, epsilon > 0, temperature > 0, "
                f"got {drafts!r}, {max_new_tokens!r}, {beta!r}, {epsilon!r}, {temperature!r}"
            )
        answers = self.settings.batch_size * self.settings.accumulation
        if answers % drafts:
            raise ConfigError(
                f"batch_size * accumulation = {answers} answers are no whole number of groups of "
                f"drafts={drafts}: make it a multiple"
            )
        self.drafts, self.beta, self.epsilon = drafts, beta, epsilon
        self.max_new_tokens, self.temperature = max_new_tokens, temperature

    def prepare(self, policy: "Local", subject: "Subject", judge: "Judge | None") -> None:
        """Take the judge, and who it judges with."""
        if judge is None:
            raise ConfigError(f"train={type(self).__name__.lower()} rewards what it writes: set judge")
        self.judge, self.agent, self.fixed = judge, subject.agent, policy.fixed()

    def rows(self, agent: "Local", records: Sequence[Problem]) -> list[Row]:
        """Problems as the policy sees them, with its persona."""
        persona = [Message(role="system", content=agent.system)] if agent.system else []
        return [
            {
                "prompt": [*persona, *problem.prompt],
                "asked": list(problem.prompt),
                "reference": problem.reference,
                "number": number,
                "tokens": len(agent.prompt_ids([*persona, *problem.prompt])),
            }
            for number, problem in enumerate(records)
        ]

    def size(self, row: Row) -> int:
        """Tokens of the prompt and of the longest answer that it may get."""
        return int(row["tokens"]) + self.max_new_tokens

    def grouping(self) -> dict[str, Any]:
        """Settings of TRL's RLOO and GRPO alike."""
        return {
            "num_train_epochs": 1,
            "num_generations": self.drafts,
            "max_completion_length": self.max_new_tokens,
            "temperature": self.temperature,
            "beta": self.beta,
            "epsilon": self.epsilon,
            "shuffle_dataset": False,
            "remove_unused_columns": False,
            "router_aux_loss_coef": 0.0,
        }

    def build(self, trainer: Any, subject: "Subject", args: Any, rows: Any) -> Any:
        """A trainer of class `trainer` that reads prompts in our template and asks our judge.

        The order of all epochs is laid out here: TRL's sampler begins that of the first one again where
        a run is continued.

        Raises:
            ConfigError: there are fewer problems than one step answers.
        """
        agent, order = subject.agent, self._order(len(rows))
        groups = self.settings.batch_size * self.settings.accumulation // self.drafts
        if len(order) < groups:
            raise ConfigError(
                f"{len(rows)} problems in epochs={self.settings.epochs:g} do not fill one step of {groups}: "
                "give more problems or epochs, or a smaller batch_size * accumulation"
            )

        class OwnPrompts(guarded(trainer)):  # type: ignore[misc]
            def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
                return [agent.prompt_ids(prompt) for prompt in prompts], None, {}

        made = OwnPrompts(
            model=subject.model,
            args=args,
            reward_funcs=self.reward,
            train_dataset=rows.remove_columns("tokens").select(order),
            processing_class=subject.tokenizer,
        )
        settle_reference(subject)
        return made

    def _order(self, count: int) -> list[int]:
        """Numbers of the problems in the order of training, shuffled anew in each epoch."""
        order: list[int] = []
        for epoch in range(math.ceil(self.settings.epochs)):
            part = list(range(count))
            random.Random(f"{self.settings.seed}/{epoch}").shuffle(part)
            order += part
        return order[: math.ceil(count * self.settings.epochs)]

    def reward(
        self,
        prompts: Any,
        completions: Any,
        completion_ids: Sequence[Sequence[int]],
        asked: Sequence[Sequence[Message]],
        reference: Sequence[str],
        number: Sequence[int],
        trainer_state: Any,
        log_metric: Any,
        **_: Any,
    ) -> list[float | None]:
        """The judge's rewards of completions, in the form that TRL asks for them; None for no reward.

        Raises:
            Unavailable: the judge abstained on all of them.
        """
        step, drafts = trainer_state.global_step + 1, Counter[int]()
        cases = []
        for ids, prompt, known, place in zip(completion_ids, asked, reference, number, strict=True):
            id = f"s{step:06d}.{place:06d}.{drafts[place]:02d}"
            drafts[place] += 1
            cases.append(self._case(id, prompt, known, ids))
        rewards, asked_for = self._judged(cases, f"step {step}")
        log_metric("rewarded", float(sum(reward is not None for reward in rewards)))
        log_metric("abstained", float(asked_for - sum(reward is not None for reward in rewards)))
        return rewards

    def _case(self, id: str, prompt: Sequence[Message], reference: str, ids: Sequence[int]) -> Case:
        from agents.template import split_thinking

        raw = self.agent.backbone.tokenizer.decode(list(ids), skip_special_tokens=True)
        text, thinking = split_thinking(raw)
        finish = "stop" if ids and ids[-1] in self.agent.ends else "length"
        reply = Reply(text, finish, tuple(ids), thinking=thinking)
        messages = tuple(Message(role=m["role"], content=m["content"]) for m in prompt)
        return Case(id, messages[-1]["content"], messages, reply, reference=reference)

    def _judged(self, cases: Sequence[Case], where: str) -> tuple[list[float | None], int]:
        """A reward or None for each case, and how many the judge was asked for."""
        may = [i for i, case in enumerate(cases) if self.judge.pair_truncated or not case.reply.truncated]
        rewards: list[float | None] = [None] * len(cases)
        if not may:
            return rewards, 0
        seeds = [seed_of(self.settings.seed, "judge", cases[i].id) for i in may]
        judging = self.judge.agent or self.fixed
        verdicts = self.judge.rate(judging, [cases[i] for i in may], seeds)
        for i, verdict in zip(may, verdicts, strict=True):
            rewards[i] = verdict.reward
        if all(verdict.reward is None for verdict in verdicts):
            why = ", ".join(f"{status} ({n})" for status, n in _common(v.status for v in verdicts))
            raise Unavailable(
                f"the judge abstained on all {len(may)} answers of {where}: {why}; see to the judge"
            )
        return rewards, len(may)

    def evaluate(self, trainer: Any, rows: Sequence[Row]) -> Numbers | None:
        """The mean reward of one answer to each problem held out, always from the same seed."""
        import torch

        torch.manual_seed(self.settings.seed)
        size, cases = trainer.args.per_device_train_batch_size, []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            ids = [self.agent.prompt_ids(row["prompt"]) for row in part]
            for row, said in zip(part, written(trainer, ids), strict=True):
                id = f"h{row['number']:06d}"
                cases.append(self._case(id, row["asked"], row["reference"], said))
        rewards, asked = self._judged(cases, "the problems held out")
        known = [reward for reward in rewards if reward is not None]
        if not known:
            _log.warning("no answer to a problem held out ended within %d tokens", self.max_new_tokens)
            return None
        return {
            "problems": len(rows),
            "rewarded": len(known),
            "abstained": asked - len(known),
            "truncated": sum(case.reply.truncated for case in cases),
            "reward": mean(known),
            "words": mean(len(case.reply.text.split()) for case in cases),
        }


def written(trainer: Any, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """One sampled completion of each prompt, up to the end of its turn."""
    import torch

    width, pad = max(map(len, prompts)), trainer.processing_class.pad_token_id
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=trainer.model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=trainer.model.device)
    out = trainer.model.generate(
        input_ids=ids, attention_mask=mask, generation_config=trainer.generation_config
    )
    ends = set(trainer.eos_token_ids)
    return [_until(row, ends) for row in out[:, width:].tolist()]


def _until(ids: Sequence[int], ends: set[int]) -> list[int]:
    last = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return list(ids[: last + 1])


def _common(names: Iterable[str]) -> list[tuple[str, int]]:
    return Counter(names).most_common(3)
