"""A small real run folder, made by the loop itself, for tests of what reads one.

With 6 words a text is rated 5.5, so R = 0; with 3 words 4, so R = -1/3. Every cosine is 0.5.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from agents import Agent, Dialogue, Reply, Scripted
from agents.base import Prompt
from agents.dialogue import Turn
from arena.loop import Drafted, Event, Exchanged, Performed, Table, converse
from arena.records import exchange_row, failure_row, line, metrics_row, turn_row, verdict_row
from arena.rundir import RunFolder
from arena.show import main
from arena.train.online_dpo import Update
from rewards.judge import Judge
from rewards.rating import Length
from rewards.verdict import Case, Rating, Verdict
from rewards.wim import Wim

ILLEGIBLE = "illegible"
"""A text with this word gets no rating."""

TRUNCATED = "truncated"
"""A text that ends with this word was cut at the token limit."""

HOSTILE = "\x1b[2J\x1b]52;c;cm0gLXJm\x07 [/x] [red]a\u202eb <script> ![i](http://x)\x9b1m"
"""Commands for a terminal, markup of rich, a turned text, HTML, an image."""

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What can command a terminal or turn text around."""


class Words:
    """Rates by length, unless it cannot read the text."""

    asks = False

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """Rate each case."""
        rated = Length(half=6)(agent, cases, seeds)
        unreadable = [ILLEGIBLE in case.reply.text for case in cases]
        return [
            Rating(None, "absent", "I would [[rather not]]") if bad else rating
            for bad, rating in zip(unreadable, rated, strict=True)
        ]


class Missing(Wim):
    """Says what is missing without asking anyone."""

    def __init__(self, wim: str = "the cost of heat", status: str = "ok") -> None:
        """Take what is said, the same for each case."""
        super().__init__()
        self.wim, self.status = wim, status

    def ask(
        self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int], ratings: Sequence[Rating]
    ) -> list[tuple[str, str]]:
        """What this was made with."""
        return [(self.wim, self.status)] * len(cases)

    def cosines(self, cases: Sequence[Case], wims: Sequence[str]) -> list[tuple[float, float, float]]:
        """A cosine and two controls, the same for each case."""
        return [(0.5, 0.25, 0.125)] * len(cases)


class Cutting(Scripted):
    """Scripted, but some replies are marked as cut, and all have token ids and an adapter."""

    version = "bob@3"

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """The next lines of the script."""
        replies = super().reply(prompts, n, seeds=seeds, max_new_tokens=max_new_tokens)
        return [[self._whole(reply) for reply in drafts] for drafts in replies]

    def _whole(self, reply: Reply) -> Reply:
        finish = "length" if reply.text.endswith(TRUNCATED) else "stop"
        return replace(reply, finish=finish, ids=tuple(range(len(reply.text.split()))))


def lengths(prompt: Prompt, draft: int) -> str:
    """Three words, and three more for each further draft."""
    return " ".join(["melting ice flows"] * (draft + 1))


@dataclass
class Example:
    """What is said in a run, and how it is judged. Bob drafts two replies and learns."""

    topics: Sequence[str] = ("glaciers", "tariffs")
    ada: Callable[[Prompt, int], str] = lengths
    bob: Callable[[Prompt, int], str] = lengths
    missing: Missing = field(default_factory=Missing)
    zeta: float = 0.4
    normalisation: str = "centred"
    turns: int = 4
    info: Mapping[str, object] = field(default_factory=lambda: {"conf": "example", "status": "done"})

    def write(self, path: Path) -> dict[str, Scripted]:
        """Hold the dialogues and write the folder; returns the agents, who remember what they heard."""
        seats: dict[str, Scripted] = {
            "ada": Scripted(self.ada, system="You know {topic}."),
            "bob": Cutting(self.bob, system="You doubt {topic}."),
        }
        judge = Judge(Words(), self.missing, self.zeta, self.normalisation)
        table = Table(seats, judge, "Ask about {topic}.", self.turns, {"ada": 1, "bob": 2})
        settings = {f"agents.{seat}.system": agent.system for seat, agent in seats.items()}
        settings |= {"opening": table.opening, "judge.normalisation": self.normalisation}
        folder = RunFolder(path, "", settings)
        folder.describe(**self.info)
        openers = ["ada", "bob"]
        dialogues = [Dialogue(f"d{i:04d}", topic, openers[i % 2]) for i, topic in enumerate(self.topics)]
        for event in converse(table, dialogues):
            _record(folder, event, self.zeta)
        folder.close()
        return seats


def add_draft(folder: Path, id: str, speaker: str, text: str) -> None:
    """Add a draft that is not judged yet, as a running job does."""
    row = turn_row(Turn(id, "", speaker, Reply(text)), step=9, model="scripted", seed=0)
    with (folder / "turns.jsonl").open("ab") as table:
        table.write(line(row))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command writes for good arguments."""
    assert main(arguments) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command answers to a mistake, in one line."""
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


def _record(folder: RunFolder, event: Event, zeta: float) -> None:
    if isinstance(event, Drafted):
        for draft in event.turns:
            folder.append("turns", turn_row(draft, step=event.step, model="scripted", seed=0))
    elif isinstance(event, Performed):
        _judged(folder, event.verdicts, event.judge, "performance", zeta, -1)
    elif isinstance(event, Exchanged):
        for exchange in event.exchanges:
            _judged(folder, exchange.verdicts, event.judge, "draft", zeta, event.step)
            row = exchange_row(exchange, seat=event.seat, judge=event.judge, step=event.step)
            folder.append("exchanges", row)
        if any(exchange.preference for exchange in event.exchanges):
            update = asdict(Update(1, 0.69, 0.0, 0.5, 0.0, 0.0, 0.0, 1.0, 0.1))
            folder.append("metrics", metrics_row(update, seat=event.seat, step=event.step))


def _judged(
    folder: RunFolder, verdicts: Sequence[Verdict], judge: str, about: str, zeta: float, step: int
) -> None:
    for verdict in verdicts:
        if verdict.reward is None:
            row = failure_row(verdict.id, verdict.status, about, verdict.raw, by=verdict.judge, step=step)
            folder.append("failures", row)
        else:
            folder.append("verdicts", verdict_row(verdict, judge=judge, about=about, zeta=zeta, step=step))
