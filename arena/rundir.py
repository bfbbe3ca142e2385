"""The run folder: append-only tables that a kill cannot tear, and the state to continue from.

Every row is one write to a descriptor in append mode and is on the disk before the run goes on. A torn
last line (a kill in the middle of a write) is moved aside when the folder is opened again. Checkpoints
appear whole or not at all. One process at a time writes to a folder.
"""

import errno
import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from agents.errors import ArenaError, ConfigError
from arena.records import Row, line, now
from arena.runs import read_json

TABLES: Sequence[str] = ("turns", "verdicts", "exchanges", "preferences", "failures", "steps", "metrics")
"""What `arena.run` writes."""
KEEP_CHECKPOINTS = 2
HEARTBEAT = 30.0
"""Seconds between renewals of the heartbeat in `run.json`."""


def rows(path: Path) -> Iterator[Row]:
    """The rows of a table. An incomplete last line is left out (it is being written); a bad one is an error.

    Raises:
        ArenaError: a complete line is not JSON, or no row; the message names file and line.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if not text.endswith(b"\n"):
                return
            try:
                row = json.loads(text)
            except ValueError as error:
                raise ArenaError(
                    f"{path}, line {number} is not JSON ({error}): mend or delete that line"
                ) from error
            if not isinstance(row, dict) or "id" not in row:
                raise ArenaError(f"{path}, line {number} is no row with an id: mend or delete that line")
            yield row


class RunFolder:
    """An open run folder. Rows that are on record are not written again.

    Args:
        path: the folder; made if it is not there.
        config: the resolved settings as YAML.
        settings: the same as flat keys, to name what differs.
        tables: what it holds.
    """

    def __init__(
        self, path: Path, config: str, settings: Mapping[str, Any], tables: Sequence[str] = TABLES
    ) -> None:
        """Open or make the folder, refuse another config, repair torn tails."""
        self.path, self.tables = path, tuple(tables)
        self.guarded = True
        """Whether the folder is locked against other writers; not where the file system knows no locks."""
        path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:  # a folder that is refused is released again
            held.callback(os.close, self._locked())
            self._refuse_other(config, settings)
            self._files: dict[str, int] = {}
            for name in self.tables:
                self._files[name] = self._open(name)
                held.callback(os.close, self._files[name])
            self.ids = {name: {row["id"] for row in self.rows(name)} for name in self.tables}
            self._info: Row = {"schema": "arena.run/1", "attempt": self.info().get("attempt", 0) + 1}
            self._held = held.pop_all()
        self._writing, self._closed = threading.Lock(), threading.Event()
        self._heart = threading.Thread(target=self._beats, daemon=True)

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of one of this folder's tables."""
        return rows(self.path / f"{table}.jsonl")

    def info(self) -> Row:
        """`run.json`: what the run is, its state, and its counts."""
        return read_json(self.path / "run.json")

    def append(self, table: str, row: Row) -> None:
        """Write one row and wait until it is on the disk; a row whose id is there already is left as it is.

        Raises:
            OSError: the disk is full; nothing but this row is lost.
        """
        if row["id"] in self.ids[table]:
            return
        descriptor = self._files[table]
        start = os.fstat(descriptor).st_size
        data = line(row)
        try:
            written = os.write(descriptor, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, "No space left on device", str(self.path / f"{table}.jsonl"))
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, start)
            raise
        self.ids[table].add(row["id"])

    def describe(self, **changes: Any) -> None:
        """Update `run.json`, which is replaced as a whole."""
        with self._writing:
            self._info |= {**changes, "heartbeat": now(), "pid": os.getpid()}
            text = json.dumps(self._info, indent=1, ensure_ascii=False) + "\n"
            replace_text(self.path / "run.json", text)
        if self._heart.ident is None:
            self._heart.start()

    def _beats(self) -> None:
        """Renew the heartbeat while a long step runs, so that readers can tell a slow run from a dead one."""
        while not self._closed.wait(HEARTBEAT):
            try:
                self.describe()
            except OSError:
                return  # a full disk: the next row of the run meets it too, and says so

    def agree(self, what: str, value: Mapping[str, str]) -> None:
        """Keep `value` under a name at the start of a run; later refuse another one.

        Raises:
            ConfigError: the run was started with another value; names what differs.
        """
        if changed := _changes(self.remember(what, lambda: dict(value)), value):
            raise ConfigError(
                f"{self.path} was started with another {what}: {changed}. A continued run must find the "
                "same; use the machine and weights it began with, or a new folder: hydra.run.dir=runs/NAME"
            )

    def remember(self, what: str, make: Callable[[], Any]) -> Any:
        """What `make()` gave when this was first asked for in this folder."""
        path = self.path / f"{what}.json"
        if not path.exists():
            replace_text(path, json.dumps(make(), indent=1, ensure_ascii=False) + "\n")
        return read_json(path)

    def checkpoint(self) -> tuple[int, Path] | None:
        """(step, folder) of the newest checkpoint."""
        found = sorted((self.path / "checkpoints").glob("step-??????"))
        return (int(found[-1].name[5:]), found[-1]) if found else None

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> bool:
        """Make the checkpoint of `step` by `write(folder)`, unless it is there; old ones are thinned out."""
        parent = self.path / "checkpoints"
        final, scratch = parent / f"step-{step:06d}", parent / "writing"
        if final.exists():
            return False
        _write_folder(scratch, write)
        os.replace(scratch, final)
        _sync(parent)
        for old in sorted(parent.glob("step-??????"))[:-KEEP_CHECKPOINTS]:
            shutil.rmtree(old)
        return True

    def save_folder(self, name: str, write: Callable[[Path], None]) -> None:
        """Make the folder `name` by `write(folder)`, whole or not at all, in place of one that is there."""
        final, scratch, old = (self.path / each for each in (name, f".{name}.writing", f".{name}.old"))
        shutil.rmtree(old, ignore_errors=True)
        _write_folder(scratch, write)
        if final.exists():
            os.replace(final, old)
        os.replace(scratch, final)
        _sync(self.path)
        shutil.rmtree(old, ignore_errors=True)

    def close(self) -> None:
        """Release the folder."""
        self._closed.set()
        if self._heart.is_alive():
            self._heart.join()
        self._held.close()

    def _locked(self) -> int:
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ArenaError(
                f"{self.path} is being written by another process (pid {self.info().get('pid', '?')}): "
                "wait for it, stop it, or choose another folder by hydra.run.dir=..."
            ) from error
        except OSError:  # some network file systems know no locks; the run says so and goes on
            self.guarded = False
        return descriptor

    def _refuse_other(self, config: str, settings: Mapping[str, Any]) -> None:
        """Refuse other settings than those of the rows on record; a start that came to none binds nobody."""
        path, keys = self.path / "config.yaml", self.path / "config.json"
        tables = [self.path / f"{name}.jsonl" for name in self.tables]
        begun = self.checkpoint() is not None or self.info().get("status") == "done"
        if not begun and not any(table.exists() and table.stat().st_size for table in tables):
            for kept in set(self.path.glob("*.json")) - {self.path / "run.json"}:
                kept.unlink()
        if not keys.exists():
            replace_text(path, config)
            replace_text(keys, json.dumps(settings, indent=1) + "\n")
        elif changed := _changes(read_json(keys), settings):
            raise ConfigError(
                f"{self.path} was started with other settings: {changed}. Continue it with the "
                "settings it has, or give the new ones a folder of their own: hydra.run.dir=runs/NAME"
            )

    def _open(self, table: str) -> int:
        path = self.path / f"{table}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(descriptor).st_size
        whole = _end_of_last_line(path) if size else 0
        if whole < size:
            torn = path.with_suffix(".torn")
            with torn.open("ab") as aside:
                aside.write(os.pread(descriptor, size - whole, whole) + b"\n")
            os.ftruncate(descriptor, whole)
        return descriptor


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs, key by key, in words; `""` if nothing does."""
    return "; ".join(
        f"{key} was {before.get(key, 'not set')!r}, now {after.get(key, 'not set')!r}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    )


def _end_of_last_line(path: Path) -> int:
    data = path.read_bytes()
    return data.rfind(b"\n") + 1


def replace_text(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader sees the old text or the new one. Lone surrogates are replaced."""
    scratch = path.with_name(f".{path.name}.writing")
    with scratch.open("w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)


def _write_folder(scratch: Path, write: Callable[[Path], None]) -> None:
    """What `write` makes, on the disk, in a folder that is empty before."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    write(scratch)
    for path in (*scratch.rglob("*"), scratch):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def opened(
    path: Path, config: str, settings: Mapping[str, Any], tables: Sequence[str] = TABLES
) -> Iterator[RunFolder]:
    """A run folder that is released at the end."""
    folder = RunFolder(path, config, settings, tables)
    try:
        yield folder
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        folder.close()
