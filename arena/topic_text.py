"""A topic out of what a model says when it is asked for one; pure text, no agents."""

import re

MIN_WORDS = 3
"""A sentence of fewer words is a heading or an exclamation, no topic."""

_MAX_LINE = 1000  # characters of a line that are read: more than any topic, and no regular expression dawdles

_LABELS = (
    "topic topics question questions proposition subject title theme idea statement sentence answer "
    "response example discussion debate word words count assistant expert here here's sure certainly "
    "absolutely following"
)
_GRAMMAR = (
    "a an the this that these it it's is are was be one two another of for on in to with between and or as "
    "what i i'd i'll i've let let's us me my you your"
)
_VERBS = "could would might can will have like come up propose suggest offer discuss consider hope help helps"
_PRAISE = (
    "possible potential proposed suggested requested intellectual intellectually rich engaging thought "
    "provoking stimulating interesting intriguing complex deep compelling fascinating concrete specific "
    "unique new good great okay ok yes course experts follows discussed"
)
_MARKS = frozenset(_LABELS.split())
_TALK = _MARKS.union(_GRAMMAR.split(), _VERBS.split(), _PRAISE.split())
"""A clause of these words alone, one of `_MARKS` among them, talks about a topic and names none."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_OFFER = re.compile(
    r"\b(?:here is|here's|here are|let's|i'd|i'll|i've|i (?:\w+ )?(?:propose|suggest|offer|have))\b"
    r".*\b(?:topic|question|proposition|subject|theme|statement|idea)s?\b"
)
_ASIDE = re.compile(
    r"(?:I(?:['’]\w+| (?:am|can|cannot|could|do|have|hope|think|will|would|apologi[sz]e))"
    r"|You(?:['’]\w+| are| have)|As an? (?:AI|language model)|Sorry|Please|Let me|Feel free|Would you like"
    r"|This (?:topic|question|proposition|discussion))\b"
)
_FRONT = re.compile(
    r"(?:[*_#>~:•·–—\s\u2190-\u21ff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff-]|\(?\d{1,2}[.)](?:\s|(?=\*)))+"
)
_EMPHASIS = re.compile(r"(?<!\w)(\*{1,3}|_{1,3}|`)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_LEAD = re.compile(r"([^:\"“«–—]*?)(?:[:–—]|\s-\s|(?=[\"“«]))\s*")
_INTERJECTION = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|yes|great)[,!.]\s+", re.IGNORECASE
)
_QUOTED = re.compile(r"[\"“«]([^\"“”«»]+)[\"”»](?:\W*|(?<=[.?!].)\s.*|\s+(?:This|It|Let|I)\b.*)")
_SENTENCE_END = re.compile(
    r"(?<=\?)\s+|(?:(?<=[.!])|(?<=[.!?][\"”»’')]))"
    r"(?<!^\w\.)(?<![\s.(]\w\.)(?<!\b(?:vs|cf|Dr|Mr|Ms|St)\.)(?<!\b(?:Mrs|etc)\.)(?<!\bProf\.)\s+(?=[^a-z0-9])"
)
_NOTE = re.compile(r"\s*[(\[][^()\[\]]*\b(?:words?|sentences?|topic)\b[^()\[\]]*[)\]]\W*$", re.IGNORECASE)


def clean_topic(text: str) -> str:
    r"""The first sentence of `text` that is a topic, without what models say around one.

    Lead-ins ("Sure! Here is a topic:"), labels, markdown, list numbers and enclosing quotation marks
    go, and so does all that follows the sentence. The rules are for English.

    Returns:
        One line, `""` where no sentence is a topic.

    >>> clean_topic("Sure! Here is one:\n\n**Topic:** Can forests remember drought?\n\nThis topic ...")
    'Can forests remember drought?'
    """
    for line in text.splitlines():
        bare = _without_lead(_without_markup(" ".join(line[:_MAX_LINE].split())))
        for sentence in _sentences(bare):
            if _is_topic(sentence):
                return sentence
    return ""


def _is_topic(sentence: str) -> bool:
    """Whether it has enough words, is no exclamation or announcement, and is not only talk."""
    if len(sentence.split()) < MIN_WORDS or sentence.endswith(("!", ":")):
        return False
    return not (_TALK.issuperset(_words(sentence)) or _ASIDE.match(sentence))


def _sentences(line: str) -> list[str]:
    """The sentences of a line, or of the quotation that it begins with."""
    match = _QUOTED.fullmatch(line)
    whole = match[1] if match and len(match[1].split()) >= MIN_WORDS else line
    return [_unquoted(_NOTE.sub("", sentence)) for sentence in _SENTENCE_END.split(whole)]


def _without_markup(line: str) -> str:
    """`line` without emphasis, and without list marks, heading marks and emoji in front."""
    return re.sub(r"[*_]{2,}$", "", _EMPHASIS.sub(r"\2", _after(_FRONT.match(line), line)))


def _without_lead(text: str) -> str:
    """`text` after its lead-ins: what stands before a colon, dash or quotation and is only talk."""
    while (match := _LEAD.match(text)) and _is_lead(match[1]):
        text = _without_markup(text[match.end() :])
    return _after(_INTERJECTION.match(text), text)


def _is_lead(clause: str) -> bool:
    words = _words(clause)
    labelled = _TALK.issuperset(words) and not _MARKS.isdisjoint(words)
    if re.search(r"\d\d", clause):  # "Proposition 13" is a name, "Topic 1" a label
        return False
    return labelled or bool(_OFFER.search(_plain(clause)))


def _words(text: str) -> list[str]:
    return _WORD.findall(_plain(text))


def _plain(text: str) -> str:
    return text.lower().replace("’", "'")


def _after(match: re.Match[str] | None, text: str) -> str:
    return text[match.end() :] if match else text


def _unquoted(text: str) -> str:
    """`text` without a pair of quotation marks around it, or half a pair."""
    text = text.strip()
    for left, right in ('""', "“”", "«»", "''", "‘’"):
        if len(text) > 1 and text.startswith(left) and text.endswith(right):
            inner = text[1:-1]
            # Marks inside, at the edge of a word, belong to two quotations: "Nature" or "nurture"
            if not re.search(rf"{right}\W|{right}$|\s{left}", inner):
                return inner.strip()
    return text.strip('"').strip() if text.count('"') == 1 else text
