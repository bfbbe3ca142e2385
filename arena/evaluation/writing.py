"""What writers and summaries share: texts of several versions of one agent to the same prompts, judged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agents.base import Agent
from agents.dialogue import Turn, letters
from arena.evaluation import diversity
from arena.evaluation.findings import Finding
from arena.evaluation.room import Room
from arena.feedback.events import Work
from arena.feedback.floor import Line
from arena.stats.resampling import Interval, Items, Places, Statistic
from arena.stats.shares import mean
from rewards.judge import Judge
from rewards.verdict import Verdict

MANY_CUT = 0.3
"""Share of truncated texts from which an arm's texts are no whole texts."""
TABLES = ("turns", "verdicts", "failures")


@dataclass(frozen=True)
class Texts:
    """What each arm wrote to each prompt that all of them answered."""

    works: Sequence[Work]
    turns: Mapping[str, Sequence[Turn]]
    """By arm, one per prompt; each arm is compared with the one before it."""

    def words(self) -> dict[str, list[list[str]]]:
        """The words of each text."""
        return {arm: [diversity.words(turn.text) for turn in own] for arm, own in self.turns.items()}

    def means(
        self, measure: str, values: Mapping[str, Sequence[float | None]], digits: int = 3
    ) -> list[Finding]:
        """The mean of a number of each text by arm, on the prompts where all arms have one.

        Where all texts are alike, the interval allows for others, as far apart as any of all arms.
        """
        places = [i for i in range(len(self.works)) if all(own[i] is not None for own in values.values())]
        prompts = [self.works[i].id for i in places]
        columns = {arm: _known(own[i] for i in places) for arm, own in values.items()}
        everything = [value for own in columns.values() for value in own]
        least, most = min(everything, default=0.0), max(everything, default=0.0)
        found: list[Finding] = []
        for (arm, own), (before, old) in zip(columns.items(), [("", []), *columns.items()], strict=False):
            less = [now - then for now, then in zip(own, old, strict=False)]
            change = _mean(less, prompts[: len(less)], least - most, most - least)
            interval = _mean(own, prompts, least, most)
            found.append(Finding(measure, arm, interval, before if change else "", change, digits))
        return found

    def wholes(self, measure: str, statistics: Mapping[str, Statistic], digits: int = 3) -> list[Finding]:
        """A share of all texts of an arm together; its interval leaves out one prompt at a time."""
        items = Items([work.id for work in self.works])
        found: list[Finding] = []
        before = ""
        for arm, own in statistics.items():
            change = items.jackknife(_less(own, statistics[before])) if before else None
            interval = _share(items.jackknife(own))
            found.append(Finding(measure, arm, interval, before if change else "", change, digits))
            before = arm
        return found

    def common(self) -> list[Finding]:
        """What is measured of all texts: how long they are, and how many were cut."""
        lengths = {arm: [float(len(text)) for text in own] for arm, own in self.words().items()}
        cut = {arm: [float(turn.reply.truncated) for turn in own] for arm, own in self.turns.items()}
        return [*self.means("words", lengths, 1), *self.means("share cut", cut, 2)]

    def alarms(self) -> dict[str, str]:
        """What speaks against all comparisons of these texts, by name."""
        found = {}
        for arm, turns in self.turns.items():
            cut = sum(turn.reply.truncated for turn in turns)
            if cut > MANY_CUT * len(turns):
                found[f"truncated_{arm}"] = (
                    f"{cut} of {len(turns)} texts by {arm} were cut at the token limit, and judged as they "
                    "are: raise max_new_tokens of the agent"
                )
        return found


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float], prompts: Sequence[str], low: float, high: float) -> Interval | None:
    """The mean with its interval; the scale, which is what was seen, counts only where all are alike."""
    found = mean(values, prompts)
    return found if found is None or found.known else mean(values, prompts, low, high)


def _share(found: Interval | None) -> Interval | None:
    """An interval that does not leave [0, 1]; one that is not known stays so."""
    if found is None or not found.known:
        return found
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def _less(one: Statistic, other: Statistic) -> Statistic:
    def difference(places: Places) -> float:
        return one(places) - other(places)

    return difference


def write(room: Room, arms: Mapping[str, Agent], works: Sequence[Work]) -> Texts:
    """Have each arm write to each prompt, with equal seeds; a prompt that one of them left is left out.

    Raises:
        Unavailable: an arm cannot be reached.
    """
    place = {arm: letters(number) for number, arm in enumerate(arms)}
    lines = [
        Line(work.turn_id(0, place[arm]), "", arm, "answer", work.view(agent))
        for work in works
        for arm, agent in arms.items()
    ]
    said = room.said(arms, lines)
    whole = [work for work in works if all(work.turn_id(0, each) in said for each in place.values())]
    turns = {arm: [said[work.turn_id(0, place[arm])] for work in whole] for arm in arms}
    return Texts(whole, turns)


def judge_texts(
    room: Room, name: str, judge: Judge, agent: Agent, texts: Texts
) -> dict[str, list[Verdict | None]]:
    """The verdict on each text by arm; None where the judge abstained, which is on record as a failure."""
    cases = {
        arm: [
            replace(work.case(turn), id=f"{turn.id}.{name}")
            for work, turn in zip(texts.works, own, strict=True)
        ]
        for arm, own in texts.turns.items()
    }
    found = room.judged(name, judge, agent, [case for own in cases.values() for case in own])
    return {arm: [found.get(case.id) for case in own] for arm, own in cases.items()}


def rewards(verdicts: Mapping[str, Sequence[Verdict | None]]) -> dict[str, list[float | None]]:
    """The reward of each text, by arm."""
    return {arm: [verdict.reward if verdict else None for verdict in own] for arm, own in verdicts.items()}


def ratings(verdicts: Mapping[str, Sequence[Verdict | None]]) -> dict[str, list[float | None]] | None:
    """The rating of each text, by arm; None where the judge gives scores."""
    found = {arm: [verdict.rating if verdict else None for verdict in own] for arm, own in verdicts.items()}
    return found if any(value is not None for own in found.values() for value in own) else None
