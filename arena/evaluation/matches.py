"""Models against models: the same questions, a judge that is asked in both orders, and what it is worth.

Win-rates that count a tie as a half, at equal length (Dubois et al. 2024), by a Bradley-Terry model with ties
where there are more than two; the relative score of Vicuna and SelFee; beside them judges that read nothing.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from agents.base import Agent
from agents.dialogue import letters
from agents.errors import ConfigError
from arena import records
from arena.evaluation.findings import Report
from arena.evaluation.match_contestants import JUDGE, contestants
from arena.evaluation.match_numbers import EQUAL, Rivals, rivals_of
from arena.evaluation.match_play import Comparer, compare, contests, rate
from arena.evaluation.match_played import Played
from arena.evaluation.match_questions import Question, questions
from arena.evaluation.match_report import report
from arena.evaluation.match_standing import standing
from arena.evaluation.match_talk import Item, answer
from arena.evaluation.room import Room
from arena.feedback.events import Work
from arena.feedback.floor import chunks
from arena.problems import Problem
from arena.stats.power import detectable
from rewards.judge import Judge
from rewards.pairwise import Pairwise

WORST = 0.5
"""Spread of scores that are 0 or 1 as often as not: no spread of scores in [0, 1] is greater."""


class Matches:
    """Has contestants answer questions, and a judge compare or rate the answers.

    Args:
        pairwise: how two answers are compared, in both orders; None: answers are only rated.
        agent: who compares; None: the judge's own agent (`judge.agent`), else the first seat.
        checkpoints: folders of runs whose adapters are contestants too, spoken by the first seat.
        answers: stored answers as contestants: by name a JSONL file, or the folder of an earlier evaluation.
        rubric: how a judge is asked about what follows the first answer; first answers have their task's.
        stop: whether two contestants stop as soon as a confidence sequence excludes an equal win-rate.
        chunk: questions between looks with `stop`, at least 1.
        least: the smallest difference of win-rates that matters, in (0, 0.5].
    """

    tables = ("turns", "matches", "verdicts", "failures")

    def __init__(
        self,
        pairwise: Pairwise | None,
        agent: Agent | None = None,
        checkpoints: Sequence[str] = (),
        answers: Mapping[str, str] | None = None,
        rubric: str = "compare_turns",
        stop: bool = False,
        chunk: int = 8,
        least: float = 0.05,
    ) -> None:
        """Check the settings."""
        if chunk < 1:
            raise ConfigError(f"chunk must be at least 1, got {chunk!r}")
        if not 0 < least <= 0.5:
            raise ConfigError(f"least is a difference of win-rates and must be in (0, 0.5], got {least!r}")
        if stop and pairwise is None:
            raise ConfigError("stop=true looks at comparisons, and there are none: set evaluation.pairwise")
        self.pairwise, self.agent, self.rubric = pairwise, agent, rubric
        self.checkpoints, self.answers = list(checkpoints), dict(answers or {})
        self.stop, self.chunk, self.least = stop, chunk, least

    def __call__(self, room: Room) -> Report:
        """Answer, judge, and count.

        Raises:
            ConfigError: there is nobody to meet, nobody who judges, or something that is named is not there.
            Unavailable: a contestant or the judge cannot be reached.
        """
        asked = self._questions(room)
        arms = contestants(room, self.checkpoints, self.answers, asked)
        # Answers are on record by the letter of who gave them.
        room.scribe.run.agree("contestants", {letters(i): arm for i, arm in enumerate(arms)})
        judges = self._judges(room)
        if self.stop and len(arms) != 2:
            raise ConfigError(f"stop=true compares two contestants, found {', '.join(arms)}: leave two")
        self._begin(room, arms, judges, len(asked))
        works = [Work(f"d{number:04d}", question) for number, question in enumerate(asked)]
        items: list[Item] = []
        rivals: list[Rivals] = []
        for part in chunks(works, self.chunk if self.stop else max(1, len(works))):
            items += answer(room, arms, part)
            judges.decide(room, items, list(arms))
            rivals = judges.rivals(room, items, list(arms))
            if self.stop and settled(rivals[0]):
                break
        return report(
            Played(
                conf=room.conf,
                seed=room.seed,
                arms=arms,
                asked=asked,
                items=items,
                rivals=rivals,
                ratings=judges.ratings(room, items),
                judges=judges.agents,
                orders=(2 if self.pairwise.swap else 1) if self.pairwise else 0,
                stop=self.stop,
                least=self.least,
                standing=judges.standing(room, items, list(arms)),
            )
        )

    def _questions(self, room: Room) -> list[Question]:
        """What is asked: the held-out prompts where some are held out, else all; drawn once for a folder."""

        def drawn() -> list[records.Row]:
            given, held = room.records(Problem)
            found = questions(held or given)
            if self.stop:  # looks are only fair where the order has nothing to do with the questions
                found = random.Random(f"matches {room.seed}").sample(found, len(found))
            return [question.row for question in found]

        return [Question.of(row) for row in room.scribe.run.remember("problems", drawn)]

    def _judges(self, room: Room) -> "_Judges":
        first = next(iter(room.seats.values()), None)
        rater = room.judge.agent if room.judge is not None else None
        agent = self.agent or rater or first
        if self.pairwise is None and room.judge is None:
            raise ConfigError("nobody judges: set evaluation.pairwise, or a judge that rates by judge=rating")
        if agent is None:
            raise ConfigError("nobody is there to judge: seat a judge by agent@evaluation.agent=PART")
        comparer = Comparer(self.pairwise, agent, self.rubric) if self.pairwise else None
        return _Judges(comparer, room.judge, rater or agent)

    def _begin(self, room: Room, arms: Mapping[str, Agent], judges: "_Judges", count: int) -> None:
        """Refuse other weights than those on record, show what begins and what it can show."""
        named: dict[str, Comparer | Judge] = {}
        if judges.comparer:
            named["which is better"] = judges.comparer
        if judges.judge:
            named["rating"] = judges.judge
        room.begin({**arms, JUDGE: judges.agents[0]}, named, f"{len(arms)} contestants, {count} questions")
        if judges.comparer:
            can = detectable(count, WORST)
            text = f"{count} questions are too few to show any difference between two contestants"
            if can < 0.5:
                text = (
                    f"{count} questions can show a win-rate of {0.5 + can:.2f} and more, or {0.5 - can:.2f} "
                    "and less (with a chance of 80 %, if no two answers tie)"
                )
            room.scribe.display.say("note", text=text)


@dataclass(frozen=True)
class _Judges:
    """Who compares, who rates, and what is on record of it."""

    comparer: Comparer | None
    judge: Judge | None
    rater: Agent

    @property
    def agents(self) -> list[Agent]:
        """All who are asked, each once."""
        everybody = [self.comparer.agent] if self.comparer else []
        everybody += [self.rater] if self.judge is not None and self.judge.asks else []
        return list(dict.fromkeys(everybody)) or [self.rater]

    def decide(self, room: Room, items: Sequence[Item], arms: Sequence[str]) -> None:
        """Have all answers judged that are not yet."""
        if self.comparer is not None:
            compare(room, self.comparer, contests(items, arms))
        if self.judge is not None:
            rate(room, self.judge, self.rater, items)

    def standing(self, room: Room, items: Sequence[Item], arms: Sequence[str]) -> dict[str, str]:
        """What is known against who compares."""
        if self.comparer is None:
            return {}
        return standing(self.comparer, contests(items, arms), room.scribe.run.path.parent)

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
            ConfigError: the judge gives scores, whose sums have no ratio.
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
                    raise ConfigError(f"{self.judge} gives scores, not ratings in 1..10: take another judge")
                found.setdefault(arm, {})[f"{item.work.id}.{item.turn}"] = rating
        return found


def settled(rivals: Rivals) -> bool:
    """Whether the confidence sequence excludes that both win as often."""
    found = rivals.sequence().interval
    return found.known and not found.low <= EQUAL <= found.high
