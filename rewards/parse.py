"""Reading what a judge wrote. Pure functions; every outcome has a status, none becomes a default number."""

import re

from rewards.verdict import Rating

_WIM = re.compile(r"\[\[\[(.*?)\]\]\]", re.DOTALL)
_RATING = re.compile(r"(?<!\[)\[\[([^\[\]]*)\]\](?!\])")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+))?")
_FROM = r"(?: (?:from|in) (?:the|this) \w+)?"
_KIND = r"(?: (?:else|more|important|significant|relevant|specific|at all))?"
_WHAT = r"(?:content|information|details?|points?|parts?)"
_NOTHING = re.compile(
    rf"(?:there (?:is|was|are) )?(?:nothing{_KIND}(?: (?:is|was))?(?: missing)?|none|no|n/?a|not applicable"
    rf"|no{_KIND} missing(?: {_WHAT})?|no{_KIND} {_WHAT} (?:is|are) missing){_FROM}"
)
_CLAUSE_END = re.compile(r"[.,;:!?\n]|\s[-–—(]")
_STILL = re.compile(r"\b(?:but|however|except|although|though|yet|besides|apart|could|should|lacks?)\b", re.I)
_LEADS = re.compile(
    rf"\A[\W_]*(?:wim|what(?:['’]s| is) missing|missing){_FROM}"
    r"(?:[\s*_]*:|\s+is\b\s*:?|\s+[-–—]\s)[\s*_]*",
    re.IGNORECASE,
)
_PLACEHOLDERS = {"wim", "text", "what is missing", "what's missing", "missing", "your text here"}


def parse_rating(text: str) -> Rating:
    """The rating in a judge's text: a number in double brackets, 1..10, `[[7]]`, `[[7.5]]`, `[[7/10]]`.

    Statuses other than `ok`: `absent` (no brackets), `unreadable` (brackets without one number),
    `out_of_range`, `other_scale` (such as 85/100), `ambiguous` (two different numbers).
    """
    found = [match.group(1) for match in _RATING.finditer(_WIM.sub(" ", text))]
    if not found:
        return Rating(None, "absent", text)
    readings = [_number(inner) for inner in found]
    numbers = set(readings) - {"unreadable"}
    values = [reading for reading in numbers if isinstance(reading, float)]
    if values and len(numbers) > 1:
        return Rating(None, "ambiguous", text)
    if values:
        return Rating(values[0], "ok", text)
    return Rating(None, str(readings[0]), text)


def _number(inner: str) -> float | str:
    match = _NUMBER.fullmatch(inner.strip())
    if match is None:
        return "unreadable"
    if match.group(2) not in (None, "10"):
        return "other_scale"
    value = float(match.group(1))
    return value if 1 <= value <= 10 else "out_of_range"


def parse_wim(text: str) -> tuple[str, str]:
    """What is missing, and its status, of a judge's text with or without triple brackets.

    Statuses: `ok`; `nothing_missing` (the judge says so, or its brackets are empty); `absent` (an
    opened bracket never closes); `empty`; `placeholder` (a word of the format, such as "wim", or no word).
    """
    match = _WIM.search(text)
    if match is None and "[[[" in text:
        return "", "absent"
    whole = match.group(1) if match else text
    inner = _LEADS.sub("", whole).strip()
    if _says_nothing(inner) or (match and not whole.strip()):
        return "", "nothing_missing"
    if not inner:
        return "", "empty"
    if _plain(inner) in _PLACEHOLDERS or not re.search(r"[^\W\d_]", inner):
        return "", "placeholder"
    return " ".join(inner.split()), "ok"


def _says_nothing(text: str) -> bool:
    """Whether the first clause says that nothing is missing, and what follows takes nothing back."""
    text = text.lstrip("*_\"'“( ")
    end = _CLAUSE_END.search(text)
    clause, rest = (text[: end.start()], text[end.end() :]) if end else (text, "")
    return bool(_NOTHING.fullmatch(_plain(clause))) and not _STILL.search(rest)


def _plain(text: str) -> str:
    """Words in lower case, without punctuation."""
    return " ".join(re.findall(r"[\w/']+", text.lower().replace("’", "'")))


def echo(wim: str, reply: str) -> float:
    """Share of the word trigrams of `wim` that stand in `reply`, in [0, 1]; 0 for fewer than three words.

    >>> echo("the cost of energy", "it ignores the cost of energy")
    1.0
    """
    trigrams, said = _trigrams(wim), set(_trigrams(reply))
    return sum(trigram in said for trigram in trigrams) / len(trigrams) if trigrams else 0.0


def _trigrams(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return [tuple(words[i : i + 3]) for i in range(len(words) - 2)]
