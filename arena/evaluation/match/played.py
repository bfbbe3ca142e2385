"""A match that is over, and all that its numbers are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from agents.base import Agent
from agents.errors import ConfigError
from arena.evaluation.match.questions import Question
from arena.evaluation.match.rivals import Rivals
from arena.evaluation.match.talk import Item
from arena.evaluation.writing import Texts
from arena.stats import bradley_terry
from arena.stats.bradley_terry import Standing


@dataclass(frozen=True)
class Played:
    """A match that is over."""

    conf: str
    seed: int
    arms: Mapping[str, Agent]
    asked: Sequence[Question]
    items: Sequence[Item]
    """Fewer than were asked where it stopped early."""
    rivals: Sequence[Rivals]
    """Every two contestants; none where answers were only rated."""
    ratings: Mapping[str, Mapping[str, float]]
    """By contestant and `dialogue.turn`; empty where nobody rates."""
    judges: Sequence[Agent]
    orders: int
    """In which answers are compared: 2, 1, or 0 where they are only rated."""
    stop: bool
    """Whether it was to stop as soon as one is better."""
    least: float
    """The smallest difference of win-rates that matters."""
    standing: Mapping[str, str]
    """What is known against the judge, by name."""

    @property
    def held(self) -> int:
        """Questions that were asked before the end."""
        return len({item.work.id for item in self.items})

    @property
    def stopped(self) -> bool:
        """Whether it ended before the last question."""
        return self.held < len(self.asked)

    def empty(self, arm: str) -> int:
        """Answers of a contestant without any word."""
        return sum(arm in item.empty for item in self.items)

    @cached_property
    def texts(self) -> Texts:
        """What everybody said on the turns that all have answered."""
        whole = [item for item in self.items if len(item.answers) == len(self.arms)]
        turns = {arm: [item.answers[arm] for item in whole] for arm in self.arms}
        return Texts([item.work for item in whole], turns)

    @cached_property
    def standings(self) -> list[Standing]:
        """Of three contestants and more; none where games do not connect them."""
        games = [game for rivals in self.rivals for game in rivals.games]
        if len(self.arms) < 3 or not games:
            return []
        try:
            return bradley_terry.table(games, self.seed)
        except ConfigError:  # groups that never met have no common scale; an alarm says so
            return []
