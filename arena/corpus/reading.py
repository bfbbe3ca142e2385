"""A corpus: files and run folders, read as the records that a learner takes."""

import glob
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agents.errors import ConfigError
from arena import jsonl
from arena.corpus.entry import Entry, Record, Skip
from arena.corpus.formats import FORMATS, named, recognised
from arena.problems import Problem
from rewards.verdict import Example, Preference, Ranking, Review

R = TypeVar("R", bound=Record)

TABLES: Mapping[type, str] = {
    Preference: "preferences.jsonl",
    Example: "examples.jsonl",
    Ranking: "turns.jsonl",
    Problem: "problems.jsonl",
}
"""What is read of a run folder."""

NAMES: Mapping[type, str] = {
    Preference: "preferences",
    Example: "examples",
    Ranking: "rankings",
    Problem: "problems",
    Review: "reviews of papers",
}

WAYS: Mapping[type, str] = {
    Preference: "python -m arena.run and python -m arena.collect make them (preferences.jsonl)",
    Example: "python -m arena.revise makes them (examples.jsonl)",
    Ranking: "python -m arena.run makes them with drafts of 2 or more (turns.jsonl and verdicts.jsonl)",
    Problem: "python -m arena.collect and python -m arena.revise write them (problems.jsonl)",
    Review: "they are rows with title, abstract and ratings, such as data=iclr2017",
}
"""Where records of a kind come from."""

_OTHER_FILES = (".csv", ".tsv", ".parquet", ".arrow", ".gz", ".zst")
_RUN = ("run.json", "turns.jsonl")
_SHOWN = 8


@dataclass(frozen=True)
class _File:
    """A file that is read, and its name in ids."""

    path: Path
    base: Path
    """What its name is taken from: the run folder, or the path without its suffix."""
    source: str = ""


class Corpus:
    """Files of any known format as records; ids name the file and line: `oasst_human_ranks:17`.

    Args:
        paths: files of JSON lines or of one JSON list, patterns (`**` for any folders), or run folders; `~`
            and environment variables are followed.
        form: a name in `arena.corpus.formats.FORMATS`; `auto`: told for each file by its first row.
        columns: what a file calls the columns of the format: `{prompt: question}`.
        only: rows to take, by what their columns hold: `{year: 2017, decision: [Reject, Accept]}`.
        limit: the most records, drawn by the seed; those of a smaller limit come first. 0: all, in order.
        seed: of what is drawn.
    """

    def __init__(
        self,
        paths: Sequence[str],
        form: str = "auto",
        columns: Mapping[str, str] | None = None,
        only: Mapping[str, Any] | None = None,
        limit: int = 0,
        seed: int = 0,
    ) -> None:
        """Check the settings; nothing is opened yet."""
        self.paths = [paths] if isinstance(paths, str) else [str(path) for path in paths or ()]
        self.form, self.limit, self.seed = form, limit, seed
        self.columns = dict(columns or {})
        self.only = {column: _values(value) for column, value in (only or {}).items()}
        self.skipped: Counter[str] = Counter()
        """Why rows of the last reading gave no record, and how many."""
        if not self.paths or not all(self.paths):
            raise ConfigError(f"data.paths must name one file or more, got {paths!r}")
        if form != "auto":
            named(form)
        if limit < 0:
            raise ConfigError(f"data.limit must be 0 (all) or more, got {limit}")

    def read(self, kind: type[R]) -> list[R]:
        """The records of one kind.

        Args:
            kind: Example, Preference, Ranking, Problem or Review.

        Raises:
            ConfigError: no file is found, a row does not fit its format, a file gives records of another
                kind, an id comes twice, or nothing is left.
        """
        self.skipped = Counter()
        found = list(self._records(kind))
        _check_ids(found)
        if not found:
            reasons = ", ".join(f"{reason} ({n})" for reason, n in self.skipped.most_common())
            raise ConfigError(
                f"no {NAMES[kind]} in {', '.join(map(repr, self.paths))}: "
                f"{'what was left out: ' + reasons if reasons else 'no rows'}; take other data.paths, or "
                "mend data.only, data.columns or data.form"
            )
        if not self.limit:
            return found
        return random.Random(f"corpus {self.seed}").sample(found, len(found))[: self.limit]

    def _records(self, kind: type[R]) -> Iterator[R]:
        asked: set[object] = set()
        for file in _labelled(self._files(kind)):
            entries = list(self._entries(file))
            if not entries:
                continue
            name = recognised(entries[0]) if self.form == "auto" else self.form
            maker = FORMATS[name].gives.get(kind)
            if maker is None:
                raise ConfigError(_wrong_kind(file.path, name, kind))
            for record in maker(entries, self.seed):
                if isinstance(record, Skip):
                    self.skipped[record.reason] += 1
                elif isinstance(record, Problem) and (key := repr(record.prompt)) in asked:
                    self.skipped["the same prompt again"] += 1
                else:
                    assert isinstance(record, kind)
                    if isinstance(record, Problem):
                        asked.add(key)
                    yield record

    def _files(self, kind: type) -> Iterator[_File]:
        """The files that the paths mean, each once."""
        known: set[Path] = set()
        for pattern in self.paths:
            for path in _found(pattern):
                file = _table(path, kind) if path.is_dir() else _File(path, path.with_suffix(""))
                if file.path.resolve() not in known:
                    known.add(file.path.resolve())
                    yield file

    def _entries(self, file: _File) -> Iterator[Entry]:
        """The rows of a file that are wanted, with the columns as the format calls them."""
        for where, number, row in _rows(file.path):
            held = {column: jsonl.cell(where, row, column) for column in self.only}
            if all(held[column] in wanted for column, wanted in self.only.items()):
                renamed = {ours: jsonl.cell(where, row, theirs) for ours, theirs in self.columns.items()}
                yield Entry({**row, **renamed}, where, file.path, file.source, number)
            else:
                self.skipped["left out by data.only"] += 1


def _values(value: Any) -> list[Any]:
    """The values that a column may hold; a list of Hydra's is no `list`."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _found(pattern: str) -> list[Path]:
    """The files and folders of a pattern, in order; ConfigError if there are none."""
    path = jsonl.expanded(pattern)
    found = [path] if path.exists() else sorted(map(Path, glob.glob(str(path), recursive=True)))
    if any(mark in pattern for mark in "*?["):
        found = [each for each in found if each.is_file() or _is_run(each)]
    if not found:
        raise ConfigError(
            f"no file {str(path)!r} (data.paths has {pattern!r}, from {str(Path.cwd())!r}): give its path by "
            "data.paths=[FILE], or set the environment variable ARENA_DATA to the folder of the data sets"
        )
    return found


def _is_run(path: Path) -> bool:
    return any((path / mark).is_file() for mark in _RUN)


def _table(folder: Path, kind: type) -> _File:
    """The table of a run folder that holds records of a kind."""
    if not _is_run(folder):
        raise ConfigError(
            f"{str(folder)!r} is a folder but no run: name files in it, such as {str(folder / '*.jsonl')!r}"
        )
    name = TABLES.get(kind, "")
    path = folder / name
    if not name or not path.is_file() or not path.stat().st_size:
        there = [each.name for each in sorted(folder.glob("*.jsonl")) if each.stat().st_size]
        raise ConfigError(
            f"the run {str(folder)!r} has no {NAMES[kind]}: {WAYS[kind]}; it holds "
            f"{', '.join(there) or 'nothing'}"
        )
    return _File(path, folder)


def _labelled(files: Iterator[_File]) -> list[_File]:
    """The files with names for ids: the last part of the path, with as much before it as tells them apart."""
    found = list(files)
    parts = [file.base.absolute().parts for file in found]
    named = []
    for own, file in zip(parts, found, strict=True):
        size = 1
        while size < len(own) and sum(other[-size:] == own[-size:] for other in parts) > 1:
            size += 1
        named.append(_File(file.path, file.base, "/".join(own[-size:])))
    return named


def _rows(path: Path) -> Iterator[tuple[str, int, jsonl.Row]]:
    """(what a message names, number, row) of a file of JSON lines or of one JSON list."""
    if path.suffix in _OTHER_FILES:
        raise ConfigError(
            f"{str(path)!r}: files are JSON lines or a JSON list, not {path.suffix}: convert it, for example "
            "by datasets.load_dataset(...).to_json('rows.jsonl')"
        )
    name, text = repr(str(path)), jsonl.text(path)
    if not text.lstrip().startswith("["):
        for number, row in jsonl.rows(path):
            yield f"{name}, line {number}", number, row
        return
    value = jsonl.parsed(name, text)
    assert isinstance(value, list)
    for number, entry in enumerate(value, start=1):
        where = f"{name}, row {number}"
        yield where, number, jsonl.checked(where, entry)


def _wrong_kind(path: Path, name: str, kind: type) -> str:
    there = " and ".join(NAMES[each] for each in FORMATS[name].gives)
    return (
        f"{str(path)!r} holds {there} (form {name!r}), not {NAMES[kind]}: {WAYS[kind]}; forms that give "
        f"them: {', '.join(other for other, form in FORMATS.items() if kind in form.gives)}"
    )


def id_of(record: Record) -> str:
    """What a record is known by: its id, the ids of its two sides, or the line of a problem."""
    if isinstance(record, Preference):
        return f"{record.chosen_id}>{record.rejected_id}"
    return record.where if isinstance(record, Problem) else record.id


def _check_ids(records: Sequence[Record]) -> None:
    counts = Counter(id_of(record) for record in records if not isinstance(record, Problem))
    if twice := [id for id, n in counts.items() if n > 1]:
        raise ConfigError(
            f"{len(twice)} ids come twice, such as {', '.join(twice[:_SHOWN])}: remove the rows that repeat"
        )
