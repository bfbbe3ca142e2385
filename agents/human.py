"""Human: a seat at the keyboard."""

from collections.abc import Callable, Sequence

from agents.base import Agent, Prompt
from agents.dialogue import Reply


class Human(Agent):
    """Shows the last message and reads one line (or paragraph) as the reply.

    Args:
        system: what the human is told once, before the first prompt.
        show: writes to the human; must clean model text of control characters itself.
        ask: reads a line.
    """

    def __init__(
        self, system: str = "", show: Callable[[str], object] = print, ask: Callable[[str], str] = input
    ) -> None:
        super().__init__(system)
        self._show = show
        self._ask = ask

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """Ask at the keyboard, once per draft; an empty line is asked again."""
        replies = []
        for prompt in prompts:
            self._show(f"\n{printable(prompt[-1]['content'])}\n")
            replies.append([Reply(self._line(draft, n), finish="human") for draft in range(n)])
        return replies

    def _line(self, draft: int, n: int) -> str:
        label = "you> " if n == 1 else f"you ({draft + 1} of {n})> "
        while not (line := self._ask(label).strip()):
            self._show("An empty reply says nothing: type a line, or Ctrl-C to stop.")
        return line


def printable(text: str) -> str:
    """`text` without control characters (an ESC can rewrite a terminal); line breaks and tabs stay.

    >>> printable("a\\x1b[2Jb\\r\\n\\u202ec")
    'a[2Jb\\nc'
    """
    return "".join(
        c for c in text if c in "\n\t" or (c.isprintable() and c not in "\u2028\u2029") or c in "\u200d\ufe0f"
    )
