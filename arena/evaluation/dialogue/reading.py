"""Dialogues on record, as an evaluation reads them: what was said in runs of the arena, or by people."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agents.errors import ConfigError
from arena import jsonl
from arena.evaluation.inputs import files
from arena.reading import Run
from arena.runs import find_run
from arena.transcript import Transcript

PEOPLE = "people"
"""The name of dialogues that people held."""
FEWEST = 2
"""Turns from which there is a dialogue."""


@dataclass(frozen=True)
class Spoken:
    """One turn that was said."""

    id: str
    speaker: str
    number: int
    """From 0."""
    text: str
    truncated: bool = False
    """Whether it was cut at the token limit."""
    model: str = ""
    """Who spoke, as an agent is called; `""` for people."""


class Key(NamedTuple):
    """Which dialogue: equal in two runs for what can be compared."""

    topic: str
    """What intervals are drawn by: dialogues of one topic, by whatever seed, are not several topics."""
    which: str
    """Its how-manieth dialogue in the run, from 0; of people's the dialogue's own id."""


@dataclass(frozen=True)
class Talk:
    """A dialogue of one run."""

    run: str
    id: str
    key: Key
    topic: str
    turns: tuple[Spoken, ...]
    """Two or more."""

    @property
    def speakers(self) -> list[str]:
        """Who has spoken, in order of first turns."""
        return list(dict.fromkeys(turn.speaker for turn in self.turns))


def read_runs(names: Sequence[str], root: Path) -> dict[str, list[Talk]]:
    """The dialogues of each run, by what it is called here: its folder's name, or its path below `root`.

    Args:
        names: folders, or names below `root`.
        root: the folder of runs.

    Raises:
        ConfigError: no run is named, one is named twice, is not there, or holds no dialogues of experts.
    """
    paths = [find_run(name, root) for name in names]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError(f"evaluation.runs={list(names)} names a run twice: take one of them out")
    labels = [path.name for path in paths]
    if len(set(labels)) < len(labels):
        labels = [path.as_posix() for path in paths]
    return {label: _talks(label, path) for label, path in zip(labels, paths, strict=True)}


def read_people(patterns: Sequence[str], most: int, turns: int, seed: int) -> list[Talk]:
    """Dialogues that people held: rows with `topic` and `turns`, a list of [speaker, text].

    Args:
        patterns: files of JSON lines, also with `*`.
        most: as many are drawn by the seed; 0: all.
        turns: the most turns of each; what comes after them is left out.
        seed: of the draw.

    Raises:
        ConfigError: no file, or a row that is no dialogue.
    """
    found: list[Talk] = []
    for path in files(patterns, "people"):
        for number, row in jsonl.rows(path, "file of dialogues"):
            where = f"{str(path)!r}, line {number}"
            topic, said = str(jsonl.cell(where, row, "topic")), jsonl.cell(where, row, "turns")
            id = f"{path.stem}-{number}"
            found.append(
                Talk(PEOPLE, id, Key(topic.strip() or id, id), topic, tuple(_spoken(where, id, said))[:turns])
            )
    found = [talk for talk in found if len(talk.turns) >= FEWEST]
    return random.Random(seed).sample(found, most) if 0 < most < len(found) else found


def _spoken(where: str, id: str, turns: object) -> Iterator[Spoken]:
    told = isinstance(turns, list) and all(
        isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn)
        for turn in turns
    )
    if not told or not isinstance(turns, list):
        raise ConfigError(f"{where}: `turns` is a list of [speaker, text], found {jsonl.brief(turns)}")
    for number, (speaker, text) in enumerate(turns):
        yield Spoken(f"{id}.{number:02d}", speaker, number, text)


def _talks(label: str, path: Path) -> list[Talk]:
    run = Run(path)
    transcripts = run.transcripts(run.dialogues)
    seen: Counter[str] = Counter()
    talks = []
    for transcript in transcripts:
        turns = tuple(_said(transcript))
        if not transcript.works_on_answers and len(turns) >= FEWEST:
            key = Key(transcript.topic.strip() or transcript.id, str(seen[transcript.topic]))
            seen[transcript.topic] += 1
            talks.append(Talk(label, transcript.id, key, transcript.topic, turns))
    if not talks:
        raise ConfigError(
            f"{path} holds no dialogues of two turns or more that were said: take a run of arena.run that "
            "has come further"
        )
    return talks


def _said(transcript: Transcript) -> Iterator[Spoken]:
    """The turns that were said, up to the first one that is not decided."""
    for each in transcript.rounds:
        if each.said is None:
            return
        turn = each.said.turn
        yield Spoken(turn.id, turn.speaker, each.number, turn.text, turn.reply.truncated, each.said.model)
