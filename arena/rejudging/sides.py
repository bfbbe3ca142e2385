"""Two judges on the same drafts: what each said of each draft, and of each pair of one exchange."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from agents.errors import ConfigError
from arena.evaluation.diversity import words
from arena.rejudging.stored import Stored
from rewards.scores import SCALE
from rewards.verdict import Verdict, normalise

COUNTED = {
    "rating+wim": "cosine", "rating+wim_shuffled": "cosine_shuffled", "rating+wim_topic": "cosine_topic",
}  # fmt: skip
"""Scale -> the cosine that is part of its rewards."""
SHOWN = 3
"""Ids that a message names."""


@dataclass(frozen=True)
class Draft:
    """A draft that two judges judged."""

    id: str
    exchange: str
    cluster: str
    """Its topic, or the problem that it answers: drafts of one are not independent."""
    text: str

    @property
    def words(self) -> int:
        """How many words it has."""
        return len(words(self.text))


Pair = tuple[Draft, Draft]
"""Two drafts of one exchange, of different words; the earlier one first."""


@dataclass(frozen=True)
class Gap:
    """How far a judge holds two drafts apart."""

    raw: float
    """First less second, in units of the reward."""
    points: float | None
    """The same on the scale 1 to 10: of a rating as it is, of a cosine x by 5x + 5; None for scores."""


@dataclass(frozen=True)
class Side:
    """One judge.

    Args:
        name: what it is called in the report.
        judge: who it is, in words.
        verdicts: verdicts and abstentions by the id of the draft.
        zeta: weight of the cosine.
        tie_margin: rewards this close are a tie.
        normalisation: how a rating becomes R.
    """

    name: str
    judge: str
    verdicts: Mapping[str, Verdict]
    zeta: float
    tie_margin: float
    normalisation: str = "centred"

    @cached_property
    def scale(self) -> str:
        """The scale that most verdicts have, `""` without any: rewards of others are not compared with it."""
        scales = [v.scale for v in self.verdicts.values() if v.reward is not None]
        return max(sorted(set(scales)), key=scales.count) if scales else ""

    def reward(self, draft: Draft) -> float | None:
        """The reward of a draft, if it is on the usual scale."""
        found = self.verdicts[draft.id]
        return found.reward if found.scale == self.scale else None

    def rating(self, draft: Draft) -> float | None:
        """The rating in 1..10; None for scores, and where the judge abstained."""
        return self.verdicts[draft.id].rating

    def cosine(self, draft: Draft) -> float | None:
        """The cosine with what is missing."""
        return self.verdicts[draft.id].cosine

    def gap_by_rating(self, pair: Pair) -> Gap | None:
        """The difference that zeta = 0 makes of the same verdicts."""
        one, other = (self.rating(draft) for draft in pair)
        if one is None or other is None:
            return None
        raw = normalise(one, self.normalisation) - normalise(other, self.normalisation)
        return Gap(raw, one - other)

    def gap_by_wim(self, pair: Pair) -> Gap | None:
        """The difference that zeta = 1 makes of the same verdicts."""
        one, other = (self.cosine(draft) for draft in pair)
        return None if one is None or other is None else Gap(one - other, 5 * (one - other))

    def gap(self, pair: Pair) -> Gap | None:
        """The difference of the rewards as they are; None between different scales."""
        one, other = (self.verdicts[draft.id] for draft in pair)
        if one.reward is None or other.reward is None or one.scale != other.scale:
            return None
        if one.scale == SCALE:
            return Gap(one.reward - other.reward, None)
        rated = self.gap_by_rating(pair)
        assert rated is not None and rated.points is not None  # every other scale holds a rating
        points = (1 - self.zeta) * rated.points
        if one.scale in COUNTED:
            points += self.zeta * 5 * (_counted(one) - _counted(other))
        return Gap(one.reward - other.reward, points)

    def label(self, pair: Pair) -> str | None:
        """`first`, `second`, `tie`; None where the judge abstains from comparing them."""
        found = self.gap(pair)
        if found is None:
            return None
        return sign(found, self.tie_margin) or "tie"

    @property
    def abstentions(self) -> dict[str, int]:
        """Status -> how many drafts have no reward for that reason."""
        lost = [v.status for v in self.verdicts.values() if v.reward is None]
        return {status: lost.count(status) for status in sorted(set(lost))}


def _counted(verdict: Verdict) -> float:
    """The cosine in a reward that has one."""
    return float(getattr(verdict, COUNTED[verdict.scale]))


def sign(gap: Gap, margin: float) -> str:
    """`first` or `second`, whichever is better; `""` within the margin."""
    if abs(gap.raw) <= margin:
        return ""
    return "first" if gap.raw > 0 else "second"


@dataclass(frozen=True)
class Bench:
    """Two judges on the same drafts.

    Args:
        drafts: what both have judged, or abstained from.
        sides: the two, the one that is compared with first.
        seed: of the intervals.
        left: drafts that only one of them has.
    """

    drafts: Sequence[Draft]
    sides: tuple[Side, Side]
    seed: int = 0
    left: int = 0

    @cached_property
    def exchanges(self) -> dict[str, list[Draft]]:
        """The drafts of each exchange that has several."""
        found: dict[str, list[Draft]] = {}
        for draft in self.drafts:
            found.setdefault(draft.exchange, []).append(draft)
        return {id: own for id, own in found.items() if len(own) > 1}

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs within the exchanges, but of drafts of the same words."""
        return [
            pair
            for own in self.exchanges.values()
            for pair in combinations(own, 2)
            if pair[0].text != pair[1].text
        ]


def drafts_of(stored: Stored) -> list[Draft]:
    """The drafts of a folder, by exchange."""
    return [
        Draft(turn.id, each.dialogue.draft_id(0)[:-1], each.dialogue.topic, turn.text)
        for each in stored.played
        for turn in each.drafts
    ]


def _side(stored: Stored, name: str, drafts: Sequence[Draft]) -> Side:
    held: Mapping[str, Any] = stored.settings
    return Side(
        name,
        judge_of(stored),
        {draft.id: stored.verdicts[draft.id] for draft in drafts},
        float(held.get("judge.zeta", 0.0)),
        float(held.get("judge.tie_margin", 0.0)),
        str(held.get("judge.normalisation", "centred")),
    )


def joined(one: Stored, other: Stored, names: tuple[str, str], seed: int = 0) -> Bench:
    """The verdicts of two folders on the same drafts, joined by id.

    Raises:
        ConfigError: a draft has other words in the other folder, or they have none in common.
    """
    first, second = ({draft.id: draft for draft in drafts_of(each)} for each in (one, other))
    common = [draft for id, draft in first.items() if id in second]
    parted = [d.id for d in common if (d.text, d.cluster) != (second[d.id].text, second[d.id].cluster)]
    if parted or not common:
        which = (
            f"{len(parted)} of {len(common)} drafts, such as {', '.join(parted[:SHOWN])}, have other words"
        )
        raise ConfigError(
            f"{one.path} and {other.path} do not hold the same drafts: "
            f"{which if common else 'they have no id in common'}; compare a run with a folder that "
            "python -m arena.rejudge has made of it"
        )
    sides = (_side(one, names[0], common), _side(other, names[1], common))
    return Bench(common, sides, seed, len(first) + len(second) - 2 * len(common))


def judge_of(stored: Stored) -> str:
    """The judge of a folder in words, from its settings."""
    held = stored.settings
    kind = str(held.get("judge.rater._target_") or held.get("judge._target_", "unknown")).rpartition(".")[2]
    zeta = f", zeta {held['judge.zeta']:g}" if "judge.zeta" in held else ""
    models = sorted({v.judge for v in stored.verdicts.values()})
    asked = f" by {', '.join(models)}" if models else ""
    return f"{kind.lower()}{zeta}{asked}"
