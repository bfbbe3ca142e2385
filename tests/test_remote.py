"""The seat behind an endpoint, against a real HTTP server on the loopback."""

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import Answer, Endpoint, completion, serve
from huggingface_hub import constants, get_session
from huggingface_hub.errors import OfflineModeIsEnabled

from agents.base import Agent
from agents.dialogue import Message, Reply
from agents.errors import ConfigError, Unavailable
from agents.remote import Remote, draft_seed
from agents.replies import Replies, Request
from agents.scripted import Scripted

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """A running server, and an environment that leads straight to it."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("ARENA_API_KEY", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serve() as server:
        yield server


def ask(text: str) -> list[Message]:
    """A prompt with a persona."""
    return [Message(role="system", content="Be brief."), Message(role="user", content=text)]


def test_only_the_fields_that_every_server_takes_are_sent(endpoint: Endpoint) -> None:
    """`transformers serve` refuses a request with any other."""
    endpoint.seat(temperature=0.5, top_p=0.9).reply([ask("hi")], seeds=[3], max_new_tokens=11)
    sampling = {"max_tokens": 11, "temperature": 0.5, "top_p": 0.9, "seed": draft_seed(3, 0)}
    assert endpoint.asked == [{"model": "tiny", "messages": ask("hi"), "stream": False} | sampling]


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
def test_the_url_may_be_given_with_or_without_its_ending(endpoint: Endpoint, ending: str) -> None:
    """All lead to the same address."""
    endpoint.seat(url=endpoint.url.removesuffix("/v1") + ending).reply([ask("hi")])
    assert endpoint.paths == ["/v1/chat/completions"]


def test_replies_come_in_the_order_of_the_prompts_however_late_each_is(endpoint: Endpoint) -> None:
    """The first is held until the last has come."""
    last = threading.Event()

    def answer(body: dict[str, Any]) -> Answer:
        text = body["messages"][-1]["content"]
        if text == "3":
            last.set()
        assert text != "0" or last.wait(5)
        return completion(text)

    endpoint.answer = answer
    replies = endpoint.seat().reply([ask(str(i)) for i in range(4)], 2, seeds=[0] * 4)
    assert [[reply.text for reply in row] for row in replies] == [[str(i)] * 2 for i in range(4)]


def test_never_more_requests_are_in_flight_than_allowed(endpoint: Endpoint) -> None:
    """And as many as allowed are: each of three waits for two others."""
    meeting = threading.Barrier(3, timeout=5)
    lock = threading.Lock()
    counts = [0, 0]

    def answer(body: dict[str, Any]) -> Answer:
        with lock:
            counts[0] += 1
            counts[1] = max(counts)
        meeting.wait()
        time.sleep(0.02)  # So that a request too many would be seen.
        with lock:
            counts[0] -= 1
        return completion("met")

    endpoint.answer = answer
    endpoint.seat(in_flight=3).reply([ask(str(i)) for i in range(6)], 2)
    assert counts[1] == 3


def test_more_requests_are_in_flight_than_a_client_has_connections_by_default(endpoint: Endpoint) -> None:
    """Its hundred would else be the bound, whatever `in_flight` says: each request waits for all others."""
    meeting = threading.Barrier(110, timeout=30)

    def answer(body: dict[str, Any]) -> Answer:
        meeting.wait()
        return completion("met")

    endpoint.answer = answer
    assert len(endpoint.seat(in_flight=110).reply([ask("hi")], 110)[0]) == 110


def test_drafts_have_seeds_of_their_own_and_equal_calls_the_same_ones(endpoint: Endpoint) -> None:
    """Seeds follow from the prompt's seed and the draft's number, wherever the prompt stands."""
    seat = endpoint.seat(in_flight=1)
    seat.reply([ask("a"), ask("b")], 3, seeds=[5, 6])
    seat.reply([ask("b")], 3, seeds=[6])
    seeds = [body["seed"] for body in endpoint.asked]
    assert len(set(seeds[:6])) == 6
    assert seeds[6:] == seeds[3:6]
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(("told", "kept"), [("stop", "stop"), ("length", "length"), (None, "stop")])
def test_what_the_server_tells_of_a_reply_is_kept(endpoint: Endpoint, told: str, kept: str) -> None:
    """Its text, how it ended and the tokens of the prompt."""
    endpoint.in_turn(completion("hello", finish=told))
    [[reply]] = endpoint.seat().reply([ask("hi")])
    assert (reply.text, reply.finish, reply.tokens_in) == ("hello", kept, 7)


@pytest.mark.parametrize("content", ["", None])
def test_an_empty_answer_is_a_reply_without_text(endpoint: Endpoint, content: str | None) -> None:
    """The caller counts it; it is no fault of the server."""
    endpoint.in_turn(completion(content))
    [[reply]] = endpoint.seat().reply([ask("hi")])
    assert (reply.text, len(endpoint.asked)) == ("", 1)


def test_thinking_between_tags_is_kept_out_of_the_text(endpoint: Endpoint) -> None:
    """As from a server that passes on all that the model writes."""
    endpoint.in_turn(completion("<think>2 + 2</think>\n\nFour."))
    [[reply]] = endpoint.seat().reply([ask("2 + 2?")])
    assert (reply.text, reply.thinking) == ("Four.", "2 + 2")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_in_a_field_of_its_own_is_kept(endpoint: Endpoint, field: str) -> None:
    """Under both names that servers have for it."""
    endpoint.in_turn(completion("Four.", **{field: "2 + 2"}))
    [[reply]] = endpoint.seat().reply([ask("2 + 2?")])
    assert (reply.text, reply.thinking) == ("Four.", "2 + 2")


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_passing_refusal_is_tried_again(endpoint: Endpoint, status: int) -> None:
    """With the same request, seed included."""
    endpoint.in_turn((status, {"error": "busy"}), completion("now"))
    [[reply]] = endpoint.seat().reply([ask("hi")])
    assert reply.text == "now"
    assert endpoint.asked[0] == endpoint.asked[1]
    assert len(endpoint.waits) == 1 and 0 <= endpoint.waits[0] <= 1


def test_the_wait_that_the_server_asks_for_is_kept(endpoint: Endpoint) -> None:
    """Longer than any wait of our own."""
    endpoint.in_turn((429, {}, {"Retry-After": "17"}), completion("now"))
    endpoint.seat().reply([ask("hi")])
    assert endpoint.waits == [17]


def test_a_server_that_asks_for_an_hour_is_unavailable(endpoint: Endpoint) -> None:
    """A run that sleeps for an hour looks dead."""
    endpoint.in_turn((503, {}, {"Retry-After": "3600"}))
    with pytest.raises(Unavailable, match="asks to wait 3600 s"):
        endpoint.seat().reply([ask("hi")])
    assert endpoint.waits == []


def test_attempts_are_bounded_and_their_waits_grow(endpoint: Endpoint) -> None:
    """Each wait is drawn below a bound that doubles."""
    endpoint.in_turn((500, {"error": {"message": "out of memory"}}))
    with pytest.raises(Unavailable, match=r"status 500: out of memory \(attempt 4 of 4\)") as caught:
        endpoint.seat().reply([ask("hi")])
    assert endpoint.url in str(caught.value)
    assert len(endpoint.asked) == 4
    assert all(wait <= bound for wait, bound in zip(endpoint.waits, (1, 2, 4), strict=True))


def test_a_wrong_key_fails_at_once_and_is_not_shown(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even where the server repeats it."""
    monkeypatch.setenv("ARENA_API_KEY", KEY)
    endpoint.in_turn((401, {"error": {"message": f"incorrect key: {KEY}"}}))
    with caplog.at_level("DEBUG"), pytest.raises(Unavailable, match="status 401.*ARENA_API_KEY") as caught:
        endpoint.seat().reply([ask("hi")])
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert (len(endpoint.asked), endpoint.waits) == (1, [])
    assert KEY not in f"{caught.value!r} {caplog.text}"


def test_a_key_with_a_line_break_is_refused_without_being_shown(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end up in the client's own error."""
    monkeypatch.setenv("ARENA_API_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(ConfigError, match="ARENA_API_KEY") as caught:
        endpoint.seat().reply([ask("hi")])
    assert KEY not in str(caught.value)


def test_the_token_of_the_hub_is_never_sent(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client would send it to any server when it has no other key."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_OIDC_RESOURCE", "asked for, it would be fetched from elsewhere, and fail")
    endpoint.seat().reply([ask("hi")])
    assert "authorization" not in endpoint.headers[0]
    assert endpoint.headers[0]["user-agent"] == "expert-arena"


def test_an_unknown_model_is_answered_with_the_known_ones(endpoint: Endpoint) -> None:
    """As the server lists them."""
    endpoint.in_turn((404, {"error": {"message": "no such model"}}))
    with pytest.raises(Unavailable, match="status 404: no such model.*the server has 'tiny', 'tinier'"):
        endpoint.seat(model="huge").reply([ask("hi")])
    assert len(endpoint.asked) == 1


def test_a_refused_prompt_is_not_blamed_on_the_model(endpoint: Endpoint) -> None:
    """Where the server does list the model."""
    endpoint.in_turn((400, {"detail": "prompt too long"}))
    with pytest.raises(Unavailable, match="status 400: prompt too long") as caught:
        endpoint.seat().reply([ask("hi")])
    assert "the server has" not in str(caught.value)


def test_what_a_server_says_cannot_command_the_terminal(endpoint: Endpoint) -> None:
    """One short line, without control characters."""
    endpoint.in_turn((422, {"error": "\x1b[2J\n" + "no " * 500}))
    with pytest.raises(Unavailable) as caught:
        endpoint.seat().reply([ask("hi")])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_silent_server_is_given_up_after_the_timeout(endpoint: Endpoint) -> None:
    """The request is tried again, then reported."""

    def answer(body: dict[str, Any]) -> Answer:
        endpoint.closing.wait(5)
        return completion("too late")

    endpoint.answer = answer
    with pytest.raises(Unavailable, match=r"no answer within 0.2 s \(attempt 2 of 2\) - .*timeout"):
        endpoint.seat(timeout=0.2, attempts=2).reply([ask("hi")])
    assert len(endpoint.waits) == 1


def test_an_endpoint_that_nobody_listens_at_is_one_clear_line(endpoint: Endpoint) -> None:
    """The port was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(Unavailable, match=r"no connection: .*refused \(attempt 4 of 4\) - ") as caught:
        endpoint.seat(url=url).reply([ask("hi")])
    assert str(caught.value).startswith(url)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "\n" not in str(caught.value)
    assert len(endpoint.waits) == 3


UNREADABLE = [b"<html>It works!</html>", b'{"choices": [', b"\xff\xfe", [], "text", {}, {"error": "quota"}]
UNREADABLE += [{"choices": choices} for choices in ([], "many", [{"message": None}], [["no"]], [{}])]
UNREADABLE += [{"choices": [{"message": {"content": ["parts"]}}]}]


@pytest.mark.parametrize("body", UNREADABLE, ids=str)
def test_an_answer_that_is_no_chat_completion_is_an_error(endpoint: Endpoint, body: Any) -> None:
    """Never an empty reply."""
    endpoint.in_turn((200, body))
    with pytest.raises(Unavailable, match="no chat completion"):
        endpoint.seat().reply([ask("hi")])


@pytest.mark.parametrize("body", [b"\xfcberlastet", [{"error": "busy"}], "busy", b"<html>"], ids=str)
def test_a_passing_refusal_may_have_any_body(endpoint: Endpoint, body: Any) -> None:
    """The client itself trips over bodies that are not JSON objects in UTF-8."""
    endpoint.in_turn((503, body), completion("now"))
    [[reply]] = endpoint.seat().reply([ask("hi")])
    assert reply.text == "now"


def test_an_endpoint_is_asked_when_the_hub_is_switched_off(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compute nodes set HF_HUB_OFFLINE; a server that was named is not the hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    endpoint.seat().reply([ask("hi")])
    assert len(endpoint.asked) == 1


def test_the_hub_stays_off_beside_an_endpoint(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the host and port that a seat names are let through."""
    endpoint.seat().reply([ask("hi")])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OfflineModeIsEnabled):
        get_session().get("http://127.0.0.1:9/")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "127.0.0.1:8000"}, "url must be like"),
        ({"url": "http://127.0.0.1:99999/v1"}, "url must be like"),
        ({"url": "http://me:pw@127.0.0.1/v1"}, "api_key_env"),
        ({"attempts": 0}, "attempts must be above 0, got 0"),
        ({"in_flight": 0}, "in_flight must be above 0, got 0"),
        ({"timeout": 0}, "timeout must be above 0, got 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    """When the seat is made, before any request."""
    with pytest.raises(ConfigError, match=message):
        Remote(**{"url": "http://127.0.0.1:1/v1", "model": "tiny"} | settings)


def test_a_seat_is_made_without_loading_a_network_client() -> None:
    """So that `--help` and a dry run stay quick."""
    code = (
        "import sys; from agents.remote import Remote; "
        "assert Remote('http://127.0.0.1:1/v1', 'tiny').name == 'tiny'; "
        "sys.exit(bool({'huggingface_hub', 'httpx2', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def numbered(endpoint: Endpoint) -> None:
    """Let the server answer its first request with 1, its second with 2, ..."""
    endpoint.answer = lambda body: completion(str(len(endpoint.asked)))


def test_a_second_seat_with_the_same_settings_sends_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    """It has the replies of the first, draft by draft; what it asks beyond them is sent."""
    numbered(endpoint)
    first, second = (endpoint.seat(cache=str(tmp_path), in_flight=1) for _ in range(2))
    replies = first.reply([ask("a"), ask("b")], 2, seeds=[5, 6])
    assert [[reply.text for reply in row] for row in replies] == [["1", "2"], ["3", "4"]]
    assert second.reply([ask("b"), ask("a")], 2, seeds=[6, 5]) == replies[::-1]
    assert (len(endpoint.asked), first.sent, second.sent) == (4, 4, 0)
    [drafts] = second.reply([ask("b")], 3, seeds=[6])
    assert [reply.text for reply in drafts] == ["3", "4", "5"]
    assert (len(endpoint.asked), second.sent) == (5, 1)


def test_a_cached_reply_needs_no_server(endpoint: Endpoint, tmp_path: Path) -> None:
    """Nor its address: a server that moved still speaks with the same weights."""
    endpoint.in_turn(completion("<think>2 + 2</think>Four.", finish="length"))
    replies = endpoint.seat(cache=str(tmp_path)).reply([ask("hi")])
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    assert endpoint.seat(cache=str(tmp_path), url=url).reply([ask("hi")]) == replies
    assert replies == [[Reply("Four.", finish="length", tokens_in=7, thinking="2 + 2")]]


@pytest.mark.parametrize(
    ("settings", "prompt", "call"),
    [
        ({"temperature": 0.7}, "hi", {}),
        ({"top_p": 0.9}, "hi", {}),
        ({"model": "tinier"}, "hi", {}),
        ({"revision": "2"}, "hi", {}),
        ({"max_new_tokens": 11}, "hi", {}),
        ({}, "ho", {}),
        ({}, "hi", {"seeds": [4]}),
        ({}, "hi", {"max_new_tokens": 11}),
    ],
    ids=str,
)
def test_whatever_changes_the_reply_is_sent(
    endpoint: Endpoint, tmp_path: Path, settings: dict[str, Any], prompt: str, call: dict[str, Any]
) -> None:
    """Beside one request that is answered already."""
    endpoint.seat(cache=str(tmp_path)).reply([ask("hi")], seeds=[3])
    endpoint.seat(cache=str(tmp_path), **settings).reply([ask(prompt)], **{"seeds": [3]} | call)
    assert len(endpoint.asked) == 2


def test_without_a_cache_every_request_is_sent(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written."""
    monkeypatch.setenv("ARENA_CACHE", str(tmp_path))
    seat = endpoint.seat()
    for _ in range(2):
        seat.reply([ask("hi")])
    assert (len(endpoint.asked), seat.sent, list(tmp_path.iterdir())) == (2, 2, [])


def test_the_cache_lies_below_that_of_the_project(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `ARENA_CACHE` says. Neither the key nor the address is in it."""
    monkeypatch.setenv("ARENA_CACHE", str(tmp_path))
    monkeypatch.setenv("ARENA_API_KEY", KEY)
    endpoint.seat(cache="auto").reply([ask("hi")])
    [path] = (path for path in tmp_path.rglob("*") if path.is_file())
    assert path.is_relative_to(tmp_path / "replies")
    text = path.read_text(encoding="utf-8")
    assert "hello" in text and KEY not in text and "127.0.0.1" not in text


def test_a_cache_that_cannot_be_meant_is_refused_before_anything_is_paid(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply would have nowhere to go."""
    monkeypatch.delenv("SCRATCH", raising=False)
    with pytest.raises(ConfigError, match="cache names an environment variable that is not set"):
        endpoint.seat(cache="$SCRATCH/kept").reply([ask("hi")])
    assert endpoint.asked == []


def test_a_torn_file_of_the_cache_is_asked_for_again(
    endpoint: Endpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once: the new reply takes its place."""
    numbered(endpoint)
    endpoint.seat(cache=str(tmp_path)).reply([ask("hi")])
    [path] = tmp_path.rglob("*.json")
    path.write_bytes(path.read_bytes()[:-20])
    for _ in range(2):
        [[reply]] = endpoint.seat(cache=str(tmp_path)).reply([ask("hi")])
        assert (reply.text, len(endpoint.asked)) == ("2", 2)
    assert str(path) in caplog.text


def test_a_full_disk_loses_no_reply(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are returned, and it is said once that they are not kept."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    seat = endpoint.seat(cache=str(tmp_path))
    replies = seat.reply([ask(str(i)) for i in range(5)])
    assert [reply.text for [reply] in replies] == ["hello"] * 5
    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "No space left on device" in warning.getMessage()
    assert seat.sent == 5


def test_replies_before_a_failure_are_kept(endpoint: Endpoint, tmp_path: Path) -> None:
    """All or nothing is what the caller gets; the next call pays only for what is missing."""
    prompts = [ask(str(i)) for i in range(3)]
    endpoint.in_turn(completion("a"), completion("b"), (400, {}), completion("c"))
    seat = endpoint.seat(cache=str(tmp_path), in_flight=1)
    with pytest.raises(Unavailable, match="status 400"):
        seat.reply(prompts)
    assert [reply.text for [reply] in seat.reply(prompts)] == ["a", "b", "c"]
    assert (len(endpoint.asked), seat.sent) == (4, 3)


def test_a_reply_is_kept_while_others_are_still_awaited(endpoint: Endpoint, tmp_path: Path) -> None:
    """A run that is killed now has it: the second request is answered when the first one's file is there."""
    kept = threading.Event()

    def answer(body: dict[str, Any]) -> Answer:
        if body["messages"][-1]["content"] == "second":
            while not (list(tmp_path.rglob("*.json")) or endpoint.closing.wait(0.01)):
                pass
            kept.set()
        return completion("hello")

    endpoint.answer = answer
    seat = endpoint.seat(cache=str(tmp_path), timeout=20, attempts=1)
    assert len(seat.reply([ask("first"), ask("second")])) == 2
    assert kept.is_set()


def test_two_threads_share_a_seat(endpoint: Endpoint, tmp_path: Path) -> None:
    """Every request is counted; afterwards all is in the cache."""
    seat = endpoint.seat(cache=str(tmp_path))
    halves = [[ask(f"{half}/{i}") for i in range(20)] for half in range(2)]
    threads = [threading.Thread(target=seat.reply, args=(prompts,)) for prompts in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seat.sent, len(endpoint.asked)) == (40, 40)
    for prompts in halves:
        seat.reply(prompts)
    assert (seat.sent, len(endpoint.asked)) == (40, 40)


def test_every_request_has_an_outcome_of_its_own(endpoint: Endpoint) -> None:
    """Each third is refused; order is that of the prompts."""

    def answer(body: dict[str, Any]) -> Answer:
        text = body["messages"][-1]["content"]
        return (400, {"detail": f"not {text}"}) if int(text) % 3 == 0 else completion(text)

    endpoint.answer = answer
    seat = endpoint.seat()
    outcomes = seat.outcomes([ask(str(i)) for i in range(9)])
    for i, outcome in enumerate(outcomes):
        if i % 3:
            assert isinstance(outcome, Reply) and outcome.text == str(i)
        else:
            assert isinstance(outcome, Unavailable) and f"status 400: not {i} (" in str(outcome)
    assert (len(endpoint.asked), seat.sent) == (9, 6)


def test_outcomes_are_the_first_drafts(endpoint: Endpoint, tmp_path: Path) -> None:
    """The same requests as of `reply`, so that the cache serves both."""
    numbered(endpoint)
    seat = endpoint.seat(cache=str(tmp_path), max_new_tokens=50)
    drafts = seat.reply([ask("a"), ask("b")], seeds=[5, 6], max_new_tokens=11)
    assert seat.outcomes([ask("a"), ask("b")], seeds=[5, 6], max_new_tokens=11) == [row[0] for row in drafts]
    assert len(endpoint.asked) == 2
    assert isinstance(seat.outcomes([ask("a")], seeds=[5])[0], Reply)
    assert endpoint.asked[2]["max_tokens"] == 50


def test_patience_ends_a_call_to_a_server_that_is_down(endpoint: Endpoint) -> None:
    """After two failures, of four attempts each, nothing is sent; the rest get the last error."""
    endpoint.in_turn((503, {"error": "down"}))
    outcomes = endpoint.seat(in_flight=1).outcomes([ask(str(i)) for i in range(50)], patience=2)
    assert len(endpoint.asked) == 8
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert len({str(outcome) for outcome in outcomes}) == 1


def test_patience_counts_failures_in_a_row(endpoint: Endpoint) -> None:
    """A reply between two failures begins the count anew, and so does a new call."""
    endpoint.in_turn(
        completion("a"), (400, {"detail": "one"}), completion("b"), (400, {"detail": "two"}),
        (400, {"detail": "three"}),
    )  # fmt: skip
    seat = endpoint.seat(in_flight=1)
    outcomes = seat.outcomes([ask(str(i)) for i in range(9)], patience=2)
    told = [outcome.text if isinstance(outcome, Reply) else str(outcome) for outcome in outcomes]
    assert (told[0], told[2], len(endpoint.asked)) == ("a", "b", 5)
    assert "one" in told[1] and "two" in told[3] and all("three" in text for text in told[4:])
    seat.outcomes([ask("later")], patience=2)
    assert len(endpoint.asked) == 6


def test_patience_also_ends_further_attempts(endpoint: Endpoint, tmp_path: Path) -> None:
    """One request fails for good while another waits to be tried again: it is not."""
    waiting, failed = threading.Event(), threading.Event()

    class Watched(Replies):
        def get(self, request: Request) -> Reply | None:
            if request.messages[-1]["content"] == "behind the bad one":
                failed.set()
            return super().get(request)

    def answer(body: dict[str, Any]) -> Answer:
        if body["messages"][-1]["content"] == "busy":
            waiting.set()
            return 503, {}
        assert waiting.wait(5)
        return 400, {"detail": "bad"}

    endpoint.answer = answer
    seat = endpoint.seat(in_flight=2, sleep=lambda seconds: failed.wait(5))
    seat.replies = Watched(str(tmp_path))
    outcomes = seat.outcomes([ask("busy"), ask("bad"), ask("behind the bad one")], patience=1)
    assert ["status 400: bad" in str(outcome) for outcome in outcomes] == [True] * 3
    assert len(endpoint.asked) == 2


def test_without_patience_all_is_tried(endpoint: Endpoint) -> None:
    """0 means never to give up."""
    endpoint.in_turn((400, {}))
    assert len(endpoint.seat().outcomes([ask(str(i)) for i in range(20)])) == 20
    assert len(endpoint.asked) == 20


def test_what_is_in_the_cache_is_given_when_patience_is_at_its_end(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    """It costs no request."""
    seat = endpoint.seat(cache=str(tmp_path), in_flight=1)
    seat.reply([ask("known")], seeds=[3])
    endpoint.answer = lambda body: (400, {})
    prompts = [ask("new"), ask("newer"), ask("known")]
    outcomes = seat.outcomes(prompts, seeds=[1, 2, 3], patience=1)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable, Reply]
    assert len(endpoint.asked) == 2


class Down(Agent):
    """Is never there."""

    def reply(self, *_: Any, **__: Any) -> list[list[Reply]]:
        """Nothing."""
        raise Unavailable("the device is gone")


def test_other_agents_have_one_outcome_for_all() -> None:
    """A reply for each prompt, or one error for each."""
    assert Scripted(["a", "b"]).outcomes([ask("x"), ask("y")], max_new_tokens=5) == [Reply("a"), Reply("b")]
    assert [str(outcome) for outcome in Down().outcomes([ask("x")] * 3)] == ["the device is gone"] * 3
