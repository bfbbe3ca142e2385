"""Aloud: a local agent's reply is heard while it is written, word by word, and never a word that changes."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agents.base import Agent, Prompt
from agents.dialogue import Reply
from agents.template import split_thinking

if TYPE_CHECKING:
    from agents.decoding import Decoding
    from agents.engine import Engine, Sampled
    from agents.flight import Ask

_TAGS = ("<think>", "</think>")
_BROKEN = "\ufffd"
"""What a tokenizer makes of bytes that are no whole character yet."""


class Silenced(Exception):
    """The speech was silenced; what was heard until then stands in it."""


@dataclass(frozen=True)
class _Aloud:
    """A way to continue prompts, that lets it be heard."""

    kind: "Decoding"
    heard: Callable[[Sequence[int]], object]

    def write(self, engine: "Engine", asks: "Sequence[Ask]") -> "list[list[Sampled]]":
        """The continuations of the kind, token by token to whoever listens."""
        return self.kind.write(engine, [replace(ask, decoding=self.kind, heard=self.heard) for ask in asks])


class Speech:
    """The text of tokens that come one after the other, in pieces that join to the text of all of them.

    What may still change is held back: half a character, the beginning of a thought, and space at the end,
    which a reply does not have. Thoughts and special tokens are not heard.

    Args:
        hear: is given each new piece, never an empty one.
    """

    def __init__(self, hear: Callable[[str], object]) -> None:
        """Nothing has been said."""
        self._hear = hear
        self.said = ""
        """What was heard so far."""
        self.live = False
        """Whether it is heard while it is written."""
        self.silenced = False
        """Set, as by a signal, it ends a live speech at the next token."""

    def take(self, raw: str) -> None:
        """All that is written so far; after a new beginning (memory ran out) that is less, of the same text.

        Raises:
            Silenced: somebody has silenced the speech.
        """
        if self.silenced:
            raise Silenced
        self._say(split_thinking(_certain(raw))[0])

    def end(self, text: str) -> bool:
        """Say the rest of the whole text; False where it is another text than what was heard."""
        self._say(text)
        return self.said == text

    def _say(self, text: str) -> None:
        if text.startswith(self.said) and len(text) > len(self.said):
            piece, self.said = text[len(self.said) :], text
            self._hear(piece)


def _certain(raw: str) -> str:
    """The part of a raw text that no later token changes."""
    text = raw.rstrip(_BROKEN)
    begun = text.rfind("<")
    if begun >= 0 and any(tag.startswith(text[begun:]) for tag in _TAGS):
        text = text[:begun]
    return text


def reply_aloud(agent: Agent, prompt: Prompt, speech: Speech, seed: int, max_new_tokens: int = 0) -> Reply:
    """The reply to `prompt`, heard as it comes where the agent's weights are here; the same as without.

    Args:
        agent: who speaks; of one that is not `agents.local.Local` the whole reply is heard at the end.
        prompt: as for `Agent.reply`.
        speech: is told of every token.
        seed: as for `Agent.reply`.
        max_new_tokens: as for `Agent.reply`.

    Raises:
        Silenced: the speech was silenced.
    """
    from agents.local import Local

    if isinstance(agent, Local):
        speech.live, tokenizer = True, agent.backbone.tokenizer

        def heard(ids: Sequence[int]) -> None:
            speech.take(tokenizer.decode(ids, skip_special_tokens=True))

        agent = copy.copy(agent)
        agent.decoding = _Aloud(agent.decoding, heard)
    return agent.reply([prompt], seeds=[seed], max_new_tokens=max_new_tokens)[0][0]
