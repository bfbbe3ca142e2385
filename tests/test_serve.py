"""The reward server: who asks gets its own rewards, in order, whatever others do."""

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import PATIENCE, Answer, Live, Obedient, live
from test_conf import composed

from agents import ConfigError, Scripted, Unavailable
from agents.dialogue import Message
from arena import serve
from arena.serving.batching import Batcher
from arena.serving.counts import Counts
from arena.serving.items import Item, rate
from arena.serving.server import _Clean, address_of, bound, is_loopback
from arena.serving.web import Limits
from rewards.judge import Judge
from rewards.rating import Random


@pytest.fixture
def rater() -> Obedient:
    """A judge that rates as it is told."""
    return Obedient()


@pytest.fixture
def server(rater: Obedient) -> Iterator[Live]:
    """A server before it."""
    with live(rater, Limits(max_items=8, max_body=2000)) as found:
        yield found


def rewards(*ratings: float) -> list[float]:
    """What these ratings are worth."""
    return [(rating - 5.5) / 4.5 for rating in ratings]


def held(server: Live, rater: Obedient) -> "threading.Event":
    """The judge at work on an item of somebody else, until the event is set."""
    rater.free.clear()
    rater.busy.clear()
    server.later("1")
    assert rater.busy.wait(PATIENCE)
    return rater.free


def counted(server: Live, name: str) -> float:
    """One of the metrics."""
    text = server.send("GET", "/metrics").body
    [line] = [line for line in text.splitlines() if line.startswith(f"arena_reward_{name} ")]
    return float(line.rpartition(" ")[2])


def test_many_requests_of_all_sizes_get_each_its_own_rewards(server: Live, rater: Obedient) -> None:
    """In order, from batches that mix them."""
    asked = [[1 + (7 * i + j) % 90 / 10 for j in range(i % 9)] for i in range(60)]
    answers = [server.later(*map(str, numbers)) for numbers in asked]
    for numbers, answer in zip(asked, answers, strict=True):
        assert answer.result().body["rewards"] == rewards(*numbers)
    assert sum(map(len, rater.batches)) == sum(map(len, asked))


def test_what_comes_while_the_judge_works_is_judged_together(server: Live, rater: Obedient) -> None:
    """Five requests, one call."""
    free = held(server, rater)
    answers = [server.later(str(number), str(number + 0.5)) for number in range(2, 7)]
    server.waits(10)
    free.set()
    assert [a.result().body["rewards"] for a in answers] == [rewards(n, n + 0.5) for n in range(2, 7)]
    assert [len(batch) for batch in rater.batches] == [1, 10]
    assert counted(server, "batches_total") == 2 and counted(server, "batch_size_sum") == 11


def test_a_batch_has_at_most_its_size(rater: Obedient) -> None:
    """A request may be spread over several."""
    with live(rater, max_batch=3) as server:
        answer = server.score(*"12345678")
    assert answer.body["rewards"] == rewards(*range(1, 9))
    assert [len(batch) for batch in rater.batches] == [3, 3, 2]


def test_equal_items_get_equal_rewards_whatever_they_are_called_and_stand_beside() -> None:
    """Also from a judge that draws; unequal ones do not."""
    item, other = (Item(name, (Message(role="user", content="q"),), name[0]) for name in ("a1", "b1"))
    again = Item("z", item.prompt, item.completion)
    judge, agent = Judge(Random()), Scripted(["never asked"])
    [alone] = rate(judge, agent, 0, [item])
    besides = rate(judge, agent, 0, [other, again])
    assert alone.reward == besides[1].reward != besides[0].reward
    assert alone.reward != rate(judge, agent, 1, [item])[0].reward


def test_no_items_get_no_rewards(server: Live, rater: Obedient) -> None:
    """And the judge is not asked."""
    assert server.score().body == {"rewards": [], "details": [], "judge": "by rule"}
    assert rater.batches == []


def test_a_judge_that_cannot_says_null(server: Live) -> None:
    """With the reason, its id, and the others' rewards untouched."""
    body = {"items": [{"prompt": "q", "completion": c, "id": f"i{c}"} for c in ("2", "mute", "nan", " ")]}
    found = server.send("POST", "/v1/score", body).body
    assert found["rewards"] == [*rewards(2), None, None, None]
    told = {detail["id"]: detail["status"] for detail in found["details"]}
    assert told == {
        "i2": "ok", "imute": "rating_no_rating_meant", "inan": "not_a_number", "i ": "empty_answer"
    }  # fmt: skip
    assert counted(server, "unjudged_total") == 3 and counted(server, "items_total") == 4


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/generate", {"messages": ["2", "mute"]}, {"rewards": [0.2, None]}),
        ("/scores", {"model": "model", "messages": ["q[/INST]10</s>"]}, {"scores": [1.0]}),
        (
            "/get_reward",
            {"query": ["q 1"], "prompts": ["q "], "labels": [None]},
            {"rewards": [-1.0], "scores": [-1.0], "extra_logs": {}},
        ),
    ],
)
def test_other_dialects_live_beside_ours(server: Live, path: str, body: Any, answer: Any) -> None:
    """Each on a path of its own."""
    assert server.send("POST", path, body).body == answer


def test_a_dialect_without_null_refuses_as_a_whole(server: Live) -> None:
    """No score at all rather than a made up one."""
    found = server.send("POST", "/scores", {"messages": ["2", "mute"]})
    assert found.status == 422 and "scores" not in found.body
    assert found.body["items"] == [{"item": 1, "status": "rating_no_rating_meant"}]


def test_a_full_queue_tells_to_come_again(rater: Obedient) -> None:
    """And those that wait are served."""
    with live(rater, queue=3) as server:
        free = held(server, rater)
        waiting = server.later("2", "3")
        server.waits(2)
        full = server.score("4", "5")
        fits = server.later("6")
        server.waits(3)
        free.set()
        assert full.status == 503 and int(full.headers["retry-after"]) >= 1
        assert "room for 1 more items, 2 came: come again" in full.body["error"]
        assert waiting.result().body["rewards"] == rewards(2, 3)
        assert fits.result().body["rewards"] == rewards(6)
        assert server.score("4", "5").body["rewards"] == rewards(4, 5)


def test_a_judge_that_raises_fails_only_the_request_that_made_it(
    server: Live, rater: Obedient, caplog: pytest.LogCaptureFixture
) -> None:
    """Others of the same batch get their rewards, and the server lives on."""
    free = held(server, rater)
    fine, bad = server.later("2", "3"), server.later("4", "boom")
    server.waits(4)
    free.set()
    assert fine.result().body["rewards"] == rewards(2, 3)
    assert bad.result().status == 500 and "rewards" not in bad.result().body
    assert bad.result().body["error"].startswith("the judge failed: RuntimeError: the judge went ")
    assert server.score("5").body["rewards"] == rewards(5)
    assert counted(server, "failed_batches_total") == 2
    assert "the judge failed on a batch of 4" in caplog.text
    assert "\x1b" not in caplog.text + bad.result().body["error"]


def test_a_judge_that_returns_too_few_verdicts_fails() -> None:
    """They could not be told apart."""

    class Short(Judge):
        def rate(self, *asked: Any) -> Any:
            return super().rate(*asked)[:-1]

    with pytest.raises(RuntimeError, match="0 verdicts on 1 items"):
        rate(Short(Random()), Scripted(["x"]), 0, [Item("a", (Message(role="user", content=""),), "a")])


def test_who_hangs_up_is_forgotten(server: Live, rater: Obedient) -> None:
    """Its items leave the queue and are never judged; others are."""
    free = held(server, rater)
    body = json.dumps({"items": [{"prompt": "q", "completion": text} for text in ("7", "8")]}).encode()
    with socket.create_connection(server.address) as line:
        line.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        server.waits(2)
    server.waits(0)
    other = server.later("2")
    server.waits(1)
    free.set()
    assert other.result().body["rewards"] == rewards(2)
    assert rater.batches == [["1"], ["2"]]
    assert 'requests_total{route="/v1/score",status="499"} 1' in server.send("GET", "/metrics").body


def test_who_hangs_up_while_being_judged_harms_nobody(server: Live, rater: Obedient) -> None:
    """The verdict has nowhere to go."""
    rater.free.clear()
    line = http.client.HTTPConnection(*server.address)
    line.request("POST", "/v1/score", json.dumps({"items": [{"prompt": "q", "completion": "9"}]}))
    assert rater.busy.wait(PATIENCE)
    line.close()
    other = server.later("2")
    rater.free.set()
    assert other.result().body["rewards"] == rewards(2)


def test_a_request_that_waits_too_long_gets_504(rater: Obedient) -> None:
    """Nor do its items take a place in the queue any longer."""
    with live(rater, Limits(timeout=0.3)) as server:
        free = held(server, rater)
        late = server.score("2")
        assert late.status == 504 and "no rewards for 1 items within 0.3 s" in late.body["error"]
        server.waits(0)
        free.set()
        assert server.score("3").body["rewards"] == rewards(3)
    assert rater.batches == [["1"], ["3"]]


def test_a_body_that_never_comes_is_not_waited_for(rater: Obedient) -> None:
    """A head alone holds nothing up."""
    with live(rater, Limits(timeout=0.3)) as server, socket.create_connection(server.address) as line:
        line.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
        line.settimeout(PATIENCE)
        assert line.recv(1000).startswith(b"HTTP/1.1 408")


def test_a_stop_waits_for_what_has_come(rater: Obedient) -> None:
    """The last request is answered, and no new one is taken."""
    with live(rater) as server:
        free = held(server, rater)
        last = server.later("2")
        server.waits(1)
        server.server.should_exit = True
        while True:  # until it no longer listens
            try:
                socket.create_connection(server.address, timeout=1).close()
            except ConnectionRefusedError:
                break
            time.sleep(0.01)
        free.set()
        assert last.result() == Answer(200, last.result().body, last.result().headers)
        assert last.result().body["rewards"] == rewards(2)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("", 401),
        ("Bearer wrong", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
        ("Bearer s3cret\xe9", 401),
        ("Bearer s3cret", 200),
        ("bearer  s3cret", 200),
    ],
)
def test_a_token_is_asked_of_everybody(rater: Obedient, header: str, status: int) -> None:
    """On every path, and before anything is read."""
    given = {"authorization": header} if header else {}
    with live(rater, token="s3cret") as server:
        found = [
            server.score("2", headers=given),
            server.send("GET", "/health", headers=given),
            server.send("GET", "/metrics", headers=given),
        ]
        other = server.send("GET", "/other", headers=given)
    assert {answer.status for answer in found} == {status}
    assert other.status == (404 if status == 200 else 401)
    if status == 401:
        assert rater.batches == [] and found[0].headers["www-authenticate"] == "Bearer"
        assert "s3cret" not in found[0].body["error"]


def pieces(size: int) -> Iterator[bytes]:
    """A body of this many bytes, in chunks."""
    return (b"x" * 500 for _ in range(size // 500))


@pytest.mark.parametrize("body", [b"x" * 3000, b"x" * 100_000, pieces(3000)], ids=["some", "far", "chunks"])
def test_a_body_that_is_too_long_is_refused(server: Live, body: Any) -> None:
    """Whether its length is told or not."""
    headers = {} if isinstance(body, bytes) else {"transfer-encoding": "chunked"}
    try:
        found = server.send("POST", "/v1/score", body, headers)
    except (BrokenPipeError, ConnectionResetError):  # closed while it was still being sent
        assert isinstance(body, bytes) and len(body) == 100_000
    else:
        assert found.status == 413 and "longer than 2000 bytes" in found.body["error"]
    assert server.score("2").status == 200


def test_an_endless_body_is_cut_off(server: Live) -> None:
    """Its sender may not hear why."""
    with socket.create_connection(server.address) as line, pytest.raises(OSError):  # noqa: PT011
        line.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            line.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
    assert server.score("2").status == 200


def test_too_many_items_are_refused(server: Live, rater: Obedient) -> None:
    """With the number that is taken."""
    found = server.score(*["1"] * 9)
    assert found.status == 413 and found.body["error"] == "9 items in one request; at most 8 are taken"
    assert rater.batches == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is no JSON: it is empty"),
        (b"hello \x1b[31m", "it begins with 'hello "),
        (b"\xff\xfe", "the body is no JSON"),
        (b'{"items": [', "Expecting value"),
        (b"[" * 1900, "recursion"),
        (b"9" * 1990, ""),
    ],
)
def test_garbage_is_refused_with_what_was_found(server: Live, body: bytes, told: str) -> None:
    """As a bad request (a number is JSON, of another form)."""
    found = server.send("POST", "/v1/score", body)
    assert found.status == (422 if body[:1] == b"9" else 400)
    assert told in found.body["error"] and "\x1b" not in found.body["error"]


def test_garbage_that_is_no_http_ends_its_own_connection(server: Live) -> None:
    """Others go on."""
    with socket.create_connection(server.address) as line:
        line.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        line.settimeout(PATIENCE)
        assert b"400" in line.recv(100)
    assert server.score("2").status == 200


def test_another_form_is_refused_by_item(server: Live) -> None:
    """As content that cannot be processed."""
    found = server.send("POST", "/v1/score", {"items": [{"prompt": "q"}]})
    assert found.status == 422 and "item 0: completion is missing or null" in found.body["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/v1/x", 404),
        ("GET", "/v1/score", 405),
        ("POST", "/health", 405),
    ],
)
def test_another_path_is_answered_with_those_there_are(
    server: Live, method: str, path: str, status: int
) -> None:
    """And counted under one name, so that nobody can fill the metrics."""
    found = server.send(method, path)
    assert found.status == status and "there are POST /v1/score" in found.body["error"]
    assert f"no {method} {path};" in found.body["error"]
    route = path if status == 405 else "other"
    assert f'requests_total{{route="{route}",status="{status}"}} 1' in server.send("GET", "/metrics").body


def test_health_says_who_judges(server: Live) -> None:
    """And how many items wait."""
    found = server.send("GET", "/health").body
    assert found.pop("uptime") >= 0
    assert found == {"status": "ok", "judge": "by rule", "model": "nobody", "queue": 0}


def test_metrics_are_what_prometheus_reads(server: Live) -> None:
    """Every line is a comment or a name, labels and a number."""
    server.score("2", "mute")
    found = server.send("GET", "/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [line for line in found.body.splitlines() if not line.startswith("#")]
    assert found.body.endswith("\n") and len(samples) >= 9
    assert all(line.startswith("arena_reward_") and float(line.rpartition(" ")[2]) >= 0 for line in samples)
    assert 'arena_reward_requests_total{route="/v1/score",status="200"} 1' in samples


def test_no_terminal_obeys_the_log() -> None:
    """Whatever a request made somebody write there."""
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "said %s", ("\x1b[2J\x9b\x07",), None)
    assert not set(_Clean("%(message)s").format(record)) & set("\x1b\x9b\x07")


def test_loopback_is_told_from_the_rest() -> None:
    """A name may lead anywhere."""
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "", "10.0.0.1", "localhost.ada.example")))


def settings(*overrides: str) -> Any:
    """The settings of the verb."""
    return composed("judge=length", "port=0", *overrides, schema="serve")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("what=rewards", "unknown thing to serve 'rewards', did you mean 'reward'.; allowed are reward"),
        (
            "host=0.0.0.0",
            "host=0.0.0.0 can be reached from other machines: set a token in .*_TOKEN",
        ),
        ("max_batch=0", "max_batch must be at least 1, got 0"),
        ("timeout=0", "timeout must be above 0"),
        ("timeout=nan", "timeout must be above 0"),
        ("wait_ms=-1", "wait_ms must be at least 0"),
        ("queue=8", "max_items=256 items of one request would never fit into queue=8"),
        ("port=70000", r"port must be in 0\.\.65535, got 70000"),
        ("host=127.0.0.1.9", "cannot listen at 127.0.0.1.9|can be reached from other machines"),
        ("+agent@agents.second=smollm", r"one agent judges, found the seats \['judge', 'second'\]"),
    ],
)
def test_settings_that_cannot_serve_are_refused(
    override: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is loaded."""
    monkeypatch.delenv(serve.TOKEN, raising=False)
    with pytest.raises(ConfigError, match=told):
        serve.serve(settings(override), "reward_server", Path())


def test_a_token_must_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control character in a header would be refused far from here."""
    monkeypatch.setenv(serve.TOKEN, "abc\ndef")
    with pytest.raises(ConfigError, match="ARENA_SERVE_TOKEN holds characters that no token has"):
        serve.serve(settings(), "reward_server", Path())


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a setting that is wrong."""
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[web\]'"):
        serve.serve(settings(), "reward_server", Path())


def test_a_port_that_is_taken_is_named() -> None:
    """In one line, with nothing behind it."""
    with bound("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} of 127.0.0.1 is taken by another") as caught:
            bound("127.0.0.1", port)
        assert caught.value.__context__ is None
        assert address_of(first) == f"http://127.0.0.1:{port}"


def test_it_listens_on_the_newer_protocol_too(rater: Obedient) -> None:
    """With brackets in the address."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with live(rater, host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert server.score("2").body["rewards"] == rewards(2)


def test_a_judge_that_fails_at_once_ends_the_start() -> None:
    """Rather than every request."""

    def lost(items: Any) -> Any:
        raise Unavailable("the weights are gone")

    with pytest.raises(Unavailable, match="the weights are gone"):
        Batcher(lost, Counts()).warm_up(Item("a", (), ""))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(number: signal.Signals, tmp_path: Path) -> None:
    """It says in one line where it is and how to try it, and ends with exit code 0."""
    command = [sys.executable, "-m", "arena.serve", "reward", "judge=length", "port=0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", serve.TOKEN: ""}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            curl = said.partition("try: ")[2]
            assert "rewards by SmolLM2-135M-Instruct, length, zeta 0 at http://127.0.0.1:" in said
            body, url = curl.partition(" -d ")[2].strip().strip("'"), curl.split()[2]
            host, port = url.removeprefix("http://").partition("/")[0].split(":")
            line = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
            line.request("POST", "/v1/score", body)
            answer = json.loads(line.getresponse().read())
            line.close()
        finally:
            process.send_signal(number)
        rest, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, rest, errors) == (0, "", "")
    assert answer["rewards"] == pytest.approx([-0.967213])
