"""What is said: frozen records, and the view that each speaker has of a dialogue."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypedDict


class Message(TypedDict):
    """One message in the chat format that templates take."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str


@dataclass(frozen=True)
class Reply:
    """What an agent said, as it came out of the model."""

    text: str
    finish: str = "stop"
    """`stop` (the speaker ended), `length` (cut at the token limit), `human`."""
    ids: tuple[int, ...] = ()
    """The sampled token ids, with the end-of-turn token where it was sampled; empty where unknown."""
    tokens_in: int = 0
    thinking: str = ""
    """A reasoning block; kept for the record, never sent on."""

    @property
    def truncated(self) -> bool:
        """Whether the reply was cut at the token limit."""
        return self.finish == "length"


@dataclass(frozen=True)
class Turn:
    """A node of a dialogue tree: siblings are drafts, a path from the root is a dialogue."""

    id: str
    """`d0003.05b`: dialogue, turn from 0, draft letter."""
    parent: str
    """The id of the turn that this one answers, `""` for an opening turn."""
    speaker: str
    reply: Reply
    adapter: str = ""
    """The version of the speaker's adapter (`ada@12`), `""` for the bare checkpoint."""
    kind: str = "reply"
    """`reply` in a dialogue of experts; `answer`, `feedback` or `revision` where an answer is worked on."""

    @property
    def text(self) -> str:
        """What was said."""
        return self.reply.text


@dataclass(frozen=True)
class Dialogue:
    """Turns on a topic. Saying a turn returns a new dialogue, so that every prefix stays valid."""

    id: str
    topic: str
    opener: str
    """The seat that asks the opening question."""
    turns: tuple[Turn, ...] = ()

    def say(self, turn: Turn) -> "Dialogue":
        """This dialogue with one more turn."""
        return replace(self, turns=(*self.turns, turn))

    def draft_id(self, draft: int) -> str:
        """The id of draft number `draft` (from 0) of the next turn."""
        return f"{self.id}.{len(self.turns):02d}{letters(draft)}"

    def seen_by(self, speaker: str, system: str, opening: str) -> list[Message]:
        """The dialogue as `speaker` sees it: own turns are `assistant`, all others `user`.

        `system` may hold `{topic}`. The opener is asked to begin by `opening`, a user message that
        stays in front of its view, so that roles alternate and every turn extends the view before it.
        """
        view = [Message(role="system", content=system.replace("{topic}", self.topic))]
        if speaker == self.opener:
            view.append(Message(role="user", content=opening.replace("{topic}", self.topic)))
        for turn in self.turns:
            role = "assistant" if turn.speaker == speaker else "user"
            view.append(Message(role=role, content=turn.text))
        return view

    def transcript(self) -> Iterator[tuple[str, str]]:
        """(speaker, text) of each turn."""
        return ((turn.speaker, turn.text) for turn in self.turns)


def letters(number: int) -> str:
    """`a` ... `z`, `aa` ...: the name of draft `number`, from 0.

    >>> [letters(n) for n in (0, 1, 25, 26, 27)]
    ['a', 'b', 'z', 'aa', 'ab']
    """
    name = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        name = chr(ord("a") + digit) + name
    return name
