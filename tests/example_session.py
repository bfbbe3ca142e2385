"""A whole run without weights: every table has rows, written by the session itself."""

from collections.abc import Sequence
from pathlib import Path

from example_run import ILLEGIBLE, Cutting, Missing, Words, lengths

from agents import Dialogue, Scripted
from agents.base import Prompt
from arena.display import Display
from arena.loop import Table, converse
from arena.rundir import opened
from arena.scribe import Stop
from arena.session import Session
from arena.train.online_dpo import OnlineDPO, Update
from rewards.judge import Judge
from rewards.verdict import Preference

CONFIG = "judge:\n  zeta: 0.4\n"
SETTINGS = {"judge.zeta": 0.4}


class Silent(Display):
    """Shows nothing."""

    def say(self, kind: str, /, **fields: object) -> None:
        """Nothing."""


class Bookkeeper(OnlineDPO):
    """Takes pairs and reports an update, without any weights."""

    def step(self, preferences: Sequence[Preference]) -> Update | None:
        """One update per step that has pairs."""
        return Update(len(preferences), 0.5, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.1) if preferences else None

    def save(self, folder: Path) -> None:
        """A small file."""
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_bytes(b"weights")

    def load(self, folder: Path) -> None:
        """It is there."""
        assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"


def ada(prompt: Prompt, draft: int) -> str:
    """Begins with a word that the judge cannot read."""
    return ILLEGIBLE if len(prompt) == 2 else lengths(prompt, draft)


def hold(folder: Path, topics: Sequence[str] = ("glaciers", "tariffs"), turns: int = 4) -> None:
    """Hold dialogues of Ada and Bob, who drafts two replies and learns, in a run folder."""
    seats = {
        "ada": Scripted(ada, system="You know {topic}."),
        "bob": Cutting(lengths, system="You doubt {topic}."),
    }
    with opened(folder, CONFIG, SETTINGS) as run:
        run.describe(status="running", conf="example", command="python -m arena.run")
        table = Table(
            seats, Judge(Words(), Missing(), 0.4), "Ask about {topic}.", turns, {"ada": 1, "bob": 2}
        )
        session = Session(run, table, {"bob": Bookkeeper()}, Silent(), Stop(), save_every=2)
        dialogues = [Dialogue(f"d{i:04d}", topic, list(seats)[i % 2]) for i, topic in enumerate(topics)]
        for event in converse(table, dialogues):
            session.take(event)
        session.save(session.trained)
        run.describe(status="done")
