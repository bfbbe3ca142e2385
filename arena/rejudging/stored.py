"""What a run folder has on record for a judge: drafts, what was shown, verdicts. Read only."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.base import Agent
from agents.dialogue import Dialogue, Message, Reply, Turn
from agents.errors import ConfigError
from arena import records
from arena.loop import Table
from arena.records import Row
from arena.rundir import rows
from arena.runs import read_json, state
from arena.train.practice import Practice
from rewards.judge import Judge
from rewards.verdict import Case, Verdict

DRAFT, PERFORMANCE = "draft", "performance"
"""What a verdict of a run can be about."""
READ = ("turns", "verdicts", "failures", "exchanges")
"""The tables that a rejudging reads."""


def refuse_run(folder: Path) -> None:
    """Refuse to put a comparison where a run is: both have a README.md.

    Raises:
        ConfigError: the folder holds rows or settings of something else.
    """
    held = sorted(path.name for kind in ("run.json", "config.yaml", "*.jsonl") for path in folder.glob(kind))
    if held:
        raise ConfigError(
            f"{folder} is the folder of a run (it holds {held[0]}), whose README.md would be overwritten: "
            "name another one by hydra.run.dir=runs/NAME, or leave that away"
        )


@dataclass(frozen=True)
class Played:
    """One exchange that the run decided."""

    dialogue: Dialogue
    """As it was before the turn."""
    seat: str
    step: int
    drafts: tuple[Turn, ...]
    said: Turn
    """What the dialogue went on from, whatever another judge thinks of it."""


@dataclass(frozen=True)
class Stored:
    """A run folder as a judge needs it.

    Args:
        path: the folder of a run of the arena, of a training in which the agent writes, or of a rejudging.
    """

    path: Path

    @cached_property
    def info(self) -> Row:
        """What `run.json` says."""
        return read_json(self.path / "run.json")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its settings as flat keys."""
        return read_json(self.path / "config.json")

    @property
    def conf(self) -> str:
        """The conf that it was started with; without one on record, the folder's name."""
        return str(self.info.get("conf", "") or self.path.name)

    @property
    def seats(self) -> list[str]:
        """The seats in speaking order."""
        return list(dict.fromkeys(key.split(".")[1] for key in self.settings if key.startswith("agents.")))

    @cached_property
    def problems(self) -> Sequence[Row]:
        """What one seat answered, in the order of the dialogues; empty where seats talk to each other."""
        found: Any = read_json(self.path / "problems.json")
        return list(found)

    @cached_property
    def turns(self) -> dict[str, Row]:
        """The rows of the drafts, by id."""
        return {row["id"]: row for row in rows(self.path / "turns.jsonl")}

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Verdicts and abstentions on drafts and performances, by the id of what was judged."""
        about = (DRAFT, PERFORMANCE)
        given = [row for row in rows(self.path / "verdicts.jsonl") if row["about"] in about]
        lost = [row for row in rows(self.path / "failures.jsonl") if row["about"] in about]
        return {row["of"]: records.abstention_of(row) for row in lost} | {
            row["id"]: records.verdict_of(row) for row in given
        }

    @cached_property
    def steps(self) -> dict[str, int]:
        """The step of each verdict and abstention, by the id of what was judged."""
        given = {row["id"]: row["step"] for row in rows(self.path / "verdicts.jsonl")}
        return {row["of"]: row["step"] for row in rows(self.path / "failures.jsonl")} | given

    @cached_property
    def played(self) -> list[Played]:
        """The exchanges in the order in which they were decided; drafts that nobody judged are in none."""
        found, talks = [], dict[str, Dialogue]()
        for row in rows(self.path / "exchanges.jsonl"):
            dialogue = talks.get(row["dialogue"], Dialogue(row["dialogue"], row["topic"], row["opener"]))
            drafts = tuple(self._turn(dialogue.draft_id(place), row) for place in range(row["drafts"]))
            said = self._turn(row["said"], row)
            found.append(Played(dialogue, row["speaker"], row["step"], drafts, said))
            talks[dialogue.id] = dialogue.say(said)
        return found

    def _turn(self, id: str, exchange: Row) -> Turn:
        if id not in self.turns:
            raise ConfigError(
                f"{self.path / 'turns.jsonl'} lacks the draft {id} of the exchange {exchange['id']}: "
                "take a run folder as it was written"
            )
        return records.turn_of(self.turns[id])

    @cached_property
    def dialogues(self) -> list[Dialogue]:
        """The dialogues as they ended, in the order of their ids."""
        ended = {each.dialogue.id: each.dialogue.say(each.said) for each in self.played}
        return [ended[id] for id in sorted(ended)]

    @property
    def digest(self) -> dict[str, str]:
        """What a rejudging must find again when it goes on: the tables that it reads."""
        paths = {name: self.path / f"{name}.jsonl" for name in READ}
        texts = {name: path.read_bytes() if path.exists() else b"" for name, path in paths.items()}
        return {name: hashlib.sha256(text).hexdigest()[:16] for name, text in texts.items()}

    def check(self) -> None:
        """Refuse what cannot be judged again.

        Raises:
            ConfigError: the run is still being written, has no judged drafts, works on answers, or does not
                say what its seats were shown.
        """
        said = state(self.info)
        if said.startswith("running"):
            raise ConfigError(
                f"{self.path} is being written ({said}): wait until it has ended, or stop it; then repeat"
            )
        kinds = {row.get("kind", "reply") for row in self.turns.values()}
        if not self.turns or kinds != {"reply"} or not self.played:
            raise ConfigError(
                f"{self.path} has no exchanges of drafts (it holds {len(self.turns)} turns): take a folder "
                "of arena.run, or of arena.train with a learner that lets the agent write"
            )
        silent = [turn.id for each in self.played for turn in each.drafts if turn.id not in self.verdicts]
        if silent:
            raise ConfigError(
                f"{self.path} has neither verdicts nor failures of {len(silent)} drafts, such as "
                f"{silent[0]}: take a run folder as it was written"
            )
        for seat in {each.seat for each in self.played}:
            if f"agents.{seat}.system" not in self.settings:
                raise ConfigError(
                    f"{self.path / 'config.json'} has no agents.{seat}.system, so what {seat} was shown "
                    "cannot be rebuilt: take a run folder as it was made"
                )

    def table(self, seats: Mapping[str, Agent], judge: Judge, seed: int) -> Table:
        """The table at which it was played, with other judges: what they are shown is what was shown then."""
        opening = str(self.settings.get("opening", ""))
        if not self.problems:
            return Table(seats, judge, opening, 1, {}, seed)
        problems = {f"d{n:04d}": records.problem_of(row) for n, row in enumerate(self.problems)}
        return Practice(seats, judge, opening, 1, {}, seed, problems=problems)

    def batches(self) -> list[list[Played]]:
        """Exchanges that were judged together: all seats' of one turn, the seats in speaking order."""
        seats, found = self.seats, dict[int, list[Played]]()
        for each in self.played:
            found.setdefault(each.step // len(seats), []).append(each)
        for batch in found.values():
            batch.sort(key=lambda each: (seats.index(each.seat), each.dialogue.id))
        return [found[turn] for turn in sorted(found)]

    def performances(self) -> dict[str, list[Case]]:
        """Seat -> its whole parts in the dialogues, where the run came to judge them."""
        cases: dict[str, list[Case]] = {}
        for dialogue in self.dialogues:
            ask = Message(role="user", content=dialogue.topic)
            for seat in self.seats:
                id = f"{dialogue.id}.{seat}"
                if id in self.verdicts:
                    own = "\n\n".join(turn.text for turn in dialogue.turns if turn.speaker == seat)
                    cases.setdefault(seat, []).append(Case(id, dialogue.topic, (ask,), Reply(own)))
        return {seat: cases[seat] for seat in self.seats if seat in cases}
