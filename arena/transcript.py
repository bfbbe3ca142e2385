"""Transcripts: dialogues as they are on record, with turns, drafts, verdicts, and what came of them."""

from dataclasses import dataclass

from agents.dialogue import Dialogue, Message, Turn
from agents.errors import ArenaError
from arena.feedback.events import Feedback
from arena.records import Row
from rewards.verdict import NORMALISATIONS, Verdict, normalise


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
        zeta, cosine = self.zeta, verdict.counted
        made = {"rating": quality, "nothing_missing": (1 - zeta) * quality}.get(verdict.scale)
        if cosine is not None:
            made = (1 - zeta) * quality + zeta * cosine
        if made is None:
            return f"{reward:z.3f}, on the scale {verdict.scale!r}"
        if abs(made - reward) > 1e-6:
            return f"{reward:.6f}, but rating, cosine and zeta {zeta:g} on record give {made:.6f}"
        if verdict.scale == "rating":
            return f"{reward:z.3f} = {self._normalised(normalisation)}"
        cosine_term = "" if cosine is None else f" + {zeta:g} x {cosine:z.3f}"
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
    """Of different pairs a draft can be both."""
    outcome: str = ""
    """What came of this turn's drafts, or of this revision; `""` while it is not on record."""
    revision: int = 0
    """Which revision of its speaker this is, from 1; 0 where it is none."""
    before: str | None = None
    """The text that a revision revises; None where there is none on record."""
    feedback: tuple[Feedback, ...] = ()
    """That which this draft is the text or the result of, or that is about it and has come to neither."""

    @property
    def letter(self) -> str:
        """The draft's own part of the id."""
        return self.turn.id.rpartition(".")[2].lstrip("0123456789")

    @property
    def number(self) -> int:
        """The turn, from 0."""
        return int(self.turn.id.rpartition(".")[2].rstrip("abcdefghijklmnopqrstuvwxyz"))

    @property
    def comment(self) -> Feedback | None:
        """The feedback that this draft is the text of."""
        return next((each for each in self.feedback if each.comment == self.turn.id), None)

    @property
    def taken(self) -> bool:
        """Whether this is the attempt at a revision that counts."""
        return any(each.result == self.turn.id for each in self.feedback)


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
class Question:
    """The problem that a dialogue works on."""

    text: str
    """The last message of its prompt."""
    task: str = ""
    difficulty: float | None = None
    """Nats per token; None where it is not measured."""
    group: str = ""
    """`""` where problems are not grouped."""
    kinds: tuple[str, ...] = ()
    """Of feedback."""

    @classmethod
    def of(cls, row: Row) -> "Question":
        """From an entry of `problems.json`, or a row of `problems.jsonl`, which knows more."""
        group = row.get("group", "")
        difficulty = row["difficulty"] if group else None
        kinds = tuple(row.get("kinds", "").split())
        return cls(row["prompt"][-1]["content"], row["task"], difficulty, group, kinds)


@dataclass(frozen=True)
class Pair:
    """Which of two turns is better."""

    chosen: str
    rejected: str
    margin: float
    kind: str

    @classmethod
    def of(cls, row: Row) -> "Pair":
        """From a row of `preferences.jsonl`."""
        return cls(row["chosen_id"], row["rejected_id"], row["margin"], row["kind"])


@dataclass(frozen=True)
class Transcript:
    """A dialogue as it is on record."""

    id: str
    topic: str
    """Of a problem its question; `""` where it is not on record yet."""
    opener: str
    """`""` where an answer is worked on: nobody opens a dialogue of experts."""
    rounds: tuple[Round, ...]
    performances: tuple[Performance, ...] = ()
    failures: tuple[Failure, ...] = ()
    """Those that belong to no turn and no performance."""
    question: Question | None = None
    feedback: tuple[Feedback, ...] = ()
    """Comparisons, which have no turn of their own."""
    pairs: tuple[Pair, ...] = ()
    """Those that no exchange tells of."""

    @property
    def works_on_answers(self) -> bool:
        """Whether answers are given feedback and revised here, instead of experts talking."""
        return any(draft.turn.kind != "reply" for each in self.rounds for draft in each.drafts)

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
