"""PPO: the judge's rewards of one step of the arena change the adapter of the seat that earned them."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from agents.base import Agent
from agents.errors import ConfigError
from arena.seeds import seed_of
from arena.train.errors import Diverged, check_finite
from arena.train.memory import within_memory
from arena.train.optimizer import adamw, load_learned, save_learned, whole_or_not
from arena.train.ppo_settings import PPOSettings, PPOUpdate
from arena.train.ptx import Supervised
from arena.train.rollout import Branch, Rollout, branches, packed

if TYPE_CHECKING:
    import torch

    from arena.loop import Exchange

T = TypeVar("T")


class PPO(PPOSettings):
    """Trains one seat's LoRA adapter, and a value head on the same weights (Schulman et al. 2017).

    Every draft with a reward is a sample. The score stands on its last token, and each token pays for its
    distance to the reference, which is the same weights as they were before (Ziegler et al. 2019).
    """

    least_drafts = 1

    @property
    def updates(self) -> int:
        """Updates so far."""
        return self.agent.updates

    def attach(self, agent: Agent, seat: str) -> None:
        """Give `agent` an adapter named after its seat and a value head, and make their optimiser.

        Raises:
            ConfigError: the agent has no weights here that could be trained, or it samples from another
                distribution than its own, whose probabilities are not those of the policy.
        """
        from agents.backbone import Lora
        from agents.decoding import Sampling
        from agents.local import Local
        from agents.value_head import ValueHead
        from arena.train.ppo_math import Moments

        if not isinstance(agent, Local):
            raise ConfigError(
                f"the seat {seat!r} cannot learn: {type(agent).__name__} has no weights here; "
                "take it out of `learners`, or seat a local agent (conf/agent)"
            )
        if agent.decoding != Sampling():
            raise ConfigError(
                f"the seat {seat!r} writes with {agent.decoding}, but PPO needs samples of the policy "
                "itself: take decoding=whole, or set its temperature=1.0, top_p=1.0, min_p=0.0"
            )
        self.agent = agent
        agent.learn_as(seat, Lora(self.rank, self.alpha, agent.lora_targets, self.seed))
        self.parameters = agent.backbone.adapter_parameters(seat)
        width: int = agent.backbone.model.config.get_text_config().hidden_size
        self.head = ValueHead(width, agent.backbone.device)
        self.optimizer = adamw(self.parameters, self.lr)
        self.optimizer.add_param_group({"params": list(self.head.parameters())})
        self.moments = Moments()
        self.supervised = Supervised(agent, self.ptx, self.ptx_examples, self.seed) if self.ptx else None

    def learn(self, exchanges: Sequence["Exchange"]) -> PPOUpdate | None:
        """Learn from the drafts of one step; no rewards, no update."""
        from arena.train.ppo_math import next_kl_coef

        # What the adapter has read ends with the step, also where nothing is learned: so a run that was
        # stopped and continued reads the same way.
        self.agent.backbone.engine.forget(self.agent.adapter)
        samples, left_out = branches(self.agent, exchanges)
        if not samples:
            return None
        start, moments = time.perf_counter(), self.moments
        try:
            rollout = self._rollout(samples)
            with whole_or_not([*self.parameters, *self.head.parameters()], self.optimizer):
                means, steps = self._optimise(rollout)
        except Diverged:
            self.moments = moments
            raise
        coef, scores = self.kl_coef, [score for branch in samples for score in branch.scores]
        if self.kl_target is not None:
            kl = rollout.numbers["kl"]
            self.kl_coef = next_kl_coef(coef, kl, self.kl_target, len(scores), self.kl_horizon)
        self.agent.updates += 1
        return PPOUpdate(
            samples=len(scores),
            left_out=left_out,
            tokens=sum(sum(branch.lengths) for branch in samples),
            kl_coef=coef,
            steps=steps,
            seconds=time.perf_counter() - start,
            **rollout.numbers,
            **means,
        )

    def _rollout(self, samples: Sequence[Branch]) -> Rollout:
        """What the policy, its critic and the reference say of the samples, and what follows from it."""
        import torch

        from arena.train import ppo_math

        lengths = [length for branch in samples for length in branch.lengths]
        scores = torch.tensor([score for branch in samples for score in branch.scores], dtype=torch.float64)
        cut = torch.tensor([cut for branch in samples for cut in branch.truncated]).float()
        check_finite(self.updates, score=float(scores.mean()))
        read = self._within_memory(samples, lambda most: self._read(samples, most))
        logps, values, entropies, reference = torch.cat([read[i] for i in range(len(samples))], 1)
        log_ratios = logps - reference
        rewards = ppo_math.shaped_rewards(log_ratios, self._scores(scores, cut), lengths, self.kl_coef)
        advantages = ppo_math.gae(rewards, values, lengths, self.gamma, self.lam)
        returns = advantages + values
        numbers = {
            "score": float(scores.mean()),
            "reward": float(rewards.sum()) / len(lengths),
            "kl": float(ppo_math.k1(log_ratios).mean()),
            "entropy": float(entropies.mean()),
            "explained_variance": ppo_math.explained_variance(values, returns),
            "length": sum(lengths) / len(lengths),
            "truncated": float(cut.mean()),
        }
        check_finite(self.updates, **numbers)
        advantages = ppo_math.whiten(advantages) if self.whiten else advantages
        tokens = torch.stack([logps, values, advantages, returns])
        return Rollout(samples, torch.split(tokens, [sum(branch.lengths) for branch in samples], 1), numbers)

    def _scores(self, scores: "torch.Tensor", cut: "torch.Tensor") -> "torch.Tensor":
        """(samples,) what the judge's rewards count for: scaled, clipped, less what a cut draft pays."""
        if self.reward_scale:
            self.moments = self.moments.with_(scores)
            scores = scores / self.moments.std
        return scores.clamp(-self.reward_clip, self.reward_clip) - self.missing_eos_penalty * cut

    def _read(self, samples: Sequence[Branch], micro_tokens: int) -> "dict[int, torch.Tensor]":
        """By branch (4, tokens): log-probability, value, entropy, log-probability under the reference."""
        import torch

        from agents.scoring import completion_logps
        from agents.value_head import actor_critic

        backbone, groups = self.agent.backbone, [branch.group for branch in samples]
        found: dict[int, torch.Tensor] = {}
        # In the passes of the first epoch, so that its ratios begin at exactly 1 in any precision.
        for numbers in self._minibatches(len(samples), 0):
            for part, pack in packed(groups, numbers, micro_tokens, backbone.device):
                with torch.no_grad(), backbone.speaking_as(self.agent.adapter):
                    now = actor_critic(backbone, self.head, pack)
                with torch.no_grad(), backbone.speaking_as(self.agent.reference):
                    reference = completion_logps(backbone, pack)
                rows = torch.stack([now.logps, now.values, now.entropies, reference])
                own = torch.split(rows, [sum(samples[number].lengths) for number in part], 1)
                found |= dict(zip(part, own, strict=True))
        return found

    def _minibatches(self, branches: int, epoch: int) -> list[list[int]]:
        """Numbers of the branches in each minibatch, by the seed, the update and the epoch."""
        order = list(range(branches))
        name = f"{self.agent.adapter}.{self.updates}.{epoch}"
        random.Random(seed_of(self.seed, "minibatches", name)).shuffle(order)
        parts = min(self.minibatches, branches)
        return [order[part::parts] for part in range(parts)]

    def _within_memory(self, samples: Sequence[Branch], work: Callable[[int], T]) -> T:
        least = min(len(branch.group[0]) + sum(branch.lengths) for branch in samples)
        done, self.micro_tokens = within_memory(work, self.micro_tokens, least, self._forget_gradients)
        return done

    def _forget_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def _optimise(self, rollout: Rollout) -> tuple[dict[str, float], int]:
        """All epochs; the means of their numbers, and how many steps the optimiser made."""
        seen: dict[str, list[float]] = defaultdict(list)
        for epoch in range(self.epochs):
            for part, numbers in enumerate(self._minibatches(len(rollout.branches), epoch)):
                name = f"{self.agent.adapter}.{self.updates}.{epoch}.{part}"
                found = self._within_memory(
                    rollout.branches, partial(self._gradients, rollout, numbers, name)
                )
                for key, value in found.items():
                    seen[key].append(value)
                if self.max_kl is not None and found["approx_kl"] > self.max_kl:
                    self._forget_gradients()
                    break
                seen["grad_norm"].append(self._step(found))
            else:
                continue
            break
        return {key: fmean(values) for key, values in seen.items()}, len(seen["grad_norm"])

    def _gradients(
        self, rollout: Rollout, numbers: Sequence[int], name: str, micro_tokens: int
    ) -> dict[str, float]:
        """Gradients of the mean loss over all tokens of a minibatch, and its statistics."""
        import torch

        from agents.value_head import actor_critic
        from arena.train import ppo_math

        total = sum(sum(rollout.branches[number].lengths) for number in numbers)
        sums: dict[str, float] = defaultdict(float, ptx_loss=0.0)
        backbone, groups = self.agent.backbone, [branch.group for branch in rollout.branches]
        with backbone.speaking_as(self.agent.adapter), backbone.training(self.checkpointing):
            for part, pack in packed(groups, numbers, micro_tokens, backbone.device):
                old, old_values, advantages, returns = torch.cat([rollout.tokens[i] for i in part], 1)
                now = actor_critic(backbone, self.head, pack)
                policy = ppo_math.policy_losses(now.logps, old, advantages, self.clip)
                value = ppo_math.value_losses(now.values, old_values, returns, self.value_clip)
                losses = policy + self.value_coef * value
                if self.entropy_coef:
                    losses = losses - self.entropy_coef * now.entropies
                (losses.sum() / total).backward()  # type: ignore[no-untyped-call]
                for key, each in (
                    ("loss", losses),
                    ("policy_loss", policy),
                    ("value_loss", value),
                    ("clip_fraction", ppo_math.clipped(now.logps, old, advantages, self.clip)),
                    ("approx_kl", ppo_math.k3(old - now.logps)),
                ):
                    sums[key] += float(each.detach().sum()) / total
            if self.supervised:
                examples = self.supervised.draw(name)
                sums["ptx_loss"] = self.supervised.accumulate(examples, self.ptx_coef, micro_tokens)
                sums["loss"] += self.ptx_coef * sums["ptx_loss"]
        return sums

    def _step(self, found: Mapping[str, float]) -> float:
        """One step of the optimiser, unless a number is not finite; the adapter's gradient norm."""
        import torch

        norms = [
            float(torch.nn.utils.clip_grad_norm_(own, self.max_grad_norm))
            for own in (self.parameters, list(self.head.parameters()))
        ]
        check_finite(self.updates, gradient=norms[0], value_gradient=norms[1], **found)
        rise = min(1.0, (self.updates + 1) / max(1, self.warmup))
        for group, rate in zip(self.optimizer.param_groups, (self.lr, self.value_lr), strict=True):
            group["lr"] = rate * rise
        self.optimizer.step()
        self._forget_gradients()
        return norms[0]

    def save(self, folder: Path) -> None:
        """Write adapter, value head and optimiser; `load` goes on to the same weights."""
        kept = {"kl_coef": self.kl_coef, "moments": asdict(self.moments)}
        save_learned(folder, self.agent, self.optimizer, **kept)
        self.head.save(folder)

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        from arena.train.ppo_math import Moments

        state = load_learned(folder, self.agent, self.optimizer)
        self.head.load(folder)
        self.kl_coef, self.moments = state["kl_coef"], Moments(**state["moments"])
