"""The words that a revision keeps, deletes and inserts, as `git diff --word-diff` shows them. Pure."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["equal", "delete", "insert"]
Segment = tuple[Kind, str]

_Change = tuple[str, int, int, int, int]
"""As `SequenceMatcher.get_opcodes` gives them."""

_WORD = re.compile(r"(\s*)(\S+)")
_MARKS = {"equal": ("", ""), "delete": ("[-", "-]"), "insert": ("{+", "+}")}


def diff(before: str, after: str) -> list[Segment]:
    """Two texts as one; what is not deleted is `after`, letter by letter.

    White space is never a change: that of `after` is kept, that of deleted words becomes single spaces.

    >>> diff("It is warm today.", "It is very cold today.")
    [('equal', 'It is '), ('delete', 'warm'), ('insert', 'very cold'), ('equal', ' today.')]
    """
    old, new = [word for _, word in _WORD.findall(before)], _WORD.findall(after)
    # autojunk would take frequent words, such as "the" in a long text, for noise.
    matcher = SequenceMatcher(None, old, [word for _, word in new], autojunk=False)
    segments: list[Segment] = []
    for change, start, end, first, last in _readable(matcher.get_opcodes()):
        gone = " ".join(old[start:end])
        come = "".join(space + word for space, word in new[first:last])
        if change == "equal":
            segments.append(("equal", come))
        elif change == "delete":
            segments.append(("delete", f" {gone}" if first else f"{gone} " if new else gone))
        else:
            space = new[first][0]
            segments += [("equal", space), ("delete", gone), ("insert", come[len(space) :])]
    segments.append(("equal", after[len(after.rstrip()) :]))
    return _joined(segments)


def staying(segments: Iterable[Segment]) -> float:
    """The share of the words of the text before that are shown to stay, in [0, 1]; 0 of none."""
    words = {"equal": 0, "delete": 0, "insert": 0}
    for kind, text in segments:
        words[kind] += len(text.split())
    return words["equal"] / max(words["equal"] + words["delete"], 1)


def marked(segments: Iterable[Segment]) -> str:
    """The segments in one text that needs no colour; a mark never spans lines.

    >>> marked(diff("It is warm today.", "It is very cold today."))
    'It is [-warm-]{+very cold+} today.'
    """
    return "".join(
        _between(line, *_MARKS[kind]) for kind, text in segments for line in text.splitlines(keepends=True)
    )


def _readable(changes: Iterable[_Change]) -> list[_Change]:
    """A lone word that stays between two replacements counts as replaced: fewer pieces to put together."""
    merged: list[_Change] = []
    for change in changes:
        merged.append(change)
        if [each[0] for each in merged[-3:]] == ["replace", "equal", "replace"]:
            (_, start, _, first, _), (_, one, two, _, _), (_, _, end, _, last) = merged[-3:]
            if two - one == 1:
                merged[-3:] = [("replace", start, end, first, last)]
    return merged


def _between(line: str, opening: str, closing: str) -> str:
    word = line.strip()
    if not word:
        return line
    space, _, rest = line.partition(word)
    return f"{space}{opening}{word}{closing}{rest}"


def _joined(segments: Iterable[Segment]) -> list[Segment]:
    """The segments without empty ones, and with neighbours of one kind as one."""
    joined: list[Segment] = []
    for kind, text in segments:
        if joined and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + text)
        elif text:
            joined.append((kind, text))
    return joined
