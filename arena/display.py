"""What every display of a running job has in common."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Self

from arena.progress import Progress

KINDS: Mapping[str, str] = {
    "start": "conf folder seats learners judge dialogues turns drafts seed steps resumed weights",
    "begin": "conf folder seats judge extent seed resumed weights",
    "spoke": "seat what done of drafts tokens truncated seconds sample",
    "stage": "what done of seconds",
    "drafted": "step seat drafts tokens truncated seconds",
    "exchanged": "step seat judge exchanges pairs ties abstained truncated rating reward cosine seconds "
    "sample",
    "updated": "step seat pairs loss margin accuracy kl grad_norm seconds",
    "learned": "step of seat numbers",
    "evaluated": "step seat numbers",
    "performed": "seat judge rating rated abstained",
    "alarm": "name text",
    "failure": "id what about",
    "saved": "step",
    "note": "text",
    "stopped": "folder reason command",
    "done": "folder seconds counts hints",
}
"""The events of a job, with the fields that each must have. `start` and what follows by steps are a run's of
the arena; `begin`, `spoke` and `stage` those of a job that goes by stages."""

Fields = Mapping[str, Any]


class Display:
    """Is told of events and shows them; a context manager."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self.progress = Progress()
        self.stack = ExitStack()
        """What is undone when the display is left."""

    def __enter__(self) -> Self:
        """Take what the display needs of the terminal."""
        return self

    def __exit__(self, *error: object) -> None:
        """Give it back."""
        self.stack.close()

    def say(self, kind: str, /, **fields: object) -> None:
        """Show one event.

        Args:
            kind: one of `KINDS`.
            fields: those that `KINDS` names; `sample` is (dialogue, speaker, text, rating) or None.
        """
        assert kind in KINDS, f"{kind!r} is no kind of event"
        missing = set(KINDS[kind].split()) - set(fields)
        assert not missing, f"{kind!r} lacks {sorted(missing)}"
        self.progress.take(kind, fields)
        self.show(kind, fields)

    def show(self, kind: str, fields: Fields) -> None:
        """Show one event that is known to be whole."""
        raise NotImplementedError
