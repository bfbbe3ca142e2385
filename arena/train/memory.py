"""Forward passes of a size that fits into memory."""

import logging
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


def within_memory(
    work: Callable[[int], T], tokens: int, least: int, undo: Callable[[], None]
) -> tuple[T, int]:
    """Do `work` in passes of `tokens` tokens; where memory runs out, again in passes of half the size.

    Args:
        work: takes the tokens of one pass.
        tokens: the size to begin with.
        least: below this a smaller size makes no smaller pass, and running out is an error.
        undo: takes back what a failed attempt has left, such as gradients.

    Returns:
        What `work` gave, and the size at which it did.
    """
    from agents.reader import out_of_memory

    while True:
        try:
            return work(tokens), tokens
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or tokens <= least:
                raise
        undo()
        tokens //= 2
        _log.warning(
            "out of memory: learning goes on with %d tokens in a pass (set train.micro_tokens to "
            "start there, or train.checkpointing=true)",
            tokens,
        )
