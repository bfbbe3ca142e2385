"""What a run folder has on record, by what it answers: equal places of two runs are a pair. Read only."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from agents.errors import ArenaError
from arena.records import Row
from arena.rundir import rows
from arena.runs import read_json

COMPARED = ("turns", "verdicts", "exchanges", "metrics")
"""Tables that most measures are made of."""
PERFORMANCE = "performance"
"""What verdicts on whole performances are about, and the kind of their places."""


class Place(NamedTuple):
    """Where a value belongs: not in which dialogue, whose number says nothing, but in an answer to what."""

    text: str
    """The topic or prompt; `""` for an update of a learner."""
    seed: int | None
    """Of the run; None where it is not on record."""
    time: int
    """Which of the run's dialogues on this text, from 0; of an update its step."""
    turn: int = 0
    kind: str = ""
    speaker: str = ""
    """Of a comparison of two contestants both, in alphabetical order."""
    draft: str = ""
    """Which of the speaker's drafts: its letter, for those of one letter are drawn alike; where several who
    are compared answer in one turn its number, `""` for the first. `""` too for what belongs to a turn.
    """


@dataclass(frozen=True)
class Draft:
    """A text that somebody wrote."""

    place: Place
    speaker: str
    content: str
    tokens: int
    truncated: bool
    contestant: bool = False
    """Whether several who are compared within the run answer in this turn."""

    @property
    def arm(self) -> str:
        """Who wrote it, where several are compared within the run; else `""`."""
        return self.place.speaker if self.contestant else ""


@dataclass(frozen=True)
class Recorded:
    """A run folder. A row without a key that is needed is an ArenaError of its reader."""

    path: Path
    called: tuple[tuple[str, str], ...] = ()
    """Contestants, and what a comparison calls them instead."""

    @property
    def name(self) -> str:
        """The folder, shortened by the common `runs/`."""
        return self.path.as_posix().removeprefix("runs/")

    @cached_property
    def info(self) -> Row:
        """`run.json`."""
        return read_json(self.path / "run.json")

    @cached_property
    def settings(self) -> Row:
        """Flat keys of the resolved settings; empty where they are not on record."""
        return read_json(self.path / "config.json")

    @cached_property
    def identity(self) -> Row:
        """Which weights in which precision, by checkpoint."""
        return read_json(self.path / "identity.json")

    @property
    def seed(self) -> int | None:
        """Of the run; None where it is not on record."""
        found = self.settings.get("seed")
        return None if found is None else int(found)

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table; none without one.

        Raises:
            ArenaError: a complete line is no row.
        """
        return rows(self.path / f"{table}.jsonl")

    @cached_property
    def missing(self) -> list[str]:
        """Those of `COMPARED` that hold no rows."""
        return [name for name in COMPARED if next(self.rows(name), None) is None]

    @cached_property
    def texts(self) -> dict[str, str]:
        """The topic or prompt of each dialogue, by its id.

        An evaluation keeps no prompts but a digest of the list that they are from, in order: with it, the
        number of a dialogue says which prompt it answers.
        """
        found = {row["dialogue"]: row["topic"] for row in self.rows("exchanges")}
        for name, text in (("topics", str), ("problems", _prompt)):
            listed: Any = read_json(self.path / f"{name}.json")
            found |= {f"d{number:04d}": text(each) for number, each in enumerate(listed)}
        digest = read_json(self.path / "records.json").get("held out")
        if digest and not found:
            found = {row["dialogue"]: f"{digest}, {row['dialogue']}" for row in self.rows("turns")}
        return {id: text for id, text in found.items() if text}

    @cached_property
    def times(self) -> dict[str, int]:
        """Which dialogue on its text each dialogue is, by its id."""
        seen: Counter[str] = Counter()
        found = {}
        for id in sorted(self.texts, key=lambda id: (len(id), id)):
            found[id] = seen[self.texts[id]]
            seen[self.texts[id]] += 1
        return found

    def place(self, dialogue: str, **where: Any) -> Place | None:
        """A place in a dialogue; None where its prompt is not on record."""
        if dialogue not in self.texts:
            return None
        return Place(self.texts[dialogue], self.seed, self.times[dialogue], **where)

    @cached_property
    def drafts(self) -> dict[str, Draft]:
        """All drafts whose prompts are on record, by id."""
        kept = sorted(self.rows("turns"), key=lambda row: (len(row["id"]), row["id"]))
        speakers: dict[tuple[str, int], set[str]] = {}
        for row in kept:
            speakers.setdefault((row["dialogue"], row["turn"]), set()).add(row["speaker"])
        found, told = {}, Counter[tuple[str, int, str, str]]()
        for row in kept:
            several = len(speakers[row["dialogue"], row["turn"]]) > 1
            kind, letter = row.get("kind", "reply"), row["id"].rpartition(".")[2].lstrip("0123456789")
            own = row["dialogue"], row["turn"], kind, row["speaker"]
            told[own] += 1
            number = str(told[own]) if told[own] > 1 else ""
            place = self.place(
                row["dialogue"],
                turn=row["turn"],
                kind=kind,
                speaker=self.call(row["speaker"]) if several else row["speaker"],
                draft=number if several else letter,
            )
            if place:
                cut = row["finish"] == "length"
                text, tokens = row["content"], row["tokens_out"]
                found[row["id"]] = Draft(place, row["speaker"], text, tokens, cut, several)
        return found

    def call(self, contestant: str) -> str:
        """What a contestant is called in a comparison."""
        return dict(self.called).get(contestant, contestant)

    @cached_property
    def strangers(self) -> int:
        """Drafts whose prompts are not on record."""
        return sum(1 for _ in self.rows("turns")) - len(self.drafts)

    def about(self, id: str) -> tuple[Draft | None, str]:
        """The draft that an id is of, and what stands behind it: the name of an evaluation's judge."""
        draft = ".".join(id.split(".")[:2])
        return self.drafts.get(draft), id[len(draft) + 1 :]


def checked(path: Path) -> Recorded:
    """A run folder all of whose tables can be read.

    Raises:
        ArenaError: a row is no row, or lacks a key; the message names the file.
    """
    found = Recorded(path)
    try:
        assert found.strangers >= 0
    except (KeyError, TypeError, AttributeError) as error:
        raise ArenaError(
            f"the tables of {str(path)!r} are not those of a run here ({type(error).__name__}: {error}): "
            "compare folders of arena.run, arena.train, arena.rejudge or arena.evaluate"
        ) from error
    return found


def _prompt(problem: Row) -> str:
    """All that was asked; of one message the text alone, which exchanges call the topic."""
    messages = problem["prompt"]
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)
