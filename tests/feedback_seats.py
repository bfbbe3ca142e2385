"""Seats for tests of collecting and revising: they say what a function says, and can fail."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from agents.base import Agent, Prompt
from agents.dialogue import Message, Reply
from agents.errors import Unavailable
from arena.feedback.events import Event, Work
from arena.feedback.floor import Floor
from arena.problems import Problem

T = TypeVar("T")


class Seat(Agent):
    """Says `say(prompt, seed)`, finds its words as unlikely as `nll` says, remembers what it was asked."""

    def __init__(
        self,
        say: Callable[[Prompt, int], str | Reply],
        nll: Callable[[str], float] = lambda text: 1.0,
        labels: Callable[[Prompt], Mapping[str, float]] | None = None,
    ) -> None:
        """Take the script."""
        super().__init__()
        self.say, self.nll, self.labels = say, nll, labels
        self.reads_labels = labels is not None
        self.heard: list[Prompt] = []
        self.down = False

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """What the function says; an error while the seat is down."""
        if self.down:
            raise Unavailable("nobody is there")
        self.heard += prompts
        said = [self.say(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return [[one if isinstance(one, Reply) else Reply(one, ids=(1, 2))] for one in said]

    def logps(self, prompts: Sequence[Prompt], replies: Sequence[Reply]) -> list[list[float]]:
        """Two tokens, each as likely as the function says."""
        return [[-self.nll(reply.text)] * 2 for reply in replies]

    def rate(
        self, prompts: Sequence[Prompt], labels: Sequence[str], lead: str = ""
    ) -> list[tuple[list[float], float]]:
        """What the function says of each label."""
        assert self.labels is not None
        found = [self.labels(prompt) for prompt in prompts]
        return [([chances.get(label, 0.0) for label in labels], 1.0) for chances in found]


def works(count: int = 6, task: str = "qa", reference: str = "") -> list[Work]:
    """Some questions."""
    return [
        Work(
            f"d{i:04d}",
            Problem(task, (Message(role="user", content=f"question {i}"),), reference, f"line {i}"),
        )
        for i in range(count)
    ]


def floor(seats: Mapping[str, Agent], **settings: object) -> Floor:
    """A floor with these seats."""
    return Floor(seats, **settings)  # type: ignore[arg-type]


def of(kind: type[T], events: Sequence[Event]) -> list[T]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def last(prompt: Prompt) -> str:
    """What was asked last."""
    return prompt[-1]["content"]
