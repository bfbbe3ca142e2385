"""The folder of replies that were paid for: what is the same request, and what no accident may cost."""

import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from agents.replies import Replies, Request

REQUEST = Request(
    messages=(Message(role="system", content="Be brief."), Message(role="user", content="hi")),
    model="tiny",
    revision="",
    temperature=0.5,
    top_p=1.0,
    max_tokens=16,
    seed=7,
)
REPLY = Reply("hello", finish="length", tokens_in=9, thinking="a greeting")


@pytest.fixture
def replies(tmp_path: Path) -> Replies:
    """An empty folder."""
    return Replies(str(tmp_path / "replies"))


def files(replies: Replies) -> list[Path]:
    """All that lies in the folder, hidden files too."""
    return [path for path in replies.folder.rglob("*") if path.is_file()]


def test_a_reply_comes_back_as_it_was(replies: Replies) -> None:
    """To another object at the same folder, with every field."""
    reply = replace(REPLY, ids=(3, 4))
    replies.put(REQUEST, reply)
    assert Replies(str(replies.folder)).get(REQUEST) == reply


def test_what_was_never_asked_has_no_reply(replies: Replies) -> None:
    """And asking makes no folder."""
    assert replies.get(REQUEST) is None
    assert not replies.folder.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (Message(role="user", content="hi"),)},
        {"messages": (Message(role="user", content="Be brief."), Message(role="user", content="hi"))},
        {"model": "tinier"},
        {"revision": "2"},
        {"temperature": 0.6},
        {"top_p": 0.9},
        {"max_tokens": 17},
        {"seed": 8},
    ],
    ids=str,
)
def test_another_request_has_another_reply(replies: Replies, change: dict[str, Any]) -> None:
    """Each part of a request counts."""
    replies.put(REQUEST, REPLY)
    assert replies.get(replace(REQUEST, **change)) is None


def test_settings_that_are_equal_numbers_are_one_request(replies: Replies) -> None:
    """A conf may say `temperature: 0` or `temperature: 0.0`."""
    replies.put(replace(REQUEST, temperature=0, top_p=1), REPLY)
    assert replies.get(replace(REQUEST, temperature=0.0, top_p=1.0)) == REPLY


def test_keys_stay_the_same_from_version_to_version() -> None:
    """They are SHA-256 of sorted JSON without spaces, here by `sha256sum`; else every reply would be lost."""
    assert REQUEST.key == "a68f7122e5e6e4701b208eae38ec166e189f992b6e9c456b24ef107a6ccd71a7"


def test_a_file_can_be_read_by_people(replies: Replies) -> None:
    """The request and the reply, in the letters that they were written in, in one of 256 folders."""
    request = replace(REQUEST, messages=(Message(role="user", content="Wie heißt das?"),))
    replies.put(request, Reply("日本"))
    [path] = files(replies)
    assert path.parts[-2:] == (request.key[:2], f"{request.key}.json")
    text = path.read_text(encoding="utf-8")
    assert "Wie heißt das?" in text and "日本" in text
    assert json.loads(text) == {
        "schema": "arena.reply/1",
        "request": {
            "messages": [{"role": "user", "content": "Wie heißt das?"}],
            "model": "tiny",
            "revision": "",
            "temperature": 0.5,
            "top_p": 1.0,
            "max_tokens": 16,
            "seed": 7,
        },
        "reply": {"text": "日本", "finish": "stop", "ids": [], "tokens_in": 0, "thinking": ""},
    }


@pytest.mark.parametrize(
    "text", ["", "half a pair: \ud83d", "\\ud83d \\", "line\r\nbreak\u2028\x00\x1b"], ids=ascii
)
def test_any_text_is_kept(replies: Replies, text: str) -> None:
    """Also one that has no UTF-8, or looks like an escape; in the request and in the reply."""
    request = replace(REQUEST, messages=(Message(role="user", content=text),))
    replies.put(request, Reply(text))
    assert replies.get(request) == Reply(text)


def damaged(text: str) -> dict[str, bytes]:
    """Ways in which a file goes wrong."""
    record = json.loads(text)
    other = {**record, "request": {**record["request"], "seed": 8}}
    nameless = {**record, "reply": {**record["reply"], "text": None}}
    return {
        "empty": b"",
        "torn": text.encode()[:-30],
        "zeros": bytes(len(text)),
        "no UTF-8": text.encode().replace(b"hello", b"h\xffllo"),
        "deep": b"[" * 100_000,
        "a list": b"[]",
        "another schema": text.replace("arena.reply/1", "arena.reply/0").encode(),
        "another request": json.dumps(other).encode(),
        "no text": json.dumps(nameless).encode(),
    }


@pytest.mark.parametrize("damage", sorted(damaged('{"request": {}, "reply": {}}')))
def test_a_damaged_file_is_no_reply_and_is_replaced(
    replies: Replies, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And it is said which one it is."""
    replies.put(REQUEST, REPLY)
    [path] = files(replies)
    path.write_bytes(damaged(path.read_text(encoding="utf-8"))[damage])
    assert replies.get(REQUEST) is None
    assert str(path) in caplog.text
    replies.put(REQUEST, REPLY)
    assert replies.get(REQUEST) == REPLY


def test_many_damaged_files_are_warned_of_once(replies: Replies, caplog: pytest.LogCaptureFixture) -> None:
    """After a power cut there may be thousands; the log at level INFO has them all."""
    for seed in range(3):
        path = replies.path(replace(REQUEST, seed=seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with caplog.at_level("INFO"):
        for seed in range(3):
            assert replies.get(replace(REQUEST, seed=seed)) is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_said_once_and_leaves_nothing_half(
    replies: Replies, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller still has its reply; when there is room again, replies are kept again."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, call, full)
        replies.put(REQUEST, REPLY)
        replies.put(replace(REQUEST, seed=8), REPLY)
    [warning] = caplog.records
    assert (warning.levelname, "No space left on device" in warning.getMessage()) == ("WARNING", True)
    assert str(replies.folder) in warning.getMessage()
    assert (replies.get(REQUEST), files(replies)) == (None, [])
    replies.put(REQUEST, REPLY)
    assert replies.get(REQUEST) == REPLY


def test_a_folder_that_is_a_file_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And what lies there stays."""
    path = tmp_path / "replies"
    path.write_text("mine", encoding="utf-8")
    Replies(str(path)).put(REQUEST, REPLY)
    assert "replies are not kept" in caplog.text
    assert path.read_text(encoding="utf-8") == "mine"


WRITER = """
import sys
from agents.dialogue import Reply
from agents.replies import Replies
from test_replies import REQUEST

print("ready", flush=True)
sys.stdin.readline()
for _ in range(150):
    Replies(sys.argv[1]).put(REQUEST, Reply(sys.argv[2] * 20_000))
"""


def test_processes_that_write_the_same_file_never_show_half_of_it(replies: Replies) -> None:
    """A reader sees the reply of one or the other, whole, all the time."""
    command = [sys.executable, "-c", WRITER, str(replies.folder)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    writers = [subprocess.Popen([*command, letter], text=True, env=env, **pipes) for letter in "ab"]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline() == "ready\n"
    replies.put(REQUEST, Reply("a" * 20_000))
    seen = set()
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    while any(writer.poll() is None for writer in writers):
        seen.add(replies.get(REQUEST))
    told = [writer.communicate()[1] for writer in writers]
    assert (told, [writer.returncode for writer in writers]) == (["", ""], [0, 0])
    assert seen <= {Reply("a" * 20_000), Reply("b" * 20_000)}
    assert len(files(replies)) == 1


def test_threads_share_one_object(replies: Replies, caplog: pytest.LogCaptureFixture) -> None:
    """Each writes its own replies and one that all write; all are there."""
    start = threading.Barrier(4)

    def write(number: int) -> None:
        start.wait()
        for seed in range(20):
            replies.put(replace(REQUEST, seed=seed, revision=str(number)), Reply(f"{number}/{seed}"))
            replies.put(REQUEST, REPLY)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies.get(REQUEST) == REPLY
    for number in range(4):
        for seed in range(20):
            request = replace(REQUEST, seed=seed, revision=str(number))
            assert replies.get(request) == Reply(f"{number}/{seed}")
    assert (len(files(replies)), caplog.records) == (81, [])


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("auto", "{tmp}/cache/replies"),
        ("~/kept", "{tmp}/home/kept"),
        ("$SCRATCH/kept", "{tmp}/scratch/kept"),
        ("{tmp}/kept", "{tmp}/kept"),
    ],
)
def test_the_folder_lies_where_the_user_wants(
    given: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environment of the time when it is first used."""
    replies = Replies(given.replace("{tmp}", str(tmp_path)))
    monkeypatch.setenv("ARENA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    replies.put(REQUEST, REPLY)
    assert [path.parents[1] for path in files(replies)] == [Path(folder.replace("{tmp}", str(tmp_path)))]


def test_a_variable_that_is_not_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder named `$SCRATCH` in the working directory is not what was meant."""
    monkeypatch.delenv("SCRATCH", raising=False)
    with pytest.raises(ConfigError, match=r"variable that is not set, got '\$SCRATCH/kept': set it, or give"):
        Replies("$SCRATCH/kept").get(REQUEST)
