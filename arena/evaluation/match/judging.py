"""Who judges a match: found, and tried, before anything is written; and what is on record of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from agents.base import Agent
from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from agents.scripted import Scripted
from arena import records
from arena.evaluation.match.play import Comparer, compare, contests, rate
from arena.evaluation.match.questions import Question
from arena.evaluation.match.rivals import Rivals, rivals_of
from arena.evaluation.match.standing import standing
from arena.evaluation.match.talk import Item
from arena.evaluation.room import Room
from rewards.judge import Judge
from rewards.pairwise import Pairwise
from rewards.scores import Scored
from rewards.verdict import Case


@dataclass(frozen=True)
class Judges:
    """Who compares, who rates, and what is on record of it."""

    comparer: Comparer | None
    judge: Judge | None
    rater: Agent

    @classmethod
    def of(cls, room: Room, pairwise: Pairwise | None, agent: Agent | None, rubric: str) -> "Judges":
        """Those whom the settings name.

        Args:
            room: whose judge rates, and whose first seat judges where nobody else is named.
            pairwise: how two answers are compared; None: they are only rated.
            agent: who compares; None: the agent of the room's judge, else the first seat.
            rubric: by which answers after the first are compared.

        Raises:
            ConfigError: nobody judges.
        """
        first = next(iter(room.seats.values()), None)
        rater = room.judge.agent if room.judge is not None else None
        agent = agent or rater or first
        if pairwise is None and room.judge is None:
            raise ConfigError("nobody judges: set evaluation.pairwise, or a judge that rates by judge=rating")
        if agent is None:
            raise ConfigError("nobody is there to judge: seat a judge by agent@evaluation.agent=PART")
        comparer = Comparer(pairwise, agent, rubric) if pairwise else None
        return cls(comparer, room.judge, rater or agent)

    @property
    def agents(self) -> list[Agent]:
        """All who are asked, each once."""
        everybody = [self.comparer.agent] if self.comparer else []
        everybody += [self.rater] if self.judge is not None and self.judge.asks else []
        return list(dict.fromkeys(everybody)) or [self.rater]

    def ready(self, asked: Sequence[Question]) -> None:
        """Find out whether they can judge answers to some questions; no model is asked, and nothing loaded.

        Raises:
            ConfigError: one cannot, or a rubric cannot be read or does not show both answers.
        """
        if isinstance(self.judge, Scored):
            raise ConfigError(
                f"the judge {self.judge} gives scores, and a match needs ratings from 1 to 10, whose sums "
                "have a ratio: take judge=rating, or judge=null where answers are only compared"
            )
        if self.comparer is None:
            return
        _refuse_mute(self.comparer.agent)
        rubrics, said = self.comparer.rubrics(asked), (Message(role="user", content="?"),)
        cases = [Case(name, "?", said, Reply("one"), Reply("other")) for name in rubrics]
        self.comparer.pairwise(Scripted(["Better: C"]), cases, [0] * len(cases), rubrics)

    def decide(self, room: Room, items: Sequence[Item], arms: Sequence[str]) -> None:
        """Have all answers judged that are not yet."""
        if self.comparer is not None:
            compare(room, self.comparer, contests(items, arms))
        if self.judge is not None:
            rate(room, self.judge, self.rater, items)

    def standing(self, room: Room, asked: Sequence[Question]) -> dict[str, str]:
        """What is known against who compares.

        Raises:
            ConfigError: a verdict of `arena.judge` cannot be read.
        """
        if self.comparer is None:
            return {}
        return standing(self.comparer, self.comparer.rubrics(asked), room.scribe.run.path.parent)

    def rivals(self, room: Room, items: Sequence[Item], arms: Sequence[str]) -> list[Rivals]:
        """What is on record of each two contestants; nothing where answers are only rated."""
        if self.comparer is None:
            return []
        wanted = {contest.id for contest in contests(items, arms)}
        rows = [row for row in room.scribe.run.rows("matches") if row["id"] in wanted]
        texts = {turn.id: turn.text for item in items for turn in item.answers.values()}
        return rivals_of(rows, texts, list(combinations(arms, 2)), room.seed)

    def ratings(self, room: Room, items: Sequence[Item]) -> dict[str, dict[str, float]]:
        """By contestant the rating of each of its answers, by `dialogue.turn`.

        Raises:
            ConfigError: the judge gives no ratings.
        """
        if self.judge is None:
            return {}
        verdicts = {row["id"]: records.verdict_of(row) for row in room.scribe.run.rows("verdicts")}
        found: dict[str, dict[str, float]] = {}
        for item in items:
            for arm, turn in item.answers.items():
                if turn.id not in verdicts:
                    continue
                rating = verdicts[turn.id].rating
                if rating is None:
                    raise ConfigError(f"{self.judge} gives no ratings in 1..10: take another judge")
                found.setdefault(arm, {})[f"{item.work.id}.{item.turn}"] = rating
        return found


def _refuse_mute(agent: Agent) -> None:
    """Refuse who cannot say which answer is better: a reward model, and who neither speaks nor has labels."""
    from agents import adapters
    from agents.local import Local
    from rewards.reward_model import HEAD

    if isinstance(agent, Local) and agent.initial and (adapters.find(agent.initial) / HEAD).is_file():
        raise ConfigError(
            f"{agent.initial} is a reward model: it scores answers and cannot say which of two is better; "
            "seat a judge that speaks by agent@evaluation.agent=PART"
        )
    if not agent.reads_labels and type(agent).reply is Agent.reply:
        raise ConfigError(
            f"{agent.name} cannot compare: it neither writes nor has label probabilities; seat another judge "
            "by agent@evaluation.agent=PART"
        )
