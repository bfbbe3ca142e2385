"""A reward model as the judge: the score of a trained head on the last token of an answer."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agents import adapters
from agents.base import Agent
from agents.dialogue import Reply
from agents.errors import ConfigError, Unavailable
from agents.local import Local
from rewards.scores import Score, Scored
from rewards.verdict import Case

if TYPE_CHECKING:
    import torch

    from agents.scoring import Group

HEAD = "reward_head.safetensors"
"""Beside an adapter: the head that makes a score of the last token's state, `weight` (1, hidden)."""


class RewardModel(Scored):
    """Scores answers by what `train=reward` has learned from pairs: w h, h the state of the last token.

    Scores are on a scale without a zero or a unit: only their differences mean anything, and those only
    between answers to one prompt (Bradley and Terry 1952).

    Args:
        agent: a local agent whose `adapter` is the run folder of a reward model, or the adapter's own folder.
        tie_margin: scores this close are a tie, at least 0.
        pair_truncated: whether drafts that were cut at the token limit may make a pair.
        gate: as for `Judge`.
        calibration: as for `Judge`.
    """

    def __init__(
        self,
        agent: Local,
        tie_margin: float = 0.0,
        pair_truncated: bool = False,
        gate: str = "",
        calibration: str = "",
    ) -> None:
        """Take the settings; nothing is loaded."""
        super().__init__(agent, tie_margin, pair_truncated, gate, calibration)
        if not isinstance(agent, Local) or not agent.initial:
            raise ConfigError(
                "a reward model is a local agent with an adapter: set judge.agent.adapter to the folder "
                "of a run of `python -m arena.train train=reward`"
            )
        self.model = agent

    @functools.cached_property
    def head(self) -> "torch.Tensor":
        """(hidden,) in fp32.

        Raises:
            ConfigError: the adapter has no head for scores.
            Unavailable: its head is of another size.
        """
        from safetensors.torch import load_file

        path = adapters.find(self.model.initial) / HEAD
        if not path.is_file():
            raise ConfigError(
                f"{path.parent} is no reward model: it has no {HEAD}. Give a run of "
                "`python -m arena.train train=reward` as judge.agent.adapter"
            )
        weight: torch.Tensor = load_file(path)["weight"].float()
        hidden = self.model.backbone.model.config.get_text_config().hidden_size
        if tuple(weight.shape) != (1, hidden):
            raise Unavailable(
                f"{path} has the shape {tuple(weight.shape)}, but {self.model.name} needs (1, {hidden})"
            )
        return weight[0].to(self.model.backbone.device)

    def score(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Score]:
        """One score per case; a prompt is read once for all its answers."""
        import torch

        groups: dict[tuple[int, ...], list[int]] = {}
        for number, case in enumerate(cases):
            groups.setdefault(tuple(self.model.prompt_ids(case.prompt)), []).append(number)
        laid = [(ids, [said(self.model, cases[i].reply) for i in own]) for ids, own in groups.items()]
        with torch.no_grad():
            values = self.model.engine.attempt(lambda: self._values(laid))
        order = [number for own in groups.values() for number in own]
        found = dict(zip(order, values, strict=True))
        return [
            Score(found[number], raw="the head's product with the last token's state")
            for number in range(len(cases))
        ]

    def _values(self, groups: Sequence["Group"]) -> list[float]:
        """Scores of all completions of `groups`, in order."""
        import torch

        from agents.reader import PASS
        from agents.scoring import Pack, packs

        backbone, values = self.model.backbone, []
        with backbone.speaking_as(self.model.reference):
            for part in packs(groups, min(self.model.engine.tokens, PASS)):
                pack = Pack.of([groups[i] for i in part], backbone.device)
                states = backbone.read(pack.ids, pack.plan)[_ends([groups[i] for i in part])]
                values += torch.mv(states.float(), self.head).tolist()
        return values


def said(agent: Local, reply: Reply) -> list[int]:
    """The tokens of a reply as a reward model reads them: its text, and the end of turn if it ended."""
    ids = agent.completion_ids(Reply(reply.text))
    return ids[:-1] if reply.truncated else ids


def _ends(groups: Sequence["Group"]) -> list[int]:
    """Places of the last token of each completion in a pack."""
    places, at = [], 0
    for prompt, completions in groups:
        at += len(prompt)
        for completion in completions:
            at += len(completion)
            places.append(at - 1)
    return places
