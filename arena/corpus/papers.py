"""Formats of papers and their reviews, for critics of papers."""

from collections.abc import Iterator
from statistics import fmean

from agents.errors import ConfigError
from arena.corpus.entry import Entry, Nothing
from rewards.verdict import Review

LOWEST, HIGHEST = 1.0, 10.0


def iclr(entry: Entry) -> Iterator[Review]:
    """Papers with the mean of their ratings: `title`, `abstract`, `ratings` (in 1..10), perhaps `year`."""
    ratings = entry.row["ratings"] if entry.has("ratings") else None
    if not isinstance(ratings, list):
        raise entry.fault("ratings", "a list of numbers in 1..10")
    if not ratings:
        raise Nothing("no ratings")
    numbered = {str(n): rating for n, rating in enumerate(ratings, start=1)}
    inner = Entry(numbered, f"{entry.where}, ratings", entry.path, entry.source, entry.number)
    rating = fmean(_rating(inner, name) for name in numbered)
    venue = f"ICLR {entry.row['year']}" if entry.has("year") else ""
    yield Review(
        entry.id, entry.text("title"), entry.text("abstract"), rating, venue=venue, where=entry.place
    )


def disapere(entry: Entry) -> Iterator[Review]:
    """Single reviews (Kennard et al. 2022): `title`, `review`, `rating` (in 1..10), perhaps `conference`.

    The data set has no abstracts: the record's is `""` unless a column `abstract` was added.
    """
    yield Review(
        entry.id,
        entry.text("title"),
        entry.text("abstract") if entry.has("abstract") else "",
        _rating(entry, "rating"),
        entry.text("review"),
        entry.optional("conference"),
        entry.place,
    )


def _rating(entry: Entry, column: str) -> float:
    rating = entry.number_of(column)
    if not LOWEST <= rating <= HIGHEST:
        raise ConfigError(
            f"{entry.where}: column {column!r} holds {rating:g}; a rating is in 1..10: mend or remove the row"
        )
    return rating
