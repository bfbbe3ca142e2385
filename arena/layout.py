"""A transcript as lines of styled text: wrapped, never cut, and readable without any style."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from agents.dialogue import Message
from arena.terminal import clean, one_line
from arena.transcript import Draft, Failure, Performance, Round, Transcript
from arena.worddiff import marked
from arena.wording import (
    asked,
    changes,
    compared,
    count,
    failed,
    flags,
    heard,
    origin,
    outcome,
    paired,
    remarks,
    role,
    size,
)

INDENT = 4
"""Columns left of what is said."""

_LABEL = 9
_LINES = 3
"""Of a topic that is long."""
_PLAIN = Console(width=100, color_system=None)
_FLAGS = {"said": "bold reverse", "chosen": "bold green", "rejected": "bold red", "truncated": "bold yellow"}
_CHANGES = {"equal": "", "delete": "red strike", "insert": "green"}


@dataclass(frozen=True)
class Layout:
    """Lays transcripts out in lines of at most `width` columns."""

    about: str
    """A line about the run."""
    width: int
    colours: Mapping[str, str]
    """A colour for each speaker."""
    normalisation: str
    """How the run made ratings into rewards, to spell rewards out."""
    minimum: int
    """Revisions that the run requires of every answer."""
    diff: bool
    """Whether a revision shows which words it changes."""
    coloured: bool
    """Whether colours tell deleted and inserted words apart; else they stand in marks."""

    def dialogue(self, transcript: Transcript, last: int | None = None) -> Iterator[Text]:
        """The turns, or the last ones, then the verdicts on the performances and what failed besides."""
        yield from self._title(transcript)
        rounds = transcript.rounds[-last:] if last else transcript.rounds
        yield from _left_out(len(transcript.rounds) - len(rounds), "turn")
        for above, each in zip((None, *rounds), rounds, strict=False):
            yield Text()
            yield from self._round(each, above)
        if transcript.performances:
            yield Text()
            yield self._rule(Text("the whole performances", "bold"))
            for performance in transcript.performances:
                yield from self._performance(performance)
        yield from self._ends(transcript)
        if transcript.failures:
            yield Text()
            yield self._rule(Text("other failures", "bold"))
            for failure in transcript.failures:
                yield from self._wrapped(clean(failure.of, "red"), INDENT)
                yield from self._failure(failure)
        yield Text()

    def match(self, transcript: Transcript, draft: Draft) -> Iterator[Text]:
        """A draft alone, as one that a filter found."""
        head = Text.assemble((f"{draft.turn.id}  ", "bold"), self._name(draft.turn.speaker), _role(draft))
        yield self._rule(head, f"step {draft.step}")
        # A question with its text may be pages, and it is the same in every match.
        yield from self._wrapped(clean(one_line(transcript.topic, _LINES * self.width), "dim"), INDENT)
        yield _flagged(" " * INDENT, [*flags(draft), size(draft)])
        yield from self._draft(draft)
        yield Text()

    def prompt(
        self, transcript: Transcript, speaker: str, messages: Sequence[Message], last: int | None = None
    ) -> Iterator[Text]:
        """A prompt, or its last messages, as its speaker saw it."""
        yield from self._title(transcript)
        indent = " " * (len(transcript.id) + 2)
        yield Text.assemble(indent, "what ", self._name(speaker), " saw before it spoke last")
        shown = messages[-last:] if last else messages
        yield from _left_out(len(messages) - len(shown), "message")
        for message in shown:
            style = self._colour(speaker) if message["role"] == "assistant" else ""
            yield Text()
            yield self._rule(Text(message["role"], f"bold {style}"))
            yield from self._wrapped(clean(message["content"]) or Text("(empty)", "dim"), INDENT)
        yield Text()

    def note(self, text: str) -> Iterator[Text]:
        """A line about what was shown."""
        yield from self._wrapped(clean(text, "bold"), 0)

    def _title(self, transcript: Transcript) -> Iterator[Text]:
        topic = transcript.topic or "(the topic is not on record yet)"
        style = "bold" if len(topic) <= _LINES * self.width else ""
        yield from self._hanging(f"{transcript.id}  ", topic, style)
        if transcript.question:
            line = clean(asked(transcript.question))
            yield from self._wrapped(line, len(transcript.id) + 2)
        counts = count(len(transcript.rounds), "turn")
        drafts = sum(len(each.drafts) for each in transcript.rounds)
        if drafts > len(transcript.rounds):
            counts += f", {count(drafts, 'draft')}"
        opens = transcript.opener and f"{transcript.opener} opens"
        line = clean(" · ".join(filter(None, (self.about, opens, counts))), "dim")
        yield from self._wrapped(line, len(transcript.id) + 2)

    def _round(self, played: Round, above: Round | None) -> Iterator[Text]:
        """One turn: its speaker, the drafts, and what came of them."""
        name = self._name(played.speaker)
        head = Text.assemble((f"{played.number:>2}  ", "dim"), name, _role(*played.drafts))
        first = played.drafts[0]
        step = f"step {first.step}" if first.turn.kind == "reply" else ""
        yield self._rule(head, " · ".join(filter(None, (origin(played, above), step))))
        alone = len(played.drafts) == 1
        for place, draft in enumerate(played.drafts):
            words = [word for word in flags(draft) if not (alone and word in ("said", "taken"))]
            if place:
                yield Text()
            if not alone:
                yield _flagged(f"{draft.letter:>{INDENT - 2}}  ", [*words, size(draft)])
            elif words:
                yield _flagged(" " * INDENT, words)
            yield from self._draft(draft)
        if not alone and (came := outcome(played)):
            yield Text()
            yield from self._wrapped(clean(came, "bold"), INDENT)
        for failure in played.failures:
            yield from self._failure(failure)

    def _draft(self, draft: Draft) -> Iterator[Text]:
        segments, note = changes(draft, self.diff)
        if self.coloured:
            text = Text.assemble(*((part, _CHANGES[kind]) for kind, part in segments))
        else:
            text = Text(marked(segments))
        yield from self._wrapped(text or Text("(the reply is empty)", "red"), INDENT)
        yield from self._wrapped(Text(note, "dim"), INDENT) if note else ()
        yield from self._labelled(heard(draft, self.minimum), "")
        if draft.judged:
            yield from self._labelled(remarks(draft.judged, self.normalisation), "dim")
        for failure in draft.failures:
            yield from self._failure(failure)

    def _ends(self, transcript: Transcript) -> Iterator[Text]:
        """Feedback without a turn, and which turns are better than which."""
        if transcript.feedback or transcript.pairs:
            yield Text()
        for each in transcript.feedback:
            yield from self._wrapped(clean(compared(each)), INDENT)
        if transcript.pairs:
            yield from self._hanging(f"{'':{INDENT}}pairs  ", paired(transcript.pairs), "")

    def _performance(self, performance: Performance) -> Iterator[Text]:
        yield Text(" " * INDENT) + self._name(performance.seat)
        if performance.judged:
            yield from self._labelled(remarks(performance.judged, self.normalisation), "dim")
        for failure in performance.failures:
            yield from self._failure(failure)

    def _failure(self, failure: Failure) -> Iterator[Text]:
        yield from self._labelled(failed(failure), "red")

    def _labelled(self, pairs: Iterable[tuple[str, str]], style: str) -> Iterator[Text]:
        for label, text in pairs:
            yield from self._hanging(f"{'':{INDENT + 2}}{label:<{_LABEL}}", text, style)

    def _hanging(self, label: str, text: str, style: str) -> Iterator[Text]:
        for place, line in enumerate(self._wrapped(clean(text, style), cell_len(label))):
            yield Text(label, style) + line[len(label) :] if place == 0 else line

    def _wrapped(self, text: Text, indent: int) -> Iterator[Text]:
        for line in text.wrap(_PLAIN, max(self.width - indent, 20), overflow="fold"):
            line.rstrip()
            yield Text(" " * indent) + line if line else line

    def _rule(self, head: Text, tail: str = "") -> Text:
        tail = f" {tail}" if tail else ""
        gap = max(self.width - head.cell_len - len(tail) - 1, 3)
        return head + Text(f" {'─' * gap}{tail}", "dim")

    def _name(self, speaker: str) -> Text:
        return clean(speaker, f"bold {self._colour(speaker)}")

    def _colour(self, speaker: str) -> str:
        return self.colours.get(speaker, "white")


def _role(*drafts: Draft) -> str:
    kind = role(*drafts)
    return f" · {kind}" if kind else ""


def _left_out(number: int, thing: str) -> Iterator[Text]:
    if number:
        yield Text()
        yield Text(f"({count(number, f'earlier {thing}')} not shown)", "dim")


def _flagged(start: str, words: Sequence[str]) -> Text:
    """Marks of a draft; what is no mark of the outcome stands back or warns."""
    line = Text(start, "bold")
    for place, word in enumerate(words):
        style = _FLAGS.get(word, "dim")
        line.append("  " if place else "")
        line.append(clean(word, style))
    return line
