"""The versions of answers as the tables of a run folder have them: which count, their ratings and lengths."""

from collections.abc import Sequence
from dataclasses import dataclass

from agents.errors import ArenaError
from arena.report import Row, Tables
from rewards.rewriting import clean_rewrite

ASKED = ("feedback", "panel")
"""Kinds of feedback that a chain goes on from."""


@dataclass(frozen=True)
class Rated:
    """A version of an answer: how long it is, and how it was rated."""

    id: str
    words: int
    """Without what it says of itself ("Here is the revised answer:"), which no judge saw."""
    rating: float | None
    """In 1 to 10; None where the judge abstained."""


@dataclass(frozen=True)
class Recorded:
    """A chain: the versions of one author's answer to one question."""

    dialogue: str
    seat: str
    versions: tuple[Rated, ...]
    """The answer, then the revisions that counted."""

    @property
    def revisions(self) -> int:
        """How often the answer was revised."""
        return len(self.versions) - 1


def recorded(tables: Tables) -> list[Recorded]:
    """The chains of the tables, in the order of their answers.

    A revision counts if a feedback has it as its result: tries that only said the same again, or nothing,
    are turns too. An answer without text begins no chain.

    Raises:
        ArenaError: a feedback has a result that is no turn.
    """
    turns = {row["id"]: row for row in tables.get("turns", ())}
    asked = [row for row in tables.get("feedback", ()) if row["kind"] in ASKED]
    results = {row["about"]: row["result"] for row in asked if row["result"]}
    if missing := sorted(set(results.values()) - turns.keys()):
        raise ArenaError(
            f"feedback.jsonl has the result {missing[0]!r}, which is not in turns.jsonl: mend either"
        )
    ratings = {row["id"]: row["rating"] for row in tables.get("verdicts", ())}
    found = []
    for row in turns.values():
        if row["kind"] == "answer" and row["content"].strip():
            ids = [row["id"]]
            while after := results.pop(ids[-1], ""):
                ids.append(after)
            texts = _said([turns[id]["content"] for id in ids])
            versions = zip(ids, texts, map(ratings.get, ids), strict=True)
            rated = tuple(Rated(id, len(text.split()), rating) for id, text, rating in versions)
            found.append(Recorded(row["dialogue"], row["speaker"], rated))
    return found


def cut(tables: Tables) -> frozenset[str]:
    """The ids of the turns that were cut at the token limit."""
    return frozenset(row["id"] for row in tables.get("turns", ()) if row["finish"] == "length")


def feedback_on(chains: Sequence[Recorded], feedback: Sequence[Row]) -> list[list[tuple[int, Row]]]:
    """For each chain the feedbacks on its versions, oldest first: (revisions before it, row)."""
    place = {each.id: (i, k) for i, chain in enumerate(chains) for k, each in enumerate(chain.versions)}
    found: list[list[tuple[int, Row]]] = [[] for _ in chains]
    for row in feedback:
        if row["kind"] in ASKED and row["about"] in place:
            i, revisions = place[row["about"]]
            found[i].append((revisions, row))
    return [sorted(rows, key=lambda pair: pair[0]) for rows in found]


def ended_by(asked: Sequence[tuple[int, Row]]) -> str:
    """Why a chain has no further revision, from what `feedback_on` gives of it."""
    if not asked:
        return "no feedback"
    last = str(asked[-1][1]["outcome"])
    return "limit" if last == "revised" else last


def by_seat(chains: Sequence[Recorded]) -> dict[str, list[Recorded]]:
    """Chains under their authors, in the order of first sight."""
    seats: dict[str, list[Recorded]] = {}
    for chain in chains:
        seats.setdefault(chain.seat, []).append(chain)
    return seats


def by_revisions(chains: Sequence[Recorded]) -> list[list[Rated]]:
    """The versions after 0, 1, 2, ... revisions."""
    most = max((len(chain.versions) for chain in chains), default=0)
    return [[chain.versions[k] for chain in chains if len(chain.versions) > k] for k in range(most)]


def _said(contents: Sequence[str]) -> list[str]:
    """An answer and its revisions, these without talk about themselves."""
    texts = list(contents[:1])
    for content in contents[1:]:
        texts.append(clean_rewrite(content, texts[-1]).text or content)
    return texts
