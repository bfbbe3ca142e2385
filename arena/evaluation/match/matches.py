"""Models against models: the same questions, a judge that is asked in both orders, and what it is worth.

Win-rates that count a tie as a half, at equal length (Dubois et al. 2024), by a Bradley-Terry model with ties
where there are more than two; the relative score of Vicuna and SelFee; beside them judges that read nothing.
"""

import random
from collections.abc import Mapping, Sequence

from agents.base import Agent
from agents.dialogue import letters
from agents.errors import ConfigError
from arena.evaluation.findings import Report
from arena.evaluation.match.contestants import JUDGE, contestants
from arena.evaluation.match.judging import Judges
from arena.evaluation.match.play import Comparer
from arena.evaluation.match.played import Played
from arena.evaluation.match.questions import Question, questions
from arena.evaluation.match.report import report
from arena.evaluation.match.rivals import EQUAL, Rivals
from arena.evaluation.match.sources import began_with, same_answers, same_questions
from arena.evaluation.match.talk import Item, answer
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
        same_answers(room, self.answers)
        # Answers are on record by the letter of who gave them.
        room.scribe.run.agree("contestants", {letters(i): arm for i, arm in enumerate(arms)})
        judges = Judges.of(room, self.pairwise, self.agent, self.rubric)
        judges.ready(asked)
        standing = judges.standing(room, asked)
        if self.stop and len(arms) != 2:
            raise ConfigError(f"stop=true compares two contestants, found {', '.join(arms)}: leave two")
        self._begin(room, arms, judges, len(asked))
        for text in standing.values():
            room.scribe.display.say("note", text=text)
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
                standing=standing,
            )
        )

    def _questions(self, room: Room) -> list[Question]:
        """What is asked: the held-out prompts where some are held out, else all; the same in a folder.

        Raises:
            ConfigError: they have changed since the match began.
        """
        before = began_with(room)
        try:
            given, held = room.records(Problem)
        except ConfigError as error:
            if not before:
                raise
            raise ConfigError(
                f"this match asks the questions of {before}, which must be what it was at the start: {error}"
            ) from error
        found = questions(held or given)
        if self.stop:  # looks are only fair where the order has nothing to do with the questions
            found = random.Random(f"matches {room.seed}").sample(found, len(found))
        return same_questions(room, found)

    def _begin(self, room: Room, arms: Mapping[str, Agent], judges: Judges, count: int) -> None:
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


def settled(rivals: Rivals) -> bool:
    """Whether the confidence sequence excludes that both win as often."""
    found = rivals.sequence().interval
    return found.known and not found.low <= EQUAL <= found.high
