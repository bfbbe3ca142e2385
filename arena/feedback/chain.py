"""Chains: an answer, feedback on it, a revision, ... until no revision is needed; and what they teach."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.dialogue import Message, Reply, Turn
from arena.feedback.events import Work, messages
from arena.feedback.pairing import said
from rewards.stopping import Stop
from rewards.verdict import Case, Example

UNCLEAR = ("absent", "cut_off", "ambiguous", "contradicts")
"""Stop verdicts that do not say clearly whether a revision is needed."""

FORMS = ("chain", "last")
"""What an example holds: answer, feedback and revisions; or the last version alone."""

_HEADINGS = re.compile(r"^#+[ \t]*(?=(?:feedback|revision)[ \t]+\d+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Version:
    """An answer or a revision, freed of talk about itself."""

    turn: Turn
    """As it was said."""
    text: str

    @property
    def reply(self) -> Reply:
        """What counts as said."""
        return said(self.turn.reply, self.text)


@dataclass(frozen=True)
class Comment:
    """Feedback on a version."""

    turn: Turn
    stop: Stop
    """What it says about another revision."""
    text: str
    """As the author is shown it: with the verdict that was acted on."""
    goes_on: bool
    """Whether a revision follows."""
    overruled: bool = False

    @property
    def clear(self) -> bool:
        """Whether it says clearly if a revision is needed."""
        return self.stop.status not in UNCLEAR


@dataclass
class Chain:
    """One author's versions of an answer to one problem, and the feedback between them."""

    work: Work
    seat: str
    versions: list[Version]
    comments: list[Comment] = field(default_factory=list)
    end: str = ""
    """Why there is no further revision: `stopped`, `limit`, `unchanged`, `empty`, `meta`, `no_reply`,
    `unclear`, `revealed` (the reference), `no_peers`; `""` while it goes on."""

    @property
    def last(self) -> Version:
        """The newest version."""
        return self.versions[-1]

    @property
    def revisions(self) -> int:
        """How many there are."""
        return len(self.versions) - 1

    def history(self, forms: Sequence[str]) -> list[Message]:
        """What the author has said and was told so far; `forms` are the user messages behind each version."""
        said_and_told = [
            (role, text)
            for version, told in zip(self.versions, forms, strict=True)
            for role, text in (("assistant", version.text), ("user", told))
        ]
        return list(messages(*said_and_told))

    def case(self, version: Version) -> Case:
        """A version, to be judged."""
        return self.work.case(version.turn, version.reply)

    @property
    def complete(self) -> list[Version]:
        """The versions up to the last one that was not cut at the token limit."""
        whole = [place for place, version in enumerate(self.versions) if not version.reply.truncated]
        return self.versions[: whole[-1] + 1] if whole else []


def example(chain: Chain, prompt: tuple[Message, ...], form: str = "chain") -> Example | None:
    """A chain as a prompt and the completion that a self-revising model is to write.

    The completion is the answer, then `### Feedback 1:` and `### Revision 1:` in turn, as SelFee (Ye et
    al. 2023) has them, with the last feedback if it ended the chain.

    Args:
        chain: what was said.
        prompt: what its author was asked.
        form: `chain`, or `last` for the last version alone.

    Returns:
        None where nothing can be learned: no whole version, or unclear feedback.
    """
    versions = chain.complete
    ended_well = chain.end in ("stopped", "limit")
    if not versions or not ended_well or not all(comment.clear for comment in chain.comments):
        return None
    if form == "last":
        pieces = [versions[-1].text]
    else:
        pieces = [_plain(versions[0].text)]
        for number, (comment, version) in enumerate(zip(chain.comments, versions[1:], strict=False), start=1):
            pieces += [f"### Feedback {number}:\n{_plain(comment.text)}"]
            pieces += [f"### Revision {number}:\n{_plain(version.text)}"]
        if chain.end == "stopped" and len(versions) == len(chain.versions):
            pieces.append(f"### Feedback {len(versions)}:\n{_plain(chain.comments[-1].text)}")
    return Example(
        id=f"{versions[-1].turn.id}#{form}",
        prompt=prompt,
        completion="\n\n".join(pieces),
        revisions=len(versions) - 1,
    )


def _plain(text: str) -> str:
    """`text` without headings that look like those between the pieces."""
    return _HEADINGS.sub("", text.strip())
