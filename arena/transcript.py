"""Transcripts: the tables of a run folder joined to dialogues, turns, drafts and verdicts. Read only.

A folder can be read while a job writes to it: what is not on record yet is simply not there.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.dialogue import Dialogue, Message, Turn
from agents.errors import ArenaError
from arena.records import Row, turn_of, verdict_of
from arena.rundir import rows
from rewards.verdict import NORMALISATIONS, Verdict, normalise

LATEST_FIRST = ("metrics", "exchanges", "failures", "verdicts", "turns")
"""The order of reading, against the order of writing: what a row speaks of is then there."""


@dataclass(frozen=True)
class Judged:
    """A verdict with a reward, and how the reward was made."""

    verdict: Verdict
    judge: str
    """The seat that judged, or `judge`."""
    zeta: float
    """Weight of the cosine in the reward, in [0, 1]."""

    def quality(self, normalisation: str) -> str:
        """The rating as the R of the equation, `""` where R is the reward already."""
        if self.verdict.rating is None or self.zeta == 0 or normalisation not in NORMALISATIONS:
            return ""
        return f"R {normalise(self.verdict.rating, normalisation):z.3f} = {self._normalised(normalisation)}"

    def equation(self, normalisation: str) -> str:
        """The reward with its numbers, or that they do not give it (to 1e-6)."""
        verdict, reward = self.verdict, self.verdict.reward
        assert verdict.rating is not None and reward is not None, "a verdict on record has both"
        if normalisation not in NORMALISATIONS:
            return f"{reward:z.3f}, by a normalisation that is not known here: {normalisation!r}"
        quality = normalise(verdict.rating, normalisation)
        zeta, cosine = self.zeta, verdict.cosine or 0.0
        made = {
            "rating": quality,
            "rating+wim": (1 - zeta) * quality + zeta * cosine,
            "nothing_missing": (1 - zeta) * quality,
        }.get(verdict.scale)
        if made is None:
            return f"{reward:z.3f}, on the scale {verdict.scale!r}"
        if abs(made - reward) > 1e-6:
            return f"{reward:.6f}, but rating, cosine and zeta {zeta:g} on record give {made:.6f}"
        if verdict.scale == "rating":
            return f"{reward:z.3f} = {self._normalised(normalisation)}"
        cosine_term = f" + {zeta:g} x {cosine:z.3f}" if verdict.scale == "rating+wim" else ""
        return f"{reward:z.3f} = (1 - {zeta:g}) x {quality:z.3f}{cosine_term}"

    def _normalised(self, normalisation: str) -> str:
        middle, width = NORMALISATIONS[normalisation]
        return f"({self.verdict.rating:.2f} - {middle:g}) / {width:g}"


@dataclass(frozen=True)
class Failure:
    """Something that did not become a number."""

    of: str
    """The id of the turn, or of the speaker's whole performance."""
    what: str
    """The reason."""
    by: str
    raw: str
    """What could not be used, such as the judge's text."""


@dataclass(frozen=True)
class Draft:
    """One reply, said or not, with what was made of it."""

    turn: Turn
    step: int
    tokens: int
    """Sampled tokens; 0 where unknown."""
    model: str
    judged: Judged | None = None
    failures: tuple[Failure, ...] = ()
    said: bool = False
    chosen: bool = False
    rejected: bool = False
    outcome: str = ""
    """What came of this turn's drafts, `""` while it is not on record."""

    @property
    def letter(self) -> str:
        """The draft's own part of the id."""
        return self.turn.id.rpartition(".")[2].lstrip("0123456789")

    @property
    def number(self) -> int:
        """The turn, from 0."""
        return int(self.turn.id.rpartition(".")[2].rstrip("abcdefghijklmnopqrstuvwxyz"))


@dataclass(frozen=True)
class Round:
    """One turn of a dialogue with all its drafts."""

    drafts: tuple[Draft, ...]
    """At least one."""
    outcome: str = ""
    """As in `Draft`."""
    trained: bool = False
    """Whether the speaker was updated in this step."""
    failures: tuple[Failure, ...] = ()
    """Those that belong to no draft."""

    @property
    def number(self) -> int:
        """The turn, from 0."""
        return self.drafts[0].number

    @property
    def speaker(self) -> str:
        """The seat that spoke."""
        return self.drafts[0].turn.speaker

    @property
    def said(self) -> Draft | None:
        """The draft that went into the dialogue, None while that is not on record."""
        return next((draft for draft in self.drafts if draft.said), None)

    @property
    def margin(self) -> float | None:
        """Difference of the rewards of the pair, None without a pair."""
        rewards = {
            d.chosen: d.judged.verdict.reward for d in self.drafts if d.chosen != d.rejected and d.judged
        }
        best, worst = rewards.get(True), rewards.get(False)
        return None if best is None or worst is None else best - worst


@dataclass(frozen=True)
class Performance:
    """What one seat's whole part in a dialogue was worth."""

    seat: str
    judged: Judged | None
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """A dialogue as it is on record."""

    id: str
    topic: str
    """`""` where it is not on record yet."""
    opener: str
    rounds: tuple[Round, ...]
    performances: tuple[Performance, ...] = ()
    failures: tuple[Failure, ...] = ()
    """Those that belong to no turn and no performance."""

    @property
    def speakers(self) -> list[str]:
        """Who has spoken, in order of first turns."""
        return list(dict.fromkeys(each.speaker for each in self.rounds))

    def prompt_of(self, speaker: str, system: str, opening: str) -> list[Message]:
        """What `speaker` saw before it spoke last.

        Raises:
            ArenaError: the topic is not on record yet.
        """
        if not self.topic:
            raise ArenaError(f"the topic of {self.id} is not on record yet: look again in a moment")
        last = max(i for i, each in enumerate(self.rounds) if each.speaker == speaker)
        dialogue = Dialogue(self.id, self.topic, self.opener)
        for each in self.rounds[:last]:
            if each.said is not None:
                dialogue = dialogue.say(each.said.turn)
        return dialogue.seen_by(speaker, system, opening)


@dataclass(frozen=True)
class Run:
    """A run folder as a reader sees it."""

    path: Path

    @cached_property
    def dialogues(self) -> list[str]:
        """The ids of the dialogues, the one that was written to last at the end."""
        order: dict[str, None] = {}
        for row in rows(self.path / "turns.jsonl"):
            order.pop(row["dialogue"], None)
            order[row["dialogue"]] = None
        return list(order)

    def transcripts(self, ids: Iterable[str]) -> list[Transcript]:
        """The dialogues named, in order."""
        wanted = dict.fromkeys(ids)
        found: dict[str, dict[str, list[Row]]] = {id: {name: [] for name in LATEST_FIRST} for id in wanted}
        trained = {(row["speaker"], row["step"]) for row in rows(self.path / "metrics.jsonl")}
        for name in LATEST_FIRST[1:]:
            for row in rows(self.path / f"{name}.jsonl"):
                if row["dialogue"] in found:
                    found[row["dialogue"]][name].append(row)
        topics = self._topics()
        return [
            _transcript(id, topics.get(id, ""), tables, trained)
            for id, tables in found.items()
            if tables["turns"]
        ]

    def _topics(self) -> dict[str, str]:
        """The topics that the run began with; known before the first turn is decided."""
        path = self.path / "topics.json"
        topics = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        return {f"d{number:04d}": topic for number, topic in enumerate(topics)}


def _transcript(
    id: str, topic: str, tables: Mapping[str, list[Row]], trained: set[tuple[str, int]]
) -> Transcript:
    exchanges = {row["id"]: row for row in tables["exchanges"]}
    judged = {row["id"]: Judged(verdict_of(row), row["judge"], row["zeta"]) for row in tables["verdicts"]}
    failures = [Failure(row["of"], row["what"], row["by"], row["raw"]) for row in tables["failures"]]
    turns: dict[int, list[Row]] = {}
    for row in tables["turns"]:
        turns.setdefault(row["turn"], []).append(row)
    rounds = tuple(
        _round(own, exchanges.get(f"{id}.{number:02d}", {}), judged, failures, trained)
        for number, own in sorted(turns.items())
    )
    first: Row = tables["exchanges"][0] if tables["exchanges"] else {}
    speakers = dict.fromkeys(each.speaker for each in rounds)
    performances = [
        Performance(seat, judged.get(f"{id}.{seat}"), _about(failures, f"{id}.{seat}")) for seat in speakers
    ]
    used = {failure for each in rounds for failure in each.failures}
    used |= {failure for each in rounds for draft in each.drafts for failure in draft.failures}
    used |= {failure for performance in performances for failure in performance.failures}
    return Transcript(
        id,
        first.get("topic", topic),
        first.get("opener", rounds[0].speaker),
        rounds,
        tuple(p for p in performances if p.judged or p.failures),
        tuple(failure for failure in failures if failure not in used),
    )


def _round(
    own: list[Row],
    exchange: Mapping[str, Any],
    judged: Mapping[str, Judged],
    failures: list[Failure],
    trained: set[tuple[str, int]],
) -> Round:
    """A turn's drafts in the order of their letters; `exchange` is empty while the turn is not decided."""
    outcome = exchange.get("outcome", "")
    drafts = [
        Draft(
            turn_of({**row, "ids": ""}),
            row["step"],
            row["tokens_out"],
            row["model"],
            judged.get(row["id"]),
            _about(failures, row["id"]),
            said=row["id"] == exchange.get("said"),
            chosen=row["id"] == exchange.get("chosen"),
            rejected=row["id"] == exchange.get("rejected"),
            outcome=outcome,
        )
        for row in sorted(own, key=lambda row: (len(row["id"]), row["id"]))
    ]
    first = drafts[0]
    updated = (first.turn.speaker, first.step) in trained
    return Round(tuple(drafts), outcome, updated, _about(failures, first.turn.id.removesuffix(first.letter)))


def _about(failures: Iterable[Failure], id: str) -> tuple[Failure, ...]:
    return tuple(failure for failure in failures if failure.of == id)
