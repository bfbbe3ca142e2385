"""Holding out: records of one prompt, paper, article or dialogue all go to one side."""

from collections.abc import Sequence
from typing import TypeVar

from agents.errors import ConfigError
from arena.corpus.entry import Record
from arena.corpus.reading import id_of
from arena.corpus.sentiment import NEUTRAL
from arena.feedback.split import split
from arena.problems import Problem
from rewards.verdict import Preference, Review

R = TypeVar("R", bound=Record)


def group_of(record: Record) -> str:
    """What a record is about: the first user message of its prompt, or a paper's title.

    Case and spacing are passed over. All turns of a conversation, all forks of it and all answers to it are
    of one group, whatever the persona. A sentence for its sentiment is a group of its own: its prompt says
    nothing of it.
    """
    if isinstance(record, Review):
        return _plain(record.title)
    first = next(message["content"] for message in record.prompt if message["role"] == "user")
    return id_of(record) if first == NEUTRAL else _plain(first)


def hold_out(records: Sequence[R], share: float, seed: int) -> tuple[list[R], list[R]]:
    """(records to learn from, records held out), each in their order.

    No group is cut, nor a dialogue of a run, whose seats see it under different prompts. At least `share` of
    the pairs of each kind, or of all records without kinds, are held out, as far as groups allow, and as
    `arena.feedback.split.split` does it: by names and the seed, never by the order of records.

    Args:
        records: of one kind, as a corpus reads them.
        share: in [0, 1); 0 holds out nothing.
        seed: draws the groups.

    Raises:
        ConfigError: `share` is out of range, or one side would be empty.
    """
    whole = _joined(records)
    rows = [
        {"id": str(i), "dialogue": group, "kind": record.kind if isinstance(record, Preference) else ""}
        for i, (group, record) in enumerate(zip(whole, records, strict=True))
    ]
    train, valid = ([records[int(id)] for id in ids] for ids in split(rows, share, seed))
    if share and not (train and valid):
        raise ConfigError(
            f"{len(records)} records of {len(set(whole))} groups (prompts, papers, articles or dialogues) "
            f"cannot be parted so that {share:g} of them are held out: set valid=0, or take more data"
        )
    return train, valid


def _joined(records: Sequence[Record]) -> list[str]:
    """For each record a name that all records share which hang together by a group or a dialogue."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        parents.setdefault(name, name)
        while parents[name] != name:
            parents[name] = name = parents[parents[name]]
        return name

    ends = [(f"about {group_of(record)}", f"dialogue {_dialogue(record)}") for record in records]
    for group, dialogue in ends:
        low, high = sorted((root(group), root(dialogue)))
        parents[high] = low  # the least group is the root: the same for all kinds of records of one file
    return [root(group) for group, _ in ends]


def _dialogue(record: Record) -> str:
    """The dialogue or row that an id is of: `self_play:d0003` of `self_play:d0003.05a`."""
    if isinstance(record, Problem):
        return record.where or group_of(record)
    id = record.chosen_id if isinstance(record, Preference) else record.id
    source, colon, place = id.rpartition(":")
    return source + colon + place.partition(".")[0]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
