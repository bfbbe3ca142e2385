"""What a mistyped word may have meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to append to an error message, `""` if nothing is near.

    >>> did_you_mean("ratng", ["rating", "reward"])
    ", did you mean 'rating'?"
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
