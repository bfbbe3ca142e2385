"""Human: a seat at the keyboard."""

import unicodedata
from collections.abc import Callable, Sequence

from agents.base import Agent, Prompt
from agents.dialogue import Reply
from agents.errors import Unavailable

_KEPT = "\n\t\u200d"
"""Not printable to Python, yet harmless: line break, tab, the joiner inside an emoji."""


class Human(Agent):
    """Shows the last message and reads one line (or paragraph) as the reply.

    Args:
        system: what the human is told before the first prompt, and again when it changes.
        show: writes a text, already clean of control characters, to the human.
        ask: reads a line; `EOFError` where there are no more.
    """

    def __init__(
        self, system: str = "", show: Callable[[str], object] = print, ask: Callable[[str], str] = input
    ) -> None:
        """Take the two ends of the keyboard."""
        super().__init__(system)
        self._show = show
        self._ask = ask
        self._told = ""

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """Ask at the keyboard, once per draft; an empty line is asked again.

        Raises:
            Unavailable: the keyboard has no more lines.
        """
        replies = []
        for prompt in prompts:
            self._tell(prompt)
            self._show(f"\n{printable(prompt[-1]['content'])}\n")
            replies.append([Reply(self._line(draft, n), finish="human") for draft in range(n)])
        return replies

    def _tell(self, prompt: Prompt) -> None:
        system = prompt[0]["content"] if prompt[0]["role"] == "system" else ""
        if system and system != self._told:
            self._show(printable(system))
            self._told = system

    def _line(self, draft: int, n: int) -> str:
        label = "you> " if n == 1 else f"you ({draft + 1} of {n})> "
        try:
            while not (line := self._ask(label).strip()):
                self._show("An empty reply says nothing: type a line, or Ctrl-C to stop.")
        except EOFError:
            raise Unavailable("the keyboard has no more lines: take a terminal, or another agent") from None
        return line


def printable(text: str) -> str:
    """`text` without control characters (an ESC can rewrite a terminal); spaces, tabs, line breaks stay.

    >>> printable("a" + chr(27) + "[2Jb" + chr(0x202E) + "c")
    'a[2Jbc'
    """
    return "".join(c for c in text if c.isprintable() or c in _KEPT or unicodedata.category(c) == "Zs")
