"""Labelled pairs from files of any form that the corpus knows. A label that says tie is a label."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from agents.errors import ConfigError
from arena.calibration.items import FIRST, SECOND, TIE, Pair, by_source, drawn
from arena.corpus.entry import Entry
from arena.corpus.reading import Corpus
from arena.seeds import seed_of
from rewards.verdict import Case, Preference

SCORED = (("score_A", "score_B"), ("score_0", "score_1"), ("score_chosen", "score_rejected"))
"""Columns of forms that say by two equal scores what others say by a label."""
PLACES = (("a", "b"), ("A", "B"), ("0", "1"))
"""Sides whose order is that of the row; other forms put the better answer first."""
_ID = re.compile(r"(?P<row>.*:\d+)(?:\.(?P<side>\w+))?")


class Labels(Corpus):
    """A corpus whose rows labelled as ties are kept. Arguments are those of `Corpus`, without its `limit`.

    Args:
        paths: as for `Corpus`.
        **options: `form`, `columns`, `only`, `seed`.
    """

    def __init__(self, paths: Sequence[str], **options: Any) -> None:
        """Check the settings; nothing is opened yet."""
        super().__init__(paths, **options)
        self._decided: dict[str, list[str]] = {}
        """Ids of rows by file, in order; whether a pair comes of a row is seen later."""
        self._ties: dict[str, list[str]] = {}

    def pairs(self, limit: int = 0) -> list[Pair]:
        """The pairs of up to `limit` rows (0: all) of each file that decide, and as large a share of ties.

        What people do not decide is read as if the first answer were the better one, and labelled `tie`.
        Rows of which no pair comes (an empty answer, two equal ones) are counted in `skipped`; they are
        drawn too, so that what can be read does not change the draw.

        Raises:
            ConfigError: as `Corpus.read` does; the message names the file and line.
        """
        self._decided, self._ties = {}, {}
        records = by_source(self.read(Preference), _row)
        tied = {id for ids in self._ties.values() for id in ids}
        found: list[Pair] = []
        for source in dict.fromkeys([*self._decided, *self._ties]):
            decided, ties = self._decided.get(source, []), self._ties.get(source, [])
            rows = drawn(decided, ties, limit, self.seed)
            own = [
                _pair(record, source, row in tied, self.seed)
                for row in rows
                for record in records.get(row, [])
            ]
            most = [pair for pair in own if pair.decided][: limit or None]
            found += [*most, *(pair for pair in own if not pair.decided)]
        if not found:
            reasons = ", ".join(f"{reason} ({n})" for reason, n in self.skipped.most_common())
            raise ConfigError(
                f"none of the rows drawn from {', '.join(self.paths)} makes a pair ({reasons}): "
                "raise limit, or name other files by pairs=[FILE]"
            )
        return found

    def _entries(self, file: Any) -> Iterator[Entry]:
        for entry in super()._entries(file):
            row = untied(entry)
            kind = self._decided if row is None else self._ties
            kind.setdefault(entry.source, []).append(entry.id)
            yield entry if row is None else row


def untied(entry: Entry) -> Entry | None:
    """A row that says tie, as it would be if the first answer were the better one; None for other rows."""
    if entry.row.get("label") == TIE:
        return replace(entry, row={**entry.row, "label": FIRST})
    for first, second in SCORED:
        if entry.has(first, second) and entry.number_of(first) == entry.number_of(second):
            row = {name: value for name, value in entry.row.items() if name != "labels"}
            return replace(entry, row={**row, first: entry.number_of(first) + 1})
    return None


def _row(record: Preference) -> str:
    return _parts(record.chosen_id)[0]


def _parts(id: str) -> tuple[str, str]:
    """The row that an answer is of, and its side there."""
    match = _ID.fullmatch(id)
    assert match, f"the corpus gives ids with a row, got {id!r}"
    return match["row"], match["side"] or ""


def _pair(record: Preference, source: str, tied: bool, seed: int) -> Pair:
    """A record as a pair in an order that does not tell which answer is better."""
    ids = record.chosen_id, record.rejected_id
    (row, better), (other_row, worse) = map(_parts, ids)
    topic = record.prompt[0]["content"]
    cases = [
        Case(id, topic, record.prompt, reply)
        for id, reply in zip(ids, (record.chosen, record.rejected), strict=True)
    ]
    forward = (better, worse) in PLACES
    if not forward and (worse, better) not in PLACES:
        forward = bool(seed_of(seed, "order", record.chosen_id) % 2)
    first, second = cases if forward else cases[::-1]
    last = worse if row == other_row else other_row.rpartition(":")[2]
    sides = (better or row.rpartition(":")[2], last)
    name = f"{row}.{'-'.join(sides if forward else sides[::-1])}"
    return Pair(name, source, first, second, TIE if tied else FIRST if forward else SECOND)


def left_out(skipped: Counter[str]) -> str:
    """What was left out and why, in words; `""` for nothing."""
    return ", ".join(f"{n} {reason}" for reason, n in sorted(skipped.items()))
