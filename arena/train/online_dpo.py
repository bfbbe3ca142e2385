"""Online DPO: the pairs of one step of the arena change the adapter of the seat that wrote them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.base import Agent
from agents.errors import ConfigError
from arena.train.errors import check_finite
from arena.train.memory import within_memory
from arena.train.optimizer import adamw, load_learned, save_learned, whole_or_not
from rewards.verdict import Preference

if TYPE_CHECKING:
    import torch

    from agents.scoring import Group, Pack
    from arena.loop import Exchange


@dataclass(frozen=True)
class Update:
    """What one step of the learner did. Log-ratios are in nats over whole completions."""

    pairs: int
    loss: float
    margin: float
    """Mean of beta times the difference of log-ratios, before the update."""
    accuracy: float
    """Share of pairs with a positive margin, in [0, 1]; a zero margin counts a half."""
    reward_chosen: float
    """Mean implicit reward, beta times the log-ratio, of the chosen replies."""
    reward_rejected: float
    kl: float
    """Mean over completion tokens of log pi - log ref, in nats a token, padding left out."""
    grad_norm: float
    """Before clipping."""
    seconds: float


class OnlineDPO:
    """Trains one seat's LoRA adapter; the reference is the same weights as they were before.

    Args:
        lr: learning rate; adapters want 1e-5 or more.
        beta: strength of the tie to the reference, above 0.
        loss: a name in `arena.train.losses.LOSSES`.
        rank: of the adapter.
        alpha: LoRA's scale is alpha / rank.
        epochs: passes over the pairs of a step, at least 1; the first alone is on-policy.
        micro_tokens: tokens in one forward pass, if a pair does not take more; whole pairs go together.
        warmup: steps over which the rate rises linearly.
        max_grad_norm: gradients are clipped to this norm.
        checkpointing: recompute activations in the backward pass, to save memory.
        seed: of the adapter's initial weights.
    """

    least_drafts = 2

    def __init__(
        self,
        lr: float = 5e-5,
        beta: float = 0.1,
        loss: str = "sigmoid",
        rank: int = 16,
        alpha: float = 16.0,
        epochs: int = 1,
        micro_tokens: int = 1024,
        warmup: int = 0,
        max_grad_norm: float = 1.0,
        checkpointing: bool = False,
        seed: int = 0,
    ) -> None:
        """Check the settings; weights come with `attach`."""
        if lr <= 0 or beta <= 0 or min(epochs, micro_tokens, rank) < 1:
            raise ConfigError(
                "online DPO needs lr > 0, beta > 0 and epochs, micro_tokens, rank >= 1, got "
                f"lr={lr!r}, beta={beta!r}, epochs={epochs!r}, micro_tokens={micro_tokens!r}, rank={rank!r}"
            )
        self.lr, self.beta, self.loss_name = lr, beta, loss
        self.rank, self.alpha, self.seed = rank, alpha, seed
        self.epochs, self.micro_tokens, self.warmup = epochs, micro_tokens, warmup
        self.max_grad_norm, self.checkpointing = max_grad_norm, checkpointing
        self._check_loss()

    def _check_loss(self) -> None:
        names = ("sigmoid", "ipo", "hinge", "exo", "mse")
        if self.loss_name not in names:
            raise ConfigError(f"loss={self.loss_name!r} is not known; allowed are {', '.join(names)}")

    def attach(self, agent: Agent, seat: str) -> None:
        """Give `agent` a fresh adapter named after its seat, and make its optimiser.

        Raises:
            ConfigError: the agent has no weights here that could be trained.
        """
        from agents.backbone import Lora
        from agents.local import Local

        if not isinstance(agent, Local):
            raise ConfigError(
                f"the seat {seat!r} cannot learn: {type(agent).__name__} has no weights here; "
                "take it out of `learners`, or seat a local agent (conf/agent)"
            )
        self.agent = agent
        agent.learn_as(seat, Lora(self.rank, self.alpha, agent.lora_targets, self.seed))
        self.parameters = agent.backbone.adapter_parameters(seat)
        self.optimizer = adamw(self.parameters, self.lr)

    def learn(self, exchanges: Sequence["Exchange"]) -> Update | None:
        """Learn from the pairs of one step's exchanges."""
        return self.step([exchange.preference for exchange in exchanges if exchange.preference])

    def step(self, preferences: Sequence[Preference]) -> Update | None:
        """Learn from the pairs of one step; no pairs, no update."""
        # What the adapter has read ends with the step, also where nothing is learned: so a run that was
        # stopped and continued reads the same way.
        self.agent.backbone.engine.forget(self.agent.adapter)
        if not preferences:
            return None
        import torch

        start = time.perf_counter()
        first: dict[str, float] = {}
        references: dict[int, list[torch.Tensor]] = {}
        with whole_or_not(self.parameters, self.optimizer):
            for _ in range(self.epochs):
                sums = self._gradients(preferences, references)
                norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
                check_finite(self.agent.updates, loss=sums["loss"], gradient=float(norm))
                for group in self.optimizer.param_groups:
                    group["lr"] = self.lr * min(1.0, (self.agent.updates + 1) / max(1, self.warmup))
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
                first = first or {**sums, "grad_norm": float(norm)}
        self.agent.updates += 1
        return Update(pairs=len(preferences), seconds=time.perf_counter() - start, **first)

    def _gradients(
        self, preferences: Sequence[Preference], references: dict[int, list["torch.Tensor"]]
    ) -> dict[str, float]:
        """Gradients and statistics; where memory runs out, from passes of half the size.

        `references` keeps what the reference says, by the size of a pass, for the next epoch.
        """

        def work(micro_tokens: int) -> dict[str, float]:
            packs = self._packs(preferences, micro_tokens)
            if micro_tokens not in references:
                references[micro_tokens] = self._reference(packs)
            return self._accumulate(packs, references[micro_tokens], len(preferences))

        least = min(len(prompt) + sum(map(len, replies)) for prompt, replies in self._groups(preferences))
        done, self.micro_tokens = within_memory(
            work, self.micro_tokens, least, lambda: self.optimizer.zero_grad(set_to_none=True)
        )
        return done

    def _groups(self, preferences: Sequence[Preference]) -> list["Group"]:
        """The tokens of each pair: its prompt once, its chosen and then its rejected reply."""
        return [
            (
                self.agent.prompt_ids(preference.prompt),
                [self.agent.completion_ids(reply) for reply in (preference.chosen, preference.rejected)],
            )
            for preference in preferences
        ]

    def _packs(
        self, preferences: Sequence[Preference], micro_tokens: int
    ) -> list[tuple[list[Preference], "Pack"]]:
        """Pairs of a forward pass, at most `micro_tokens` tokens together, if a pair does not take more."""
        from agents.scoring import Pack, packs

        groups = self._groups(preferences)
        return [
            ([preferences[i] for i in part], Pack.of([groups[i] for i in part], self.agent.backbone.device))
            for part in packs(groups, micro_tokens)
        ]

    def _reference(self, packs: Sequence[tuple[list[Preference], "Pack"]]) -> list["torch.Tensor"]:
        """Token log-probabilities of each pack under the reference."""
        import torch

        from agents.scoring import completion_logps

        backbone = self.agent.backbone
        with backbone.speaking_as(self.agent.reference), torch.no_grad():
            return [completion_logps(backbone, pack) for _, pack in packs]

    def _accumulate(
        self,
        packs: Sequence[tuple[list[Preference], "Pack"]],
        reference: Sequence["torch.Tensor"],
        pairs: int,
    ) -> dict[str, float]:
        """Gradients of the mean loss over all pairs, and its statistics."""
        import torch

        from agents.scoring import completion_logps
        from arena.train.losses import LOSSES, PER_TOKEN

        sums = dict.fromkeys(("loss", "margin", "accuracy", "reward_chosen", "reward_rejected"), 0.0)
        log_ratio = tokens = 0.0
        backbone = self.agent.backbone
        with backbone.speaking_as(self.agent.adapter), backbone.training(self.checkpointing):
            for (preferences, pack), ref in zip(packs, reference, strict=True):
                ratios = completion_logps(backbone, pack) - ref  # (completion tokens,)
                by_reply = torch.stack([part.sum() for part in torch.split(ratios, list(pack.lengths))])
                lengths = by_reply.new_tensor(pack.lengths if self.loss_name in PER_TOKEN else 1.0)
                chosen, rejected = (by_reply / lengths).view(-1, 2).unbind(1)  # (pairs,)
                margins = by_reply.new_tensor([preference.margin for preference in preferences])
                h = chosen - rejected
                losses = LOSSES[self.loss_name](h, self.beta, margins)
                (losses.sum() / pairs).backward()  # type: ignore[no-untyped-call]
                log_ratio += float(ratios.detach().sum())
                tokens += sum(pack.lengths)
                h, by_reply = h.detach(), by_reply.detach().view(-1, 2)
                for key, value in (
                    ("loss", losses.detach()),
                    ("margin", self.beta * h),
                    ("accuracy", (h > 0).float() + 0.5 * (h == 0).float()),
                    ("reward_chosen", self.beta * by_reply[:, 0]),
                    ("reward_rejected", self.beta * by_reply[:, 1]),
                ):
                    sums[key] += float(value.sum()) / pairs
        return {**sums, "kl": log_ratio / tokens}

    def save(self, folder: Path) -> None:
        """Write adapter and optimiser; `load` goes on to the same weights."""
        save_learned(folder, self.agent, self.optimizer)

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote."""
        load_learned(folder, self.agent, self.optimizer)
