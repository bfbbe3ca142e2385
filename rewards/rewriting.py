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
_SORRY = (
    r"(?:(?:i(?:['’]m| am) )?(?:(?:very|so|truly|really) )?sorry|(?:my )?apologies"
    r"|i (?:sincerely )?apologi[sz]e)"
)
_ACCEPTS = (
    rf"(?:thanks|thank you|you(?:['’]re| are) (?:absolutely |quite )?right|{_SORRY}|apolog\w+"
    r"|i (?:understand|see|agree|appreciate)|understood|noted|your feedback)"
)
_POLITE = (
    rf"(?:{_ACCEPTS}|great|good|fair|valid|sure|certainly|of course|absolutely|okay|ok|no problem|as an ai)"
)
_COURTESY = re.compile(rf"(?:{_POLITE}\b[^.:!?\n]{{0,200}}[.!]+\s+){{1,3}}", re.IGNORECASE)
"""Polite sentences; they are meta-talk only where an announcement follows them."""
_ASSENT = re.compile(
    r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|got it)(?:[!.]+(?=\s|$)|,(?= ))\s*",
    re.IGNORECASE,
)
_FEEDBACK = r"(?:feedback|critique|criticism)"
_JUDGED = (
    r"(?:(?:in)?correct|right|wrong|(?:un)?fair|good|great|bad|clear|valid|(?:un)?helpful|useful"
    r"|(?:non-?)?constructive|accurate|noted)"
)
_ANSWERS_FEEDBACK = (
    rf"(?:{_ACCEPTS}\b[^.!?\n]{{0,40}}?\b(?:(?:the|this|that|your) (?:\w+ ){{0,3}}?{_FEEDBACK}"
    r"|your (?:comments?|suggestions?))\b"
    rf"|(?:the|this|your) {_FEEDBACK} (?:(?:is|was|seems) (?:not )?(?:\w+ly |very )?{_JUDGED}\b|you\b))"
)
_AI = r"as an? (?:ai|artificial intelligence|(?:large )?language model|(?:digital|virtual) assistant)\b"
_UNABLE = (
    r"i(?:['’]m| am)? (?:can(?:not|['’]?t)|(?:not able|unable|not capable|not programmed|not in a position)\b"
    r"|(?:do not|don['’]t) have (?:the ability|access|the capability|the capacity))"
)
_REQUEST = r"(?:that|this|it|(?:your|this|that|the|such) (?:requests?|questions?|tasks?)|requests)"
_HELP = (
    rf"(?: to)? (?:(?:help|assist)(?: you)? with|fulfil+|comply with|answer|complete|do) {_REQUEST}\b"
    rf"|(?: to)? (?:provide|give|offer)(?: you)?(?: with)?(?: \w+){{0,2}}? "
    rf"(?:{_FEEDBACK}|assistance|answers?)\b"
)
_REFUSES = re.compile(
    rf"(?:{_SORRY}\b[^.!?\n]{{0,60}}?,? (?:but )?|unfortunately,? )?{_AI}[^.!?\n]{{0,60}}?,? {_UNABLE}"
    rf"|(?:{_SORRY}\b[^.!?\n]{{0,60}}?,? (?:but )?|unfortunately,? ){_UNABLE}(?:{_HELP})",
    re.IGNORECASE,
)
_TALKS = re.compile(rf"{_REFUSES.pattern}|{_ANSWERS_FEEDBACK}", re.IGNORECASE)
"""How a sentence begins that refuses, or speaks to the giver of the feedback."""
_GOES_ON = re.compile(r"\b(?:but|however|so|here)\b|:\s|(?:\S+\s+){20}", re.IGNORECASE)
"""What shows that a sentence that begins so has something else to say."""
_PROMISES = (
    r"(?:i(?:['’]ll| will| should) (?:not )?(?:\w+ly )?(?:try|strive|make sure|do my best|work on|improve"
    r"|consider|be (?:happy|glad|more)|provide (?:any |personal )+)|i(?:['’]m| am) here to (?:help|assist)\b"
    r"|you(?:['’]ve| have) (?:already )?(?:edited|revised|improved|rewritten)\b)"
)
_ASKS = (
    r"(?:(?:please |could you |can you )(?:please )?(?:provide|give|tell|share|let me know|feel free)\b"
    r"|if you (?:have|need|could|can|would|provide|want)\b|(?:is there|how can i|how may i)\b"
    r"|to (?:provide|give|help)\b[^.!?\n]*\b(?:more|further) (?:information|details?|context)\b)"
)
_TALKS_ON = re.compile(
    rf"(?:(?:however|but|instead),? )?(?:{_ACCEPTS}\b|{_ANSWERS_FEEDBACK}|{_UNABLE}(?:{_HELP})"
    rf"|{_PROMISES}|{_ASKS})",
    re.IGNORECASE,
)
"""How sentences after such a one begin that still say nothing else."""
_ABOUT_FEEDBACK = re.compile(rf"\b{_FEEDBACK}|\bcomments?\b", re.IGNORECASE)
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
_SENTENCE = re.compile(r"[^.!?\n]*\w[^.!?\n]*")
_TAG = re.compile(r"</?(\w+)>")
_RUN = 8
"""So many words of the request in a row are no accident."""
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


def clean_rewrite(raw: str, original: str, told: str = "") -> Rewrite:
    """What a model wrote when it was asked to rewrite `original`, without what it says of doing so.

    Taken off: announcements ("Here is the improved answer:"), headings ("**Revised summary**"), an
    assent ("Sure,"), first paragraphs that refuse ("As an AI, I cannot ...") or answer the feedback and no
    more ("You're right, the feedback is fair."), closing paragraphs ("I hope this helps", "This revised
    answer now ...", "Changes made: ..."), and quotation marks or a code block around the whole. What the
    original says or does as well is never taken off: there it is content. Words are equal up to case,
    spacing and punctuation; the signs of arithmetic and comparison count as words.

    A text that repeats the request is `meta` as a whole: 8 consecutive words of `told` that the original
    does not have, or one of its delimiters (`<feedback>`, also broken up as `< feedback>`).

    Args:
        raw: what the model wrote.
        original: the answer that it was to rewrite.
        told: the words of the request itself, such as `rubric.form("rewrite", comment="")`: with empty
            fields, since a good rewrite may well use the words of the comment or of others' answers.

    Returns:
        The text, never longer than `raw`, and its status; cleaning it again changes nothing.
    """
    if not re.search(r"\w", raw):
        return Rewrite("", "empty")
    text = _stripped(raw, original)
    if not re.search(r"\w", text):
        return Rewrite("", "empty" if _FENCED.fullmatch(raw.strip()) else "meta")
    if _NO_CHANGE.fullmatch(text.strip(" .!*")) or _repeats(text, told, original):
        return Rewrite("", "meta")
    same = _words(text) in (_words(original), _words(_stripped(original, "")))
    return Rewrite(text, "equal" if same else "ok")


def _stripped(raw: str, original: str) -> str:
    """The text with one layer after the other taken off, until nothing changes."""
    text, before = raw.strip(), ""
    while text != before:
        before = text
        for step in (_without_wrapping, _without_lead, _without_talk, _without_tail):
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


def _without_talk(text: str, original: str) -> str:
    """Without a first paragraph that refuses or answers the feedback, and does nothing else."""
    paragraph, *rest = re.split(r"\n[ \t]*\n", text, maxsplit=1)
    first, *more = [sentence.strip(" \t\"'”’*_") for sentence in _SENTENCE.findall(paragraph)] or [""]
    known = _REFUSES.search(original) if _REFUSES.match(first) else _ABOUT_FEEDBACK.search(original)
    talk = _TALKS.match(first)
    if known or not talk or _GOES_ON.search(first, talk.end()):
        return text
    return "".join(rest) if all(_TALKS_ON.match(sentence) for sentence in more) else text


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


def _repeats(text: str, told: str, original: str) -> bool:
    """Whether the text has a delimiter of the request, or `_RUN` of its words, that the original lacks."""
    for tag in set(_TAG.findall(told)):
        delimiter = re.compile(rf"< ?/?{tag}(?:>|\Z)", re.IGNORECASE)
        if delimiter.search(text) and not delimiter.search(original):
            return True
    for part in _TAG.sub("\n\n", told).split("\n\n"):
        words = _words(part)
        runs = (" ".join(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1))
        if any(_says(text, run) and not _says(original, run) for run in runs):
            return True
    return False


def _says(original: str, words: str) -> bool:
    """Whether the original has these words, in this order."""
    return f" {' '.join(_words(words))} " in f" {' '.join(_words(original))} "


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[+<>=/%&|^~@$\\]", text.lower().replace("’", "'"))
