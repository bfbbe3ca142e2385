"""A transcript as Markdown. What a model wrote stays inside its quotation and loads nothing."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agents.dialogue import Message
from agents.human import printable
from arena.terminal import one_line
from arena.transcript import Draft, Failure, Judged, Transcript
from arena.worddiff import marked
from arena.wording import (
    asked,
    changes,
    compared,
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

_MARKS = re.compile(r"([\\`*_\[\]<>#|!~])")
_LONG = 200
"""Letters of a question that is too long for a heading."""


def quoted(text: str) -> str:
    """A text as a quotation: its Markdown is kept, but no HTML and no image."""
    harmless = printable(text.strip()).replace("<", "&lt;").replace("![", "!\\[")
    return "\n".join(f"> {line}".rstrip() for line in harmless.split("\n"))


def inline(text: str) -> str:
    """A text on one line that shows as it is."""
    return _MARKS.sub(r"\\\1", " ".join(printable(text).split()))


@dataclass(frozen=True)
class Markdown:
    """Writes transcripts as paragraphs; each ends with the empty line after it."""

    about: str
    """A line about the run."""
    normalisation: str
    """How the run made ratings into rewards, to spell rewards out."""
    minimum: int
    """Revisions that the run requires of every answer."""
    diff: bool
    """Whether a revision shows which words it changes."""

    def dialogue(self, transcript: Transcript, last: int | None = None) -> Iterator[str]:
        """The turns, or the last ones, then the verdicts on the performances and what failed besides."""
        yield from self._title(transcript)
        shown = transcript.rounds[-last:] if last else transcript.rounds
        for above, played in zip((None, *shown), shown, strict=False):
            heads = (played.speaker, role(*played.drafts), origin(played, above))
            yield f"## {played.number} {inline(' · '.join(filter(None, heads)))}\n"
            for draft in played.drafts:
                yield from self._draft(draft, alone=len(played.drafts) == 1)
            yield from map(_failure, played.failures)
            if len(played.drafts) > 1 and (came := outcome(played)):
                yield f"**{inline(came)}**\n"
        if transcript.performances:
            yield "## the whole performances\n"
        for performance in transcript.performances:
            yield f"### {inline(performance.seat)}\n"
            if performance.judged:
                yield self._judged(performance.judged)
            yield from map(_failure, performance.failures)
        if transcript.feedback or transcript.pairs:
            ends = [("", compared(each)) for each in transcript.feedback]
            ends += [("pairs", paired(transcript.pairs))] if transcript.pairs else []
            yield f"## what came of it\n\n{_listed(ends)}"
        yield from map(_failure, transcript.failures)

    def match(self, transcript: Transcript, draft: Draft) -> Iterator[str]:
        """A draft alone, as one that a filter found."""
        heading = " · ".join(filter(None, (draft.turn.speaker, role(draft))))
        yield f"## {draft.turn.id} {inline(heading)}\n"
        yield f"{inline(one_line(transcript.topic, _LONG))}\n"
        yield from self._draft(draft, alone=False)

    def prompt(
        self, transcript: Transcript, speaker: str, messages: Sequence[Message], last: int | None = None
    ) -> Iterator[str]:
        """A prompt, or its last messages, as its speaker saw it."""
        yield from self._title(transcript)
        yield f"What {inline(speaker)} saw before it spoke last:\n"
        for message in messages[-last:] if last else messages:
            yield f"## {message['role']}\n"
            yield f"{quoted(message['content'])}\n"

    def note(self, text: str) -> Iterator[str]:
        """A line about what was shown."""
        yield f"{inline(text)}\n"

    def _title(self, transcript: Transcript) -> Iterator[str]:
        topic = transcript.topic.strip()
        if len(topic) > _LONG or "\n" in topic:
            yield f"# {transcript.id}\n"
            yield f"{quoted(topic)}\n"
        else:
            yield f"# {transcript.id}: {inline(topic)}\n"
        if transcript.question:
            yield f"{inline(asked(transcript.question))}\n"
        opens = f" · {inline(transcript.opener)} opens" if transcript.opener else ""
        yield f"{inline(self.about)}{opens}\n"

    def _draft(self, draft: Draft, alone: bool) -> Iterator[str]:
        words = [word for word in flags(draft) if not (alone and word in ("said", "taken"))]
        if not alone:
            yield f"### {', '.join([f'draft {draft.letter}', *words, inline(size(draft))])}\n"
        elif words:
            yield f"({', '.join(words)})\n"
        segments, note = changes(draft, self.diff)
        yield f"{quoted(marked(segments))}\n"
        if note:
            yield f"{note}\n"
        if said := list(heard(draft, self.minimum)):
            yield _listed(said)
        if draft.judged:
            yield self._judged(draft.judged)
        yield from map(_failure, draft.failures)

    def _judged(self, judged: Judged) -> str:
        return _listed(remarks(judged, self.normalisation))


def _failure(failure: Failure) -> str:
    return _listed(failed(failure))


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    items = (f"- {label}: {inline(text)}" if label else f"- {inline(text)}" for label, text in pairs)
    return "\n".join(items) + "\n"
