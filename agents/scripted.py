"""Scripted: replies from a list. A test double and a demonstration; never evidence for a claim."""

from collections.abc import Callable, Sequence

from agents.base import Agent, Prompt
from agents.dialogue import Reply


class Scripted(Agent):
    """Says its lines in order, over and over, and remembers what it heard.

    Args:
        lines: texts, or one function from (prompt, draft number) to a text.
        system: the persona.
    """

    def __init__(self, lines: Sequence[str] | Callable[[Prompt, int], str], system: str = "") -> None:
        """Take the script."""
        super().__init__(system)
        self.lines = lines
        self.heard: list[Prompt] = []
        self._next = 0

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """The next lines of the script."""
        self.heard.extend(prompts)
        return [[Reply(self._line(prompt, draft)) for draft in range(n)] for prompt in prompts]

    def _line(self, prompt: Prompt, draft: int) -> str:
        if callable(self.lines):
            return self.lines(prompt, draft)
        self._next += 1
        return self.lines[(self._next - 1) % len(self.lines)]
