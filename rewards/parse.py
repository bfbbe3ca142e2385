"""Reading what a judge wrote. Pure functions; every outcome has a status, none becomes a default number."""

import re

from rewards.verdict import Rating

_WIM = re.compile(r"\[\[\[(.*?)\]\]\]", re.DOTALL)
_RATING = re.compile(r"\[\[\s*([^\[\]]*?)\s*\]\]")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+))?")
_NOTHING = re.compile(
    r"(?:there (?:is|was) )?(?:nothing(?: (?:else|more|important|significant|at all))?(?: (?:is|was))?"
    r"(?: missing)?|none|n/?a|no(?:thing)? missing(?: (?:content|information))?)(?: from (?:the|this) \w+)?"
)
_PLACEHOLDERS = {"", "wim", "text", "what is missing", "missing", "...", "your text here"}
_LEADS = re.compile(r"(?:wim|what(?:'s| is) missing|missing)\s*(?::|-|is)\s*", re.IGNORECASE)


def parse_rating(text: str) -> Rating:
    """The rating in a judge's text: a number in double brackets, 1..10, `[[7]]`, `[[7.5]]`, `[[7/10]]`.

    Statuses other than `ok`: `absent` (no brackets), `unreadable` (brackets without one number),
    `out_of_range`, `other_scale` (such as 85/100), `ambiguous` (two different ratings).
    """
    found = [match.group(1) for match in _RATING.finditer(_WIM.sub(" ", text))]
    if not found:
        return Rating(None, "absent", text)
    readings = [_number(inner) for inner in found]
    values = {reading for reading in readings if isinstance(reading, float)}
    if len(values) > 1:
        return Rating(None, "ambiguous", text)
    if values:
        return Rating(values.pop(), "ok", text)
    return Rating(None, str(readings[0]), text)


def _number(inner: str) -> float | str:
    match = _NUMBER.fullmatch(inner)
    if match is None:
        return "unreadable"
    if match.group(2) not in (None, "10"):
        return "other_scale"
    value = float(match.group(1))
    return value if 1 <= value <= 10 else "out_of_range"


def parse_wim(text: str) -> tuple[str, str]:
    """What is missing, and its status, of a judge's text with or without triple brackets.

    Statuses: `ok`; `nothing_missing` (the judge says so); `absent` (an opened bracket never closes);
    `empty`; `placeholder` (the judge repeats a word of the format, such as "wim").
    """
    match = _WIM.search(text)
    if match is None and "[[[" in text:
        return "", "absent"
    inner = _LEADS.sub("", (match.group(1) if match else text).strip(), count=1).strip()
    plain = re.sub(r"[^\w/' ]+", " ", inner).strip().lower()
    if _NOTHING.fullmatch(plain) or (match and not plain):
        return "", "nothing_missing"
    if not plain:
        return "", "empty"
    if plain in _PLACEHOLDERS:
        return "", "placeholder"
    return " ".join(inner.split()), "ok"


def echo(wim: str, reply: str) -> float:
    """Share of the word trigrams of `wim` that stand in `reply`, in [0, 1]; 0 for fewer than three words.

    >>> echo("the cost of energy", "it ignores the cost of energy")
    1.0
    """
    trigrams = _trigrams(wim)
    return len([t for t in trigrams if t in set(_trigrams(reply))]) / len(trigrams) if trigrams else 0.0


def _trigrams(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
