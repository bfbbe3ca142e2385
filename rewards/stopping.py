"""Whether a feedback text asks for another revision. Pure functions; every outcome has a status."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rewards.parse import parse_rating

NEEDED = "Revision is needed."
NOT_NEEDED = "Revision is not needed."
"""The two sentences that prompts ask for, and that the ancestor's feedback ends with."""

NEEDS_BELOW = 9.0
"""An answer whose score (1..10) is below this needs a revision: the rule of the ancestor's prompt."""

_FIX = (
    r"(?:revisions?|rewrites?|rewriting|rework|changes?|edits?|improvements?|corrections?"
    r"|modifications?|amendments?|adjustments?)"
)
_ANY_FIX = rf"(?:{_FIX}|critiques?)"
_REVISE = r"(?:revis(?:e|ing)|rewrit(?:e|ing)|rework(?:ing)?)"
_REVISED = r"(?:revised|rewritten|reworked)"
_SIZES = (
    r"(?:further|more|additional|other|another|such|real|major|minor|small|slight|significant|substantial"
    r"|immediate|extra|specific|and|or|any|a|an|some|the|much|for|of)"
)
_OF = r"(?: (?:of|to|in|for|on) (?:\w+ ){0,3}?\w+)?"
_DONE = rf"(?:{_FIX}{_OF}|revising(?: \w+){{1,3}}?)"
_BE = r"(?:is|are|seems?(?: to be)?|appears?(?: to be)?|will be)"
_NEED = r"(?:needed|required|necessary|warranted|called for)"
_LY = (
    r"(?:(?:(?!hardly|barely|possibly|probably)\w+ly|still|also|thus|then|indeed|therefore|at all|anymore) )*"
)
_WANT = r"(?:need|require|warrant|call for)"
_NOT = r"(?:\b\w+n't|\bnot|\bcannot|\bno longer)"

_NO = re.compile(
    "|".join(
        [
            rf"\bno (?:{_SIZES} )*{_ANY_FIX}{_OF} (?:{_BE} )?{_LY}{_NEED}",
            rf"\b{_DONE} (?:(?:{_BE} )?(?:not|no longer)|\w+n't) (?:be )?(?!only |just |merely ){_LY}{_NEED}",
            rf"\b{_DONE} {_BE} {_LY}(?:unnecessary|unneeded|superfluous)",
            rf"\bno (?:{_SIZES} )*(?:need|reason|necessity|call) (?:for|of) (?:{_SIZES} )*{_ANY_FIX}",
            rf"\bno (?:{_SIZES} )*(?:need|reason|necessity|call) (?:to|for) {_REVISE}",
            rf"(?:{_NOT}|\bwithout)(?: see| find| feel| have)? (?:{_SIZES} )*need (?:for|of|to) "
            rf"(?:{_SIZES} )*(?:{_FIX}|{_REVISE})",
            rf"\b(?:need|requir|warrant)(?:s|es|e|ing|ed)? no (?:{_SIZES} )*{_ANY_FIX}",
            rf"(?:{_NOT}|\bnothing|\bnone) (?:(?:seems?|appears?) to )?{_LY}{_WANT}s? (?:{_SIZES} )*"
            rf"(?:{_ANY_FIX}|{_REVISE}|to be {_REVISED})",
            rf"{_NOT} (?:need|have) to {_REVISE}",
            rf"{_NOT} (?:see|find|have) any(?: \w+){{1,4}} (?:that|which) (?:would )?{_WANT}s? "
            rf"(?:{_SIZES} )*{_FIX}",
            rf"\bneed(?:n't| not) (?:to )?be {_REVISED}",
            rf"\bno (?!doubt|question|denying|way|matter|wonder)(?:\w+ ){{1,4}}{_WANT}s? (?:{_SIZES} )*"
            rf"(?:{_ANY_FIX}|to be {_REVISED})",
            rf"{_NOT} (?:{_SIZES} )*{_ANY_FIX} {_NEED}",
            rf"^\W*no (?:{_SIZES} )*{_ANY_FIX}\W*$",
        ]
    )
)
_YES = re.compile(
    "|".join(
        [
            rf"\b{_DONE} {_BE} (?:not (?:only|just|merely) )?{_LY}{_NEED}",
            rf"\brevisions? {_NEED}",
            rf"\b{_WANT}(?:s|d|ing)? (?:{_SIZES} )*(?:revisions?|{_REVISE})\b",
            rf"\bcalls for (?:{_SIZES} )*(?:revisions?|{_REVISE})\b",
            rf"\b(?:is|a|the|clear|real|still) need (?:for|of|to) (?:{_SIZES} )*(?:revision|{_REVISE})",
            rf"\b(?:(?:needs?|has|have)(?: still| also)? to(?: be)?|must(?: be)?) (?:revise|{_REVISED})\b",
        ]
    )
)
_MILD_NO = re.compile(
    rf"\b{_DONE} {_BE} {_LY}optional"
    rf"|(?:{_NOT} have any|\bno) (?:{_SIZES} )*(?:suggestion|comment)s? for "
    rf"(?:{_SIZES} )*(?:revision|improvement)"
)
_MILD_YES = re.compile(
    rf"\brevisions? {_BE} {_LY}(?:recommended|suggested|encouraged|advised|advisable|desirable)"
    rf"|\bi (?:would |'d )?{_LY}(?:recommend|suggest|advise|ask for) (?:{_SIZES} )*(?:revisions?|{_REVISE})\b"
    rf"|\bshould (?:still |also )?(?:be {_REVISED}|revise)|^\W*(?:please )(?:try to )?{_REVISE}"
)
"""What asks for a revision, or leaves it open, without saying that it is needed or not."""

_LABEL = re.compile(
    r"^\W*(?:(?:my|the|final|overall) )*(?:verdict|decision|conclusion)[^\w:]*(?: is)?\s*[:–—-]\W*"
)
_ANSWER = re.compile(
    rf"(?:\brevisions?(?: (?:is|are))?(?: {_NEED})?|\bneeds? revision)[^\w:=?]*[:=?]\W*"
    rf"(?:(?P<yes>(?:yes|true|{_NEED}))|(?P<no>no|none|false|unnecessary|not {_NEED}))\b"
)
_SHORT = re.compile(rf"\W*(?:(?P<yes>{_NEED})|(?P<no>not {_NEED}|unnecessary))\b")
_DENIES = re.compile(
    rf"(?:{_NOT}|\bnever) (?:\w+ ){{0,2}}?(?:say|claim|think|believe|feel|agree|mean|true|correct|right|case"
    r"|find|see|consider|suggest|that)\b[^,;]*$|\b(?:neither|nor|disagree|unable to (?:find|see))\b[^,;]*$"
)
"""What turns the words after it round: "I do not think that ..."."""
_OPEN = re.compile(
    r"\b(?:if|whether|unless|when|until|not sure|unsure|not certain|uncertain|what|how much)"
    r"(?: (?!so\b|and\b|therefore\b|hence\b|thus\b)\w+){0,4} \W*$"
    r"|\b(?:hardly|barely|(?<!a )little|perhaps|maybe|possibly)\b(?: \w+){0,2} \W*$"
    r"|\b(?:may|might|could|would)(?: \w+ly| also| still)? $"
)
_CONDITION = re.compile(r"\W*(?:but )?(?:only |or )?(?:if|unless|when|not|in case)\b")
_SUPPOSES = re.compile(r"\W*(?:if|unless|when|whether|should you|suppose)\b")
_LEADS_TO = re.compile(
    r"(?:^|\b(?:therefore|thus|hence|so|overall|finally|verdict is|suggest|recommend|conclude|as))"
    r"\W*(?:an? )?\W*$"
)

_FENCE = re.compile(r"```.*?```", re.DOTALL)
_QUOTES = str.maketrans(dict.fromkeys("“”`", '"') | dict.fromkeys("*_#>", " ") | {"’": "'", "‘": "'"})
_SINGLE = re.compile(r"(?<!\w)'|'(?!\w)")
_SENTENCE = re.compile(
    r"[^\n]+?(?:[.!]+[\"')\]]*(?=\s|$)|\?[\"')\]]*(?=\s|$)(?!\W*(?:yes|no)\b(?!\s\w))|(?=\n)|$)", re.I
)
_JOINT = re.compile(r";|,? (?=but\b)|, (?=(?:and|so|yet|therefore|thus|hence|however)\b)", re.IGNORECASE)
_CONJUNCTION = re.compile(r"^[\s,;]*(?:(?:and|but|so|yet|however)\b,?\s*)?", re.IGNORECASE)

_VALUE = r"-?\d+(?:\.\d+)?(?:\s*(?:/|out of|[-–])\s*\d+)?"
_NUMBER = rf"({_VALUE})(?![\d/%]|\.\d)"
_SCALE = re.compile(r"(?:on|from) (?:a|the) scale (?:of|from) \d+ ?(?:[-–]|to) ?\d+|\(\d+ ?[-–] ?\d+\)", re.I)
_NOUN = r"(?:score|rating)"
_SCORES = (
    rf"(?:^|[.!?]\s)[*_#> -]{{0,9}}(?:[\w ]{{1,40}} )?{_NOUN}[*_ ]*[:=]\W{{0,9}}?"
    rf"({_VALUE}(?:\s?%|(?![\d/]|\.\d)))",
    rf"\b(?:scored?|rating|(?:would|will|i|['’]d) (?:\w+ )?rate)\b[^.\n\d]{{0,60}}?{_NUMBER}",
    r"(?<![\d/.])(\d+(?:\.\d+)?\s*(?:/|out of)\s*10)(?![\d/%]|\.\d)",
)
"""Where a score stands, from the clearest place, a label, to the least clear."""


@dataclass(frozen=True)
class Stop:
    """What a feedback text says about another revision; see `parse_stop`."""

    status: str
    score: float | None
    """In 1..10."""
    raw: str


@dataclass(frozen=True)
class _Clause:
    start: int
    end: int
    readings: frozenset[bool]
    """Whether a revision is needed; both where the clause says both."""
    standing: int
    """2 labelled as the verdict, 1 says what is needed, 0 only asks or advises."""


def parse_stop(text: str, truncated: bool = False) -> Stop:
    """What a feedback text says about whether another revision is needed, and its score.

    Statuses: `needed`; `not_needed`; `contradicts` (not needed with a score below `NEEDS_BELOW`, needed
    with any other score, or a verdict beside a labelled score off the scale: "Score: 15"); `ambiguous`
    (says both); `absent` (no verdict); `cut_off` (no verdict, and the text was cut at the token limit).
    Of opposite verdicts the one labelled as such ("Verdict: ...") or in the last sentence counts; if
    that does not decide, the text is ambiguous.
    Advice ("revision is recommended", "please revise", "revision is optional") counts where nothing is
    said of need. Questions, conditions, guesses, code blocks and words merely quoted are no verdicts.

    Args:
        text: the feedback.
        truncated: whether it was cut at the token limit.

    Returns:
        The status; the score, in 1..10, None where there is none, or two, or one on another scale.
    """
    score, off_scale = _score(text)
    said = _said(text)
    if len(said) != 1:
        return Stop("ambiguous" if said else "cut_off" if truncated else "absent", score, text)
    needed = True in said
    if off_scale or (score is not None and needed != (score < NEEDS_BELOW)):
        return Stop("contradicts", score, text)
    return Stop("needed" if needed else "not_needed", score, text)


def overrule(text: str) -> str:
    """The text without its verdicts, and `NEEDED` at its end: for a revision that is made in any case."""
    rest, before = text, ""
    while rest != before:
        rest, before = _without_verdicts(rest), rest
    return f"{rest.strip()}\n\n{NEEDED}" if re.search(r"\w", rest) else NEEDED


def _without_verdicts(text: str) -> str:
    """The text without the clauses that say something of a revision; what is left can say it anew."""
    masked, kept, at = _mask(text), list[str](), 0
    for start, end in _sentences(masked):
        clauses = list(_clauses(masked, start, end))
        if any(clause.readings for clause in clauses):
            rest = "".join(text[clause.start : clause.end] for clause in clauses if not clause.readings)
            kept += [text[at:start], _mended(rest, text[start:end])]
            at = end
    return "".join([*kept, text[at:]])


def _mended(rest: str, sentence: str) -> str:
    """What is left of a sentence, as a sentence."""
    rest = _CONJUNCTION.sub("", rest, count=1).strip(" ,;")
    if not re.search(r"\w", rest):
        return ""
    indent = sentence[: len(sentence) - len(sentence.lstrip())]
    stop = "." if sentence.endswith((".", "!")) and rest[-1] not in ".!?" else ""
    return f"{indent}{rest[0].upper()}{rest[1:]}{stop}"


def _said(text: str) -> frozenset[bool]:
    """What the clauses of the highest standing say: labelled or last; explicit; advice."""
    masked = _mask(text)
    sentences = [list(_clauses(masked, start, end)) for start, end in _sentences(masked)]
    talk = [clauses for clauses in sentences if not _is_score(masked[clauses[0].start : clauses[-1].end])]
    final = [clause for clause in talk[-1] if clause.standing] if talk else []
    told = [clause for clauses in sentences for clause in clauses]
    groups = [
        [*final, *(clause for clause in told if clause.standing == 2)],
        [clause for clause in told if clause.standing == 1],
        [clause for clause in told if clause.standing == 0],
    ]
    for group in groups:
        readings = frozenset[bool]().union(*(clause.readings for clause in group))
        if readings:
            return readings
    return frozenset()


def _mask(text: str) -> str:
    """The text in lower case, letter for letter: no code blocks, no markup, one kind of quotes."""
    plain = _FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)
    plain = (plain if plain.strip() else text).translate(_QUOTES)
    return _SINGLE.sub('"', "".join(letter.lower()[:1] for letter in plain))


def _sentences(masked: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _SENTENCE.finditer(masked) if re.search(r"\w", match[0]))


def _is_score(sentence: str) -> bool:
    """Whether it holds a score and no more; such a sentence after the verdict takes nothing from it."""
    return bool(re.fullmatch(rf"\W*(?:(?:[\w ]+ )?{_NOUN}\W*)?{_NUMBER}\W*", sentence))


def _clauses(masked: str, start: int, end: int) -> Iterator[_Clause]:
    """The clauses of a sentence, with what each says."""
    sentence = masked[start:end]
    label = _LABEL.match(sentence)
    open_sentence = bool(_SUPPOSES.match(sentence)) or sentence.rstrip("\"')] ").endswith("?")
    bounds = [start, *(start + joint.start() for joint in _JOINT.finditer(sentence)), end]
    for first, last in zip(bounds, bounds[1:], strict=False):
        text = " ".join(masked[first:last].split())
        readings, standing = _read(text, bool(label and first == start))
        if open_sentence and standing < 2:
            readings = frozenset()
        yield _Clause(first, last, readings, 2 if label and readings else standing)


def _read(clause: str, labelled: bool) -> tuple[frozenset[bool], int]:
    """What one clause says, and its standing."""
    answer = _ANSWER.search(clause)
    if labelled and answer is None:
        answer = _SHORT.fullmatch(_LABEL.sub("", clause, count=1).rstrip(".! "))
    if answer is not None:
        return frozenset({answer["yes"] is not None}), 2
    for standing, no, yes in ((1, _NO, _YES), (0, _MILD_NO, _MILD_YES)):
        denied = [(match, False) for match in no.finditer(clause)]
        rest = no.sub(lambda match: "~" * len(match[0]), clause)
        found = [*denied, *((match, True) for match in yes.finditer(rest))]
        told = [(needed, clause[: match.start()]) for match, needed in found if not _is_open(match)]
        readings = {needed != bool(_DENIES.search(before)) for needed, before in told}
        if readings:
            return frozenset(readings), standing
    return frozenset(), 0


def _is_open(match: re.Match[str]) -> bool:
    """Whether the words are a condition, a guess, or merely quoted."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    quoted = before.count('"') % 2 == 1 and '"' in after and not _LEADS_TO.search(before)
    return bool(quoted or _OPEN.search(before) or _CONDITION.match(after))


def _score(text: str) -> tuple[float | None, bool]:
    """The score of the clearest place that has one, and whether a labelled one is off the scale."""
    rating = parse_rating(text)
    if rating.status != "absent":
        return rating.value, rating.status in {"out_of_range", "other_scale"}
    plain = _SCALE.sub(" ", _FENCE.sub(" ", text))
    for place in _SCORES:
        numbers = re.findall(place, plain, re.IGNORECASE | re.MULTILINE)
        values = {parse_rating(f"[[{number}]]").value for number in numbers}
        if values:
            between = any(re.search(r"\d\s*[-–]", number) for number in numbers)
            off_scale = place == _SCORES[0] and values == {None} and not between
            return (values.pop() if len(values) == 1 else None), off_scale
    return None, False
