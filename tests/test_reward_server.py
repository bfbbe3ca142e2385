"""The judge behind HTTP: whatever the server does, no reward is made up."""

import json
import math
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from chat_server import Answer, Endpoint, serve
from huggingface_hub import constants
from live_server import Obedient, live

from agents import ConfigError, Message, Reply, Scripted, Unavailable
from arena.serving.web import Limits
from rewards.reward_server import ROOM, ROOM_PER_ITEM, RewardServer
from rewards.verdict import Case, Verdict

TOKEN = "t0ken-very-secret"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that leads straight to the server, without a token."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("ARENA_SERVE_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A server that answers what a test tells it to."""
    with serve() as server:
        yield server


def case(text: str, name: str = "") -> Case:
    """An answer that is to be judged."""
    return Case(name or f"d.{text}", "q", (Message(role="user", content="q"),), Reply(text))


def rated(judge: RewardServer, *texts: str) -> list[Verdict]:
    """What the judge says of these answers."""
    cases = [case(text, f"d{i}") for i, text in enumerate(texts)]
    return judge.rate(Scripted(["never asked"]), cases, list(range(len(cases))))


def client(endpoint: Endpoint, **settings: Any) -> RewardServer:
    """A client that writes down its waits instead of waiting."""
    return RewardServer(**{"url": endpoint.url, "retries": 2, "sleep": endpoint.waits.append} | settings)


def reply(*rewards: float | None, **fields: Any) -> Answer:
    """A good answer to items d0, d1 and so on."""
    details = [
        {"id": f"d{i}", "status": "rating_mute" if reward is None else "ok", "raw": "words"}
        for i, reward in enumerate(rewards)
    ]
    return 200, {"rewards": list(rewards), "details": details, "judge": "j"} | fields


def statuses(verdicts: list[Verdict]) -> list[str]:
    """Why each has no reward, if it has none."""
    assert all(verdict.reward is None or verdict.status == "ok" for verdict in verdicts)
    return [verdict.status for verdict in verdicts]


@pytest.mark.parametrize("dialect", ["arena", "critic-ideaking"])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_the_rewards_of_a_running_server_come_back_in_order(dialect: str, batch: int) -> None:
    """In batches of any size, one place for what could not be judged; an empty answer is not even sent."""
    texts = ["1", "10", "mute", "", "5.5", "nan", "7.75"]
    with live(Obedient()) as server:
        judge = RewardServer(server.url, dialect=dialect, batch=batch)
        verdicts = rated(judge, *texts)
    own = {"arena": [-1.0, 1.0, 0.0, 0.5], "critic-ideaking": [0.1, 1.0, 0.55, 0.775]}[dialect]
    assert [v.reward for v in verdicts] == [own[0], own[1], None, None, own[2], None, own[3]]
    assert [v.id for v in verdicts] == [f"d{i}" for i in range(7)]
    assert {v.scale for v in verdicts if v.reward is not None} == {"score"}
    why = ("score_rating_no_rating_meant", "score_not_a_number")
    lost = why if dialect == "arena" else ("score_unjudged", "score_unjudged")
    assert [verdicts[i].status for i in (2, 3, 5)] == [lost[0], "empty_answer", lost[1]]
    assert verdicts[0].judge == "scripted"


def test_only_what_is_needed_is_sent(endpoint: Endpoint) -> None:
    """Id, prompt and completion; or the completion alone."""
    endpoint.answer = lambda body: reply(0.5)
    rated(client(endpoint), "a")
    rated(client(endpoint, dialect="critic-ideaking"), "a")
    item = {"id": "d0", "prompt": [{"role": "user", "content": "q"}], "completion": "a"}
    assert endpoint.asked == [{"items": [item]}, {"messages": ["a"]}]
    assert endpoint.paths == ["/v1/score", "/generate"]
    assert endpoint.headers[0]["user-agent"] == "expert-arena" and "authorization" not in endpoint.headers[0]


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/score"])
def test_the_url_may_be_given_with_or_without_its_ending(endpoint: Endpoint, ending: str) -> None:
    """All lead to the same address."""
    endpoint.answer = lambda body: reply(0.5)
    rated(client(endpoint, url=endpoint.url.removesuffix("/v1") + ending), "a")
    assert endpoint.paths == ["/v1/score"]


def test_the_token_is_sent_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one, or none, and the server is out of reach; what is said of it does not hold the token."""
    with live(Obedient(), token=TOKEN) as server:
        with pytest.raises(Unavailable, match="status 401: .* put a key .* into ARENA_SERVE_TOKEN"):
            rated(RewardServer(server.url), "1")
        monkeypatch.setenv("ARENA_SERVE_TOKEN", "other")
        with pytest.raises(Unavailable, match="status 401") as caught:
            rated(RewardServer(server.url), "1")
        assert "other" not in str(caught.value)
        monkeypatch.setenv("MINE", TOKEN)
        assert [v.reward for v in rated(RewardServer(server.url, token_env="MINE"), "1")] == [-1.0]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(endpoint: Endpoint, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token goes nowhere else."""
    monkeypatch.setenv("ARENA_SERVE_TOKEN", TOKEN)
    with serve() as other:
        other.answer = lambda body: reply(9.0)
        endpoint.answer = lambda body: (status, {}, {"location": f"{other.url}/score"})
        with pytest.raises(Unavailable, match=f"status {status}"):
            rated(client(endpoint), "a")
        assert other.asked == [] and len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, b"<html>hello</html>"), "it is no JSON"),
        ((200, b""), "it is no JSON"),
        ((200, b"\xff\xfe\x00"), "it is no JSON"),
        ((200, b"[" * 100_000), "it is no JSON"),
        ((200, [0.5]), "it has no list named rewards"),
        ((200, {"scores": [0.5]}), "it has no list named rewards"),
        ((200, {"rewards": 0.5}), "it has no list named rewards"),
        (reply(0.5, 0.5), "it has 2 rewards for 1 items"),
        ((200, {"rewards": [], "details": []}), "it has 0 rewards for 1 items"),
        (reply(0.5, details=[]), "its details are no list"),
        (reply(0.5, details=None), "its details are no list"),
        (reply(0.5, details=["x"]), "its detail 0 is not of 'd0'"),
        (reply(0.5, details=[{"id": "d1"}]), "its detail 0 is not of 'd0'"),
        (reply(rewards=["0.5"], details=[{"id": "d0"}]), "its reward 0 is of type str"),
        (reply(rewards=[True], details=[{"id": "d0"}]), "its reward 0 is of type bool"),
        (reply(rewards=[[0.5]], details=[{"id": "d0"}]), "its reward 0 is of type list"),
        ((200, b" " * (ROOM + ROOM_PER_ITEM + 1)), "the reply is longer than"),
        ((422, {"error": "item 0: completion \x1b[31m"}), "status 422: item 0: completion"),
        ((413, b"too large \x1b"), "status 413: too large"),
    ],
)
def test_a_reply_that_holds_no_rewards_is_no_reward(endpoint: Endpoint, answer: Answer, told: str) -> None:
    """The items abstain and say why; the run goes on."""
    endpoint.answer = lambda body: answer
    [verdict] = rated(client(endpoint), "a")
    assert (verdict.reward, verdict.status) == (None, "score_bad_reply")
    assert told in verdict.raw and "\x1b" not in verdict.raw


def test_a_reply_that_was_bad_once_is_asked_for_again(endpoint: Endpoint) -> None:
    """As a request that failed."""
    endpoint.in_turn((200, b"half a li"), (500, {"error": "x"}), reply(0.25))
    assert [v.reward for v in rated(client(endpoint), "a")] == [0.25]
    assert len(endpoint.waits) == 2


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**400])
def test_a_number_that_is_none_abstains(endpoint: Endpoint, number: float) -> None:
    """Others of the same reply count."""
    endpoint.answer = lambda body: (200, json.dumps(reply(0.5, number)[1]).encode())
    verdicts = rated(client(endpoint), "a", "b")
    assert [v.reward for v in verdicts] == [0.5, None]
    assert verdicts[1].status == "score_unjudged" and "the server sent" in verdicts[1].raw


@pytest.mark.parametrize("status", ["ok", "", 5, None, "a\x1b[31mb", "x" * 99, ["y"]])
def test_null_abstains_whatever_reason_comes_with_it(endpoint: Endpoint, status: Any) -> None:
    """A reason that is no word of ours is not taken over."""
    endpoint.answer = lambda body: reply(rewards=[None], details=[{"id": "d0", "status": status}])
    [verdict] = rated(client(endpoint), "a")
    assert (verdict.reward, verdict.status) == (None, "score_unjudged")


def test_requests_that_fail_abstain_and_the_others_count(endpoint: Endpoint) -> None:
    """`no_reply` for those whose request was in vain."""

    def answer(body: dict[str, Any]) -> Answer:
        [item] = body["items"]
        detail = {"id": item["id"], "status": "ok"}
        good = {"rewards": [0.5], "details": [detail]}
        return (500, {"error": "boom"}) if item["completion"] == "b" else (200, good)

    endpoint.answer = answer
    verdicts = rated(client(endpoint, batch=1), "a", "b", "c")
    assert statuses(verdicts) == ["ok", "score_no_reply", "ok"]
    assert "status 500: boom (attempt 3 of 3)" in verdicts[1].raw


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    """After all attempts, with what to do; nothing else is to be had."""
    waits: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(Unavailable, match=r"no connection: .* \(attempt 3 of 3\) - is the server up"):
        rated(RewardServer(url, retries=2, sleep=waits.append), "a")
    assert len(waits) == 2


def test_a_server_that_refuses_for_good_is_asked_once(endpoint: Endpoint) -> None:
    """404: it is another server."""
    endpoint.answer = lambda body: (404, {"error": "there is no POST /v1/score"})
    with pytest.raises(Unavailable, match="status 404: .* is url that of a reward server"):
        rated(client(endpoint), "a")
    assert len(endpoint.asked) == 1


def test_a_full_server_is_given_the_time_that_it_asks_for(endpoint: Endpoint) -> None:
    """At least; jitter and backoff may add to it."""
    endpoint.in_turn((503, {"error": "full"}, {"retry-after": "7"}), reply(0.5))
    assert [v.reward for v in rated(client(endpoint), "a")] == [0.5]
    assert len(endpoint.waits) == 1 and endpoint.waits[0] >= 7


def test_a_full_queue_of_our_own_server_is_waited_for() -> None:
    """Every item gets its reward in the end."""
    rater, waits = Obedient(), []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        rater.free.set()

    with live(rater, queue=2) as server:
        rater.free.clear()
        first = server.later("1")
        assert rater.busy.wait(30)
        others = server.later("1", "1")
        server.waits(2)
        verdicts = rated(RewardServer(server.url, batch=1, retries=50, sleep=wait), "2", "3", "4")
        assert first.result().status == others.result().status == 200
    assert [v.reward for v in verdicts] == pytest.approx([-3.5 / 4.5, -2.5 / 4.5, -1.5 / 4.5])
    assert waits and waits[0] >= 1


def test_a_server_that_is_too_slow_is_no_judge() -> None:
    """Silence is not a reward."""
    rater = Obedient()
    rater.free.clear()
    with live(rater) as server, pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
        rated(RewardServer(server.url, timeout=0.2, retries=0), "1")


def test_a_request_that_the_server_gives_up_on_is_no_judge() -> None:
    """504 passes, so it is tried again, and then says what the server said."""
    rater, waits = Obedient(), []
    rater.free.clear()
    with (
        live(rater, Limits(timeout=0.1)) as server,
        pytest.raises(Unavailable, match="status 504: no rewards"),
    ):
        rated(RewardServer(server.url, retries=1, sleep=waits.append), "1")
    assert len(waits) == 1


@contextmanager
def raw(*pieces: bytes) -> Iterator[str]:
    """A server that sends these bytes to whoever connects, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def work() -> None:
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                with line:
                    line.recv(65536)
                    for piece in pieces:
                        line.sendall(piece)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200 OK\r\ncont",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n", b'{"rewards": [0.5'),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b'6\r\n[0.5]\n\r\n'),
        (b"\x16\x03\x01 what?\r\n\r\n",),
    ],
    ids=["nothing", "head", "body", "chunks", "garbage"],
)  # fmt: skip
def test_a_server_that_dies_in_the_middle_gave_nothing(pieces: tuple[bytes, ...]) -> None:
    """Half a list is none, even where it would parse."""
    waits: list[float] = []
    with raw(*pieces) as url, pytest.raises(Unavailable, match="no connection"):
        rated(RewardServer(url, retries=1, sleep=waits.append), "a")
    assert len(waits) == 1


def test_a_body_that_trickles_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte in time, the whole of it not."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n"
    clock = iter(range(0, 10**6, 60))
    monkeypatch.setattr("rewards.reward_server.time.monotonic", lambda: float(next(clock)))
    with raw(head, b" " * 90) as url, pytest.raises(Unavailable, match="no whole reply within 30 s"):
        rated(RewardServer(url, timeout=30, retries=0), "a")


def test_half_a_letter_is_refused_by_the_server_and_no_error_here() -> None:
    """Text that cannot be sent as it is."""
    with live(Obedient()) as server:
        [verdict] = rated(RewardServer(server.url), "\ud800")
    assert verdict.status == "score_bad_reply" and "half a surrogate pair" in verdict.raw


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"dialect": "klingon"}, "dialect='klingon' is not known; allowed are arena, critic-ideaking"),
        ({"retries": -1}, "retries must be at least 0"),
        ({"batch": 0}, "batch at least 1, got 4, 0"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"in_flight": 0}, "in_flight must be above 0"),
        ({"url": "ftp://x"}, "url must be like"),
        ({"url": "http://me:pw@x"}, "url holds a user name or password"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], told: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match=told):
        RewardServer(**{"url": "http://127.0.0.1:8008"} | settings)
