"""What a model wrote when it was asked to rewrite an answer, without its talk about the rewriting."""

import re
from dataclasses import dataclass

_MADE = (
    r"(?:revised|improved|updated|rewritten|corrected|refined|modified|edited|enhanced|polished|amended"
    r"|optimi[sz]ed|reworked|adjusted)"
)
_BETTER = r"(?:new|better|final|shorter|longer|clearer|(?:more|much) (?:\w+ (?:and )?){1,3}?)"
_TEXT = r"(?:answers?|responses?|replies|reply|summary|version|revision|rewrite|rewriting|draft|attempt)"
_WORK = (
    rf"(?:{_TEXT}|text|paragraph|passage|explanation|description|essay|story|poem|letter|e-?mail|dialogue"
    r"|solution|implementation|function|code|script|program|algorithm|pseudocode|approach|snippet|query)"
)
_WORDS = r"(?: [\w`'’().,/-]+){0,3}?"
_RESULT = rf"(?:{_MADE},?{_WORDS} {_WORK}|{_BETTER},?{_WORDS} ?\b{_TEXT})"
_POST = r"(?: of (?:the|this|your) (?:post|text|article|passage|discussion|conversation|thread))?"
_THE = r"(?:(?:the|my|a|an|your|one) )?"
_DOCUMENT = rf"{_THE}(?:{_RESULT}|revision|rewrite|rewriting|{_TEXT}{_POST}(?=[*_]*:))"
_SHOWS = (
    r"(?:(?:here|below)(?:['’]s| is| are)|this is|the following is|please find|i(?:['’]ve| have)"
    r"|let me (?:give you|try)|i (?:would |will |can |['’]ll )?(?:offer|provide|suggest|propose|present))"
)
_COLON = r"(?:[^:.!?\n]|[.!?](?=\S)|:(?=\S)){0,400}(?::(?=\s|$)|(?<=:[*_])[*_]*(?=\s|$))"
_STOP = r"(?:[^:.!?\n]|[.!?](?=\S)){0,400}[.!](?=[ \t]*(?:\n|$))"
_ANNOUNCES = re.compile(
    rf"[*_]*(?:[^.:!?\n]{{1,150}}[,;–—-] ?(?:so |and |but )?)?{_SHOWS} (?:below )?{_DOCUMENT}\b{_COLON}"
    rf"|(?:[^.:!?\n]{{1,150}}, ?)?{_SHOWS} (?:below )?{_THE}{_MADE}{_WORDS} {_WORK}\b{_STOP}"
    rf"|i(?:['’]ve| have)? (?:just )?(?:revised|rewritten|rewrote|updated|improved|edited) (?:the|my|your) "
    rf"{_WORK}\b(?:{_COLON}|{_STOP})"
    rf"|[*_]*(?:a|the|my) {_RESULT}(?: to [^.:!?\n]{{1,150}})? (?:is|would be|could be|might be|reads)"
    r"(?: as follows| this| the following)?(?::[*_]*)(?=\s|$)",
    re.IGNORECASE,
)
"""A sentence that announces the rewritten text, to its colon, or to the end of its line."""
_HEADING = re.compile(
    rf"[#*_\s]*(?:(?:the|my|your) )?(?:{_RESULT}|rewritten|revised|improved|rewrite|revision|answer|response)"
    r"(?: \([^)\n]{1,40}\))?(?:[*_]*:[*_]*(?=\s|$)|[*_#: \t]*(?=\n|$))",
    re.IGNORECASE,
)
_POLITE = (
    r"(?:thanks|thank you|great|good|fair|valid|you(?:['’]re| are) right|i(?:['’]m| am) sorry|sorry"
    r"|apolog\w+|my apologies|i (?:sincerely )?apologi[sz]e|i (?:understand|see|agree|appreciate)"
    r"|understood|noted|your feedback|sure|certainly|of course|absolutely|okay|ok|no problem|as an ai)"
)
_COURTESY = re.compile(rf"(?:{_POLITE}\b[^.:!?\n]{{0,200}}[.!]+\s+){{1,3}}", re.IGNORECASE)
"""Polite sentences; they are meta-talk only where an announcement follows them."""
_ASSENT = re.compile(
    r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|got it)(?:[!.]+(?=\s|$)|,(?= ))\s*",
    re.IGNORECASE,
)
_WISHES = (
    r"(?:(?:i )?(?:hope|trust) (?:that )?(?:this\b|it helps)|(?:please )?let me know\b"
    r"|(?:please )?(?:feel free|(?:do not|don['’]t) hesitate) to (?:ask|reach|contact|let|request)\b"
    r"|if you (?:have|need) any (?:other|more|further)\b)"
)
_I = r"i(?:['’]ve| have)? (?:also )?"
_CLOSES = re.compile(
    rf"[*_(\[\s]*(?:{_WISHES}|(?:in |with )?(?:this|my) (?:{_MADE} {_TEXT}|revision|rewrite)\b"
    rf"|(?:in )?this {_MADE} {_WORK}\b(?=[^\n]*\b(?:critique|feedback|previous|original|requirements)\b)"
    r"|the (?:revised|improved|rewritten) (?:answer|response|reply|summary)\b"
    rf"|(?:please )?note(?: that|:) {_I}(?:\w+ed|kept|made|left|wrote|cut)\b"
    rf"|{_I}(?:revised|rewritten|rewrote|shortened|expanded|improved|edited) "
    rf"(?:the|my|your) {_WORK}\b|revised to\b|revision is (?:not )?needed\b|word count:)",
    re.IGNORECASE,
)
"""How a last paragraph or line begins that only speaks of the rewriting."""
_CHANGES = re.compile(
    r"\n[#*_ \t]*(?:(?:the )?(?:changes|edits|improvements|revisions)(?: (?:i|that were))? made"
    rf"(?: (?:to|in) (?:the|this|your) (?:original )?{_WORK})?"
    r"|(?:(?:an )?explanation|summary|list) of (?:the |my )?(?:changes|edits|revisions)(?: made)?"
    r"|revision (?:notes?|explanation)|what i changed)[*_]*(?::|[*_ ]*(?=\n)).*\Z",
    re.IGNORECASE | re.DOTALL,
)
_RULE = re.compile(r"\A[-*_]{3,}[ \t]*\n|\n[ \t]*[-*_]{3,}\Z")
_FENCED = re.compile(r"```[\w+-]*[ \t]*\n(.*)```", re.DOTALL)
_QUOTED = re.compile(r'"([^"“”]*\s[^"“”]*)"|“([^"“”]*\s[^"“”]*)”')
_NO_CHANGE = re.compile(
    r"(?:there (?:is|are) )?no (?:further )?(?:changes?|revisions?) (?:(?:is|are|was|were) )?"
    r"(?:needed|necessary|required|made)"
    rf"|(?:the|this|your|my) (?:original |given |previous )?{_TEXT} "
    r"(?:needs no|does(?: not|n['’]t) need(?: any)?) (?:further )?(?:changes?|revisions?)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Rewrite:
    """A rewritten answer, or why there is none."""

    text: str
    """Without meta-talk; empty where the status is `empty` or `meta`."""
    status: str
    """`ok`; `empty` (no word); `meta` (nothing but meta-talk); `equal` (the words of the original)."""


def clean_rewrite(raw: str, original: str) -> Rewrite:
    """What a model wrote when it was asked to rewrite `original`, without what it says of doing so.

    Taken off: announcements ("Here is the improved answer:"), headings ("**Revised summary**"), an
    assent ("Sure,"), closing paragraphs ("I hope this helps", "This revised answer now ...", "Changes
    made: ..."), and quotation marks or a code block around the whole. What the original says or does as
    well is never taken off: there it is content. Words are equal up to case, spacing and punctuation;
    the signs of arithmetic and comparison count as words.

    Args:
        raw: what the model wrote.
        original: the answer that it was to rewrite.

    Returns:
        The text, never longer than `raw`, and its status; cleaning it again changes nothing.
    """
    if not re.search(r"\w", raw):
        return Rewrite("", "empty")
    text = _stripped(raw, original)
    if not re.search(r"\w", text):
        return Rewrite("", "empty" if _FENCED.fullmatch(raw.strip()) else "meta")
    if _NO_CHANGE.fullmatch(text.strip(" .!*")):
        return Rewrite("", "meta")
    same = _words(text) in (_words(original), _words(_stripped(original, "")))
    return Rewrite(text, "equal" if same else "ok")


def _stripped(raw: str, original: str) -> str:
    """The text with one layer after the other taken off, until nothing changes."""
    text, before = raw.strip(), ""
    while text != before:
        before = text
        for step in (_without_wrapping, _without_lead, _without_tail):
            text = step(text, original).strip()
    return text


def _without_wrapping(text: str, original: str) -> str:
    """Without a code block or quotation marks around the whole, unless the original has such."""
    fenced, quoted = _FENCED.fullmatch(text), _QUOTED.fullmatch(text)
    if fenced and "```" not in fenced[1] + original:
        return fenced[1].strip("\n")
    if quoted and not _QUOTED.fullmatch(original.strip()):
        return quoted[1] or quoted[2]
    return text


def _without_lead(text: str, original: str) -> str:
    """Without an announcement, a heading, or an assent at the start."""
    courtesy = _COURTESY.match(text)
    for lead in (
        courtesy and _ANNOUNCES.match(text, courtesy.end()),
        _ANNOUNCES.match(text),
        _HEADING.match(text),
    ):
        if lead and not _says(original, text[: lead.end()]):
            return _RULE.sub("", text[lead.end() :].strip(), count=1)
    assent = _ASSENT.match(text)
    if assent and not _says(original, assent[0]):
        rest = text[assent.end() :]
        return rest[:1].upper() + rest[1:] if "," in assent[0] and rest[:1].isascii() else rest
    return text


def _without_tail(text: str, original: str) -> str:
    """Without a list of the changes, or a last paragraph or line that speaks of the rewriting."""
    changes = _CHANGES.search(text)
    if changes and not _says(original, changes[0].strip().partition("\n")[0]):
        return _RULE.sub("", text[: changes.start()].rstrip())
    for gap in (r"\n[ \t]*\n\s*", r"\n"):
        at = max((found.end() for found in re.finditer(gap, text)), default=0)
        if _CLOSES.match(text, at) and not _says(original, text[at:]):
            return _RULE.sub("", text[:at].rstrip())
    return text


def _says(original: str, words: str) -> bool:
    """Whether the original has these words, in this order."""
    return f" {' '.join(_words(words))} " in f" {' '.join(_words(original))} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[+<>=/%&|^~@$\\]", text.lower().replace("’", "'"))
