"""What was said in stored runs: who is taken for a human expert, repeats, agrees, strays from the topic."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.errors import ConfigError
from arena import records
from arena.evaluation.dialogue.alarms import CALIBRATED, IN_ORDER, LIKENESS, alarms, doubts
from arena.evaluation.dialogue.arms import COSINE, SHARE, Arms, Line
from arena.evaluation.dialogue.likeness import (
    ABOUT,
    EMPTY,
    SAID,
    SHUFFLED,
    Asked,
    Likeness,
    abstentions,
    values,
)
from arena.evaluation.dialogue.measures import (
    AGREES,
    BEFORE,
    FIRST,
    ITSELF,
    LAST,
    OTHER,
    QUESTION,
    TOPIC,
    WORDS,
    agreement,
    of_meaning,
    of_words,
)
from arena.evaluation.dialogue.reading import PEOPLE, Key, Talk, read_people, read_runs
from arena.evaluation.findings import Finding, Report
from arena.evaluation.inputs import digests, files
from arena.evaluation.room import Room
from arena.runs import find_run
from arena.scribe import Scribe
from arena.stats.intervals import clustered_mean

if TYPE_CHECKING:
    from rewards.wim import Embedder

COLUMNS: Mapping[str, str] = {TOPIC: "cosine with topic", AGREES: "agrees", BEFORE: "said before"}
"""What is shown by turn number."""
BAR, ROWS = 8, 12
"""Characters of its longest bar, and its rows."""
NOTES = (
    "Intervals leave out one topic at a time. repeats: the share of runs of three words that the speaker, "
    "or the other, has said earlier in the dialogue. agrees: the share of turns with a phrase of agreement "
    "or praise, the opening turn apart. distinct-2 falls with the number of turns.",
    "drift: change of the cosine from one turn to the next, by least squares, each speaker of each dialogue "
    "with a level of its own.",
)
ABOUT_LIKENESS = (
    "taken for a human: the judge's probability that the speaker is a human expert and no machine, of the "
    'whole dialogue; less its probability where every turn is "N/A", which is its habit; less that for the '
    "same turns in another order, which is what the course of the dialogue adds."
)


class Dialogues:
    """Measures what was said: turn by turn by words and embeddings, and as a whole before a judge.

    Args:
        runs: folders of arena.run, or names below `root`; the first is the one that others are compared with.
        root: the folder of runs.
        judge: asks whom it takes for a human expert; None: nobody is asked.
        embedder: for cosines; None: they are not measured.
        people: files with dialogues that people held, for comparison: rows with `topic` and `turns`. They are
            cut after as many turns as the longest dialogue of the runs has.
        people_most: as many of those are drawn by the seed; 0: all.
        phrases: a file with phrases of agreement; `""` for the shipped English ones.
        bleu: turns of a speaker, drawn by the seed, for self-BLEU; 0: it is not measured.
    """

    tables = ("said", "likeness", "failures")

    def __init__(
        self,
        runs: Sequence[str] = (),
        root: str = "runs",
        judge: Likeness | None = None,
        embedder: "Embedder | None" = None,
        people: Sequence[str] = (),
        people_most: int = 20,
        phrases: str = "",
        bleu: int = 100,
    ) -> None:
        """Take the settings."""
        self.runs, self.root, self.judge, self.embedder = list(runs), Path(root), judge, embedder
        self.people, self.people_most = list(people), people_most
        self.phrases, self.bleu = phrases, bleu

    def __call__(self, room: Room) -> Report:
        """Read the runs, measure their turns, and ask the judge.

        Raises:
            ConfigError: no run is named or one cannot be read, or there is no phrase.
            Unavailable: the judge cannot be reached.
        """
        if not self.runs:
            raise ConfigError("name the runs whose dialogues are measured: 'evaluation.runs=[NAME, ...]'")
        runs = read_runs(self.runs, self.root)
        if self.people:
            longest = max(len(talk.turns) for own in runs.values() for talk in own)
            runs[PEOPLE] = read_people(self.people, self.people_most, longest, room.seed)
        talks = [talk for own in runs.values() for talk in own]
        arms = {"judge": self.judge.agent} if self.judge else {}
        room.begin(arms, {}, f"{len(talks)} dialogues of {', '.join(runs)}")
        room.scribe.run.agree("runs", self._digests())
        lines = self.measured(talks, room.scribe)
        whole = Arms(lines, room.seed)
        bleu = self.bleu if find_spec("nltk") else 0
        findings = [*self.likeness(whole, talks, room), *whole.findings(bleu)]
        notes = [*NOTES, *([ABOUT_LIKENESS] if self.judge else [])]
        if self.bleu and not bleu:
            notes.append("self-BLEU is not measured: pip install -e '.[rouge]'")
        return Report(
            about=f"{len(talks)} dialogues with {len(lines)} turns that were said in {', '.join(runs)}.",
            findings=tuple(findings),
            less=f"less\n{self.runs[0].rpartition('/')[2][:12]}" if len(runs) - bool(self.people) > 1 else "",
            notes=tuple(notes),
            counts=self._counts(whole, talks, room.scribe),
            bars=tuple(line for run in whole.runs for line in by_turn(run, lines)),
            alarms={**alarms(whole), **doubts(findings, self.judge, whole)},
        )

    def measured(self, talks: Sequence[Talk], scribe: Scribe) -> list[Line]:
        """Every turn with its measures, which are written down."""
        phrases = agreement(self.phrases)
        lines = []
        for talk in talks:
            found = of_words(talk, phrases)
            if self.embedder is not None:
                found = [a | b for a, b in zip(found, self._meaning(talk, self.embedder), strict=True)]
            for turn, measured in zip(talk.turns, found, strict=True):
                lines.append(Line(talk, turn, measured))
                scribe.append("said", said_row(lines[-1]))
        return lines

    def _meaning(self, talk: Talk, embedder: "Embedder") -> list[dict[str, float]]:
        """The cosines of a dialogue's turns; a text without words has no direction."""
        spoken = [place for place, turn in enumerate(talk.turns) if turn.text.strip()]
        named = [talk.topic] if talk.topic.strip() else []
        if not spoken:
            return [{} for _ in talk.turns]
        vectors = embedder([*named, *(talk.turns[place].text for place in spoken)])
        turns = np.zeros((len(talk.turns), vectors.shape[1]), np.float32)
        turns[spoken] = vectors[len(named) :]
        return of_meaning(talk, vectors[0] if named else np.zeros(vectors.shape[1], np.float32), turns)

    def likeness(self, arms: Arms, talks: Sequence[Talk], room: Room) -> list[Finding]:
        """Whom the judge takes for a human expert, and how much of that is its habit."""
        if self.judge is None:
            return []
        forms = (SAID, SHUFFLED, EMPTY)
        asked = [Asked(talk, who, form) for talk in talks for who in talk.speakers for form in forms]
        found = self.judge(room.scribe, asked, room.seed)
        columns: dict[str, dict[tuple[str, str], dict[Key, tuple[float, float]]]] = {}
        for talk in talks:
            for who in talk.speakers:
                arm = talk.run, "" if talk.run == PEOPLE else who
                for measure, value in _calibrated(values(found, talk, who)).items():
                    own = columns.setdefault(measure, {}).setdefault(arm, {})
                    total, count = own.get(talk.key, (0.0, 0.0))
                    own[talk.key] = total + value, count + 1
        return [
            finding
            for measure in (LIKENESS, CALIBRATED, IN_ORDER)
            for finding in arms.compared(
                measure, columns.get(measure, {}), SHARE if measure == LIKENESS else COSINE
            )
        ]

    def _digests(self) -> dict[str, str]:
        paths = [find_run(name, self.root) / "turns.jsonl" for name in self.runs]
        paths += [path.with_name("exchanges.jsonl") for path in paths]
        return digests([*(path for path in paths if path.exists()), *files(self.people, "people")])

    def _counts(self, arms: Arms, talks: Sequence[Talk], scribe: Scribe) -> dict[str, int]:
        counts = {f"turns of {arms.name(arm)}": len(own) for arm, own in arms.by_arm.items()}
        counts["cut at the token limit"] = sum(line.turn.truncated for line in arms.lines)
        if self.judge:
            asked = counts["asked of the judge"] = 3 * sum(len(talk.speakers) for talk in talks)
            lost = counts["abstained"] = len(abstentions(scribe))
            if silent := asked - lost - len(scribe.run.ids[ABOUT]):
                counts["without a reply yet"] = silent
        return counts


def said_row(line: Line) -> records.Row:
    """A row of `said.jsonl`: a turn's measures; `measured` names those that are defined, the others are 0."""
    names = (WORDS, QUESTION, AGREES, ITSELF, OTHER, BEFORE, TOPIC, FIRST, LAST)
    return {
        "schema": "arena.said/1",
        "id": f"{line.talk.run}:{line.turn.id}",
        "run": line.talk.run,
        "dialogue": line.talk.id,
        "topic": line.talk.topic,
        "speaker": line.turn.speaker,
        "turn": line.turn.number,
        "measured": " ".join(name for name in names if name in line.measured),
        **{name: float(line.measured.get(name, 0.0)) for name in names},
    }


def _calibrated(found: Mapping[str, float]) -> dict[str, float]:
    """What the judge says, and what that is beyond its controls; a form that it left has no number."""
    measures = {LIKENESS: found.get(SAID)}
    for measure, control in ((CALIBRATED, EMPTY), (IN_ORDER, SHUFFLED)):
        both = SAID in found and control in found
        measures[measure] = found[SAID] - found[control] if both else None
    return {measure: value for measure, value in measures.items() if value is not None}


def by_turn(run: str, lines: Sequence[Line]) -> list[str]:
    """A small table of a run: means by turn number with the half widths of their 95 % intervals, and bars."""
    own = [line for line in lines if line.talk.run == run]
    columns = [name for name in COLUMNS if any(name in line.measured for line in own)]
    told = [f"{run[:40]}, by turn", "turn  " + "".join(f"{COLUMNS[name]:<24}" for name in columns).rstrip()]
    numbers = sorted({line.turn.number for line in own})
    for number in numbers[:ROWS]:
        here = [line for line in own if line.turn.number == number]
        told.append(f"{number:>4}  {''.join(f'{_cell(here, name):<24}' for name in columns)}".rstrip())
    more = [f"      ... and {len(numbers) - ROWS} turns more: said.jsonl"] if len(numbers) > ROWS else []
    return [*told, *more, ""]


def _cell(lines: Sequence[Line], measure: str) -> str:
    having = [line for line in lines if measure in line.measured]
    found = clustered_mean(
        [line.measured[measure] for line in having], [line.talk.key.topic for line in having]
    )
    if found is None:
        return "-"
    half = f" ± {found.half:.2f}" if np.isfinite(found.half) else ""
    return f"{found.value:.2f}{half} {'█' * round(BAR * min(max(found.value, 0.0), 1.0))}"
