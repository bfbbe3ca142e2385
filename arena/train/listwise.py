"""Listwise learning: several answers to a prompt, each with its reward, pull the policy all at once."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any, ClassVar

from agents.errors import ConfigError
from arena.stats.intervals import clustered_mean
from arena.train.fitting import Fitting, Task
from rewards.verdict import Ranking

if TYPE_CHECKING:
    import torch

    from agents.local import Local
    from agents.scoring import Group
    from arena.train.desk import Desk


class Listwise:
    """Fits the log-ratios of policy and reference over K drafts of a prompt to their rewards.

    exo: KL(softmax(beta log-ratio) || softmax(reward / temperature)) (Ji et al. 2024, Eq. 14).
    mse: (log-ratio - reward / beta + log Z)^2, log Z from the mean of exp(reward / beta) over the drafts.

    Args:
        loss: `exo` or `mse`.
        beta: strength of the tie to the reference, above 0.
        temperature: of the rewards' softmax, above 0; for `exo` alone.
        fitting: settings of `arena.train.fitting.Fitting`.
    """

    takes: ClassVar[type] = Ranking
    needs_judge: ClassVar[bool] = False

    def __init__(
        self, loss: str = "exo", beta: float = 0.1, temperature: float = 1.0, **fitting: Any
    ) -> None:
        """Check the settings."""
        if loss not in ("exo", "mse"):
            raise ConfigError(f"loss={loss!r} is not known; allowed are exo, mse")
        if not beta > 0 or not temperature > 0:
            raise ConfigError(
                "listwise learning needs beta > 0 and temperature > 0, got "
                f"beta={beta!r}, temperature={temperature!r}"
            )
        if loss == "mse" and temperature != 1:
            raise ConfigError(f"loss=mse has no temperature (beta scales the rewards), got {temperature!r}")
        self.loss_name, self.beta, self.temperature = loss, beta, temperature
        self.fitting = Fitting(**fitting)

    def fit(
        self, policy: "Local", train: Sequence[Ranking], valid: Sequence[Ranking], desk: "Desk", *judge: Any
    ) -> None:
        """Train an adapter of `policy`; before, in between and after, rank the drafts in `valid` by it.

        Raises:
            ConfigError: a ranking has fewer than two drafts, or not one reward for each.
            Diverged: a loss or gradient is not finite.
        """
        for ranking in (*train, *valid):
            if len(ranking.replies) < 2 or len(ranking.replies) != len(ranking.rewards):
                raise ConfigError(
                    f"{ranking.id}: a ranking needs two replies or more and a reward for each, found "
                    f"{len(ranking.replies)} and {len(ranking.rewards)}"
                )
        references = sequence_logps(policy.fixed(), train)
        held_out = sequence_logps(policy.fixed(), valid)

        def losses(numbers: Sequence[int], logps: Sequence["torch.Tensor"]) -> "torch.Tensor":
            import torch

            sums = iter([row.sum() for row in logps])
            found = []
            for i in numbers:
                said = torch.stack(list(itertools.islice(sums, len(train[i].replies))))
                found.append(self.loss(said - said.new_tensor(references[i]), train[i].rewards))
            return torch.stack(found)

        groups = _groups(policy, train)
        task = Task(groups, [1] * len(groups), losses, lambda: self._evaluate(policy, valid, held_out, desk))
        self.fitting.run(policy, task, desk)

    def loss(self, ratios: "torch.Tensor", rewards: Sequence[float]) -> "torch.Tensor":
        """The loss of one ranking, from the log-ratios (drafts,) of its whole drafts."""
        from arena.train.losses import LISTWISE

        return LISTWISE[self.loss_name](ratios, self.beta, ratios.new_tensor(rewards) / self.temperature)

    def _evaluate(
        self,
        policy: "Local",
        rankings: Sequence[Ranking],
        references: Sequence[Sequence[float]],
        desk: "Desk",
    ) -> Mapping[str, float | int] | None:
        """Loss on held-out rankings, and how often the better of two drafts has the higher log-ratio.

        A ranking is one question, however many pairs its drafts make: the interval is clustered by it.
        """
        import torch

        if not rankings:
            return None
        losses, means, found = [], [], []
        said = sequence_logps(policy, rankings)
        for ranking, now, before in zip(rankings, said, references, strict=True):
            ratios = torch.tensor(now, dtype=torch.float64) - torch.tensor(before, dtype=torch.float64)
            losses.append(float(self.loss(ratios, ranking.rewards)))
            means.append(float(ratios.mean()))
            found += [(value, ranking.id) for value in in_order(ratios.tolist(), ranking.rewards)]
        accuracy = clustered_mean([value for value, _ in found], [name for _, name in found])
        if accuracy is None or accuracy.clusters < 2:
            desk.note("no measurement: fewer than two held-out rankings have drafts of different rewards")
            return None
        return {
            "rankings": len(rankings),
            "loss": mean(losses),
            "log_ratio": mean(means),
            "pairs": accuracy.n,
            "accuracy": accuracy.value,
            "accuracy_half": accuracy.half,
        }


def sequence_logps(agent: "Local", rankings: Sequence[Ranking]) -> list[list[float]]:
    """Log-probability in nats of each whole draft of each ranking; each prompt is read once."""
    import torch

    from agents.reader import PASS
    from agents.scoring import Pack, completion_logps, packs

    groups, backbone = _groups(agent, rankings), agent.backbone

    def score() -> list[float]:
        sums: list[float] = []
        with torch.no_grad(), backbone.speaking_as(agent.adapter):
            for part in packs(groups, min(agent.engine.tokens, PASS)):
                pack = Pack.of([groups[i] for i in part], backbone.device)
                rows = torch.split(completion_logps(backbone, pack), list(pack.lengths))
                sums += [float(row.double().sum()) for row in rows]
        return sums

    sums = iter(agent.engine.attempt(score))
    return [list(itertools.islice(sums, len(ranking.replies))) for ranking in rankings]


def in_order(ratios: Sequence[float], rewards: Sequence[float]) -> list[float]:
    """For each two drafts of different rewards: 1 where the better one's ratio is higher, 0.5 where equal."""
    found = []
    for (a, reward_a), (b, reward_b) in itertools.combinations(zip(ratios, rewards, strict=True), 2):
        if reward_a != reward_b:
            found.append(0.5 if a == b else float((a > b) == (reward_a > reward_b)))
    return found


def _groups(agent: "Local", rankings: Sequence[Ranking]) -> list["Group"]:
    return [
        (agent.prompt_ids(ranking.prompt), [agent.completion_ids(reply) for reply in ranking.replies])
        for ranking in rankings
    ]
