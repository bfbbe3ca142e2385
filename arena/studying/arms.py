"""Several arms of one training on the same held-out prompts, each text measured in many ways."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from agents.base import Agent
from agents.dialogue import Reply
from arena.evaluation import diversity
from arena.evaluation.findings import Finding, Report
from arena.evaluation.room import BARE, Room
from arena.evaluation.writing import Texts, judge_texts, write
from arena.feedback.events import Work
from arena.problems import Problem
from arena.stats.shares import mean, share
from rewards.verdict import Verdict

if TYPE_CHECKING:
    from agents.local import Local
    from rewards.wim import Embedder

JUDGE = "the fixed judge"
MEASURES: Mapping[str, str] = {
    "rating": "rating by the fixed judge, 1 to 10",
    "cosine": "cosine with what is missing",
    "above_shuffled": "that cosine less the one with another answer's WIM",
    "likeness": "cosine with the reference",
    "reference_nats": "surprise at the reference, nats/token",
    "moved": "log-ratio to untrained on own texts, nats/token",
    "words": "words",
    "cut": "share cut at the limit",
    "rated": "share rated",
}
"""What is measured of each text, in words. `reference_nats` is the mean negative log-likelihood of the
reference: less is nearer. `moved` is how much likelier the arm finds the tokens that it wrote than the
untrained checkpoint does; texts are sampled as the agent samples, so that it is no KL divergence."""
SHARES = ("cut", "rated")
NOTES = (
    "One text to each held-out prompt, with seeds that are equal for all arms. The judge is the checkpoint "
    "that all arms began with.",
)


@dataclass(frozen=True)
class Measured:
    """What was measured of one text."""

    id: str
    """Of the turn that holds the text."""
    arm: str
    prompt: str
    """The id of the prompt, equal for all arms."""
    values: Mapping[str, float]
    """By the names of `MEASURES`; a measure that is not defined is not there."""

    @property
    def rows(self) -> list[dict[str, object]]:
        """Rows of `measures.jsonl`, one for each measure that is defined."""
        return [
            {
                "schema": "arena.measure/1",
                "id": f"{self.id}.{name}",
                "of": self.id,
                "arm": self.arm,
                "prompt": self.prompt,
                "measure": name,
                "value": value,
            }
            for name, value in self.values.items()
        ]


def measured_of(rows: Iterable[Mapping[str, Any]]) -> list[Measured]:
    """What rows of `measures.jsonl` record, text by text."""
    texts: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        texts.setdefault((row["of"], row["arm"], row["prompt"]), {})[row["measure"]] = row["value"]
    return [Measured(*text, values) for text, values in texts.items()]


class Arms:
    """Has arms of one training write to the held-out prompts, and measures each text.

    Args:
        arms: adapters by name, folders or run folders; none: the seat itself, with which all of them began.
        most: the most held-out prompts; 0: all.
        embedder: for the likeness to references.
    """

    tables = ("turns", "verdicts", "failures", "measures")

    def __init__(self, embedder: "Embedder", arms: Mapping[str, str] | None = None, most: int = 0) -> None:
        """Take the settings."""
        self.arms, self.most, self.embedder = dict(arms or {}), most, embedder

    def __call__(self, room: Room) -> Report:
        """Have the arms write, and measure each text.

        Raises:
            ConfigError: nothing is held out.
        """
        _, held = room.held_out(Problem, self.most)
        works = [Work(f"d{number:04d}", problem) for number, problem in enumerate(held)]
        arms = {arm: room.speaker(path) for arm, path in self.arms.items()} or {BARE: room.policy}
        judges = {JUDGE: room.judge} if room.judge else {}
        room.begin(arms, judges, f"{len(works)} prompts, {', '.join(arms)}")
        texts = write(room, arms, works)
        verdicts: dict[str, list[Verdict | None]] = {arm: [None] * len(texts.works) for arm in arms}
        for name, judge in judges.items():
            verdicts = judge_texts(room, name, judge, judge.agent or room.policy, texts)
        found = self._measured(room, arms, texts, verdicts)
        for each in found:
            for row in each.rows:
                room.scribe.run.append("measures", row)
        return Report(
            about=f"{room.conf}: {len(texts.works)} held-out prompts, answered by {', '.join(arms)}.",
            findings=tuple(_findings(found, list(arms))),
            less="",
            notes=NOTES,
            counts={"prompts": len(works), "answered by all": len(texts.works)},
            alarms=texts.alarms(),
        )

    def _measured(
        self,
        room: Room,
        arms: Mapping[str, Agent],
        texts: Texts,
        verdicts: Mapping[str, Sequence[Verdict | None]],
    ) -> list[Measured]:
        likeness = self._likeness(texts)
        first = cast("Local", room.policy)
        found = []
        for arm, agent in arms.items():
            speaker = cast("Local", agent)
            nats, moved = _reference_nats(speaker, texts), _moved(speaker, first, texts, arm)
            for i, (work, turn) in enumerate(zip(texts.works, texts.turns[arm], strict=True)):
                verdict = verdicts[arm][i]
                values = {
                    **_judged(verdict),
                    "likeness": likeness[arm][i],
                    "reference_nats": nats[i],
                    "moved": moved[i],
                    "words": float(len(diversity.words(turn.text))),
                    "cut": float(turn.reply.truncated),
                    "rated": float(verdict is not None and verdict.rating is not None),
                }
                defined = {name: value for name, value in values.items() if value is not None}
                found.append(Measured(turn.id, arm, work.id, defined))
        return found

    def _likeness(self, texts: Texts) -> dict[str, list[float | None]]:
        """The cosine of each text with its prompt's reference; None without either."""
        known = [i for i, work in enumerate(texts.works) if work.problem.reference.strip()]
        references = list(self.embedder([texts.works[i].problem.reference for i in known])) if known else []
        found: dict[str, list[float | None]] = {}
        for arm, turns in texts.turns.items():
            own: list[float | None] = [None] * len(turns)
            said = [(i, vector) for i, vector in zip(known, references, strict=True) if turns[i].text.strip()]
            if said:
                vectors = self.embedder([turns[i].text for i, _ in said])
                for (i, reference), vector in zip(said, vectors, strict=True):
                    own[i] = float(vector @ reference)
            found[arm] = own
        return found


def _judged(verdict: Verdict | None) -> dict[str, float | None]:
    if verdict is None:
        return dict.fromkeys(("rating", "cosine", "above_shuffled"))
    own, other = verdict.cosine, verdict.cosine_shuffled
    above = None if own is None or other is None else own - other
    return {"rating": verdict.rating, "cosine": own, "above_shuffled": above}


def _reference_nats(speaker: "Local", texts: Texts) -> list[float | None]:
    """Mean negative log-likelihood of each reference under an arm, nats per token."""
    known = [i for i, work in enumerate(texts.works) if work.problem.reference.strip()]
    prompts = [texts.works[i].view(speaker) for i in known]
    replies = [Reply(texts.works[i].problem.reference) for i in known]
    found: list[float | None] = [None] * len(texts.works)
    for i, logps in zip(known, speaker.logps(prompts, replies), strict=True):
        found[i] = -sum(logps) / len(logps)
    return found


def _moved(speaker: "Local", first: "Local", texts: Texts, arm: str) -> list[float | None]:
    """Mean log-ratio of the arm and the untrained checkpoint over the tokens that the arm wrote."""
    said = [i for i, turn in enumerate(texts.turns[arm]) if turn.reply.ids]
    prompts = [texts.works[i].view(speaker) for i in said]
    replies = [texts.turns[arm][i].reply for i in said]
    found: list[float | None] = [None] * len(texts.works)
    own, bare = speaker.logps(prompts, replies), first.logps(prompts, replies)
    for i, mine, old in zip(said, own, bare, strict=True):
        found[i] = (sum(mine) - sum(old)) / len(mine)
    return found


def _findings(found: Sequence[Measured], arms: Sequence[str]) -> list[Finding]:
    """The mean of each measure by arm, over the prompts where it is defined."""
    findings = []
    for name, label in MEASURES.items():
        for arm in arms:
            own = [each for each in found if each.arm == arm and name in each.values]
            if own:
                interval = share if name in SHARES else mean
                values, prompts = [each.values[name] for each in own], [each.prompt for each in own]
                findings.append(Finding(label, arm, interval(values, prompts)))
    return findings
