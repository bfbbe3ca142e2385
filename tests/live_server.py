"""A reward server in a thread of the test, before a judge that does as its items say."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from agents import Agent, Scripted
from arena.serving.batching import Batcher
from arena.serving.counts import Counts
from arena.serving.items import rate
from arena.serving.server import Server, address_of, bound
from arena.serving.web import Limits, Service
from rewards.judge import Judge
from rewards.rating import Rater
from rewards.verdict import Case, Rating

PATIENCE = 30.0
"""Seconds after which a test that hangs fails."""


class Obedient:
    """Rates an answer with the number that it is; `mute`, `nan` and `boom` do what they say.

    While `free` is not set, a call waits; `busy` says that one has begun.
    """

    asks = False

    def __init__(self) -> None:
        """Free, and asked nothing yet."""
        self.batches: list[list[str]] = []
        self.free, self.busy = threading.Event(), threading.Event()
        self.free.set()

    def __call__(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Rating]:
        """One rating per case."""
        self.batches.append([case.reply.text for case in cases])
        self.busy.set()
        assert self.free.wait(PATIENCE)
        if any(case.reply.text == "boom" for case in cases):
            raise RuntimeError("the judge went \x1b[31mboom\x07")
        return [self._rating(case.reply.text) for case in cases]

    def _rating(self, text: str) -> Rating:
        return (
            Rating(None, "no_rating_meant", "hm") if text == "mute" else Rating(float(text), "ok", "by rule")
        )


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    """The JSON, or the text where it is none."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Live:
    """A running server."""

    url: str
    server: Server
    pool: ThreadPoolExecutor

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own; `body` as bytes, as chunks, or as JSON."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        raw = isinstance(body, bytes | Iterator) or body is None
        try:
            connection.request(
                method,
                path,
                body if raw else json.dumps(body),
                dict(headers or {}),
                encode_chunked=isinstance(body, Iterator),
            )
            response = connection.getresponse()
            text = response.read().decode()
            kind = response.headers["content-type"] or ""
            told = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, json.loads(text) if "json" in kind else text, told)
        finally:
            connection.close()

    def score(self, *completions: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Rewards for these completions."""
        items = [{"prompt": "Rate this.", "completion": text} for text in completions]
        return self.send("POST", "/v1/score", {"items": items}, headers)

    def later(self, *completions: str) -> "Future[Answer]":
        """The same, from another thread."""
        return self.pool.submit(self.score, *completions)

    def waits(self, items: int) -> None:
        """Come back when so many items are in the queue."""
        until(lambda: self.send("GET", "/health").body["queue"] == items)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def live(
    rater: Rater,
    limits: Limits | None = None,
    token: str = "",
    max_batch: int = 32,
    wait_ms: float = 1.0,
    queue: int = 512,
    host: str = "127.0.0.1",
    agent: Agent | None = None,
) -> Iterator[Live]:
    """A server on a free port of the loopback, until the body is done."""
    judge, counts = Judge(rater), Counts()
    rated = partial(rate, judge, agent or Scripted(["never asked"]), 0)
    batcher = Batcher(rated, counts, max_batch, wait_ms, queue)
    listens = threading.Event()
    server = Server(Service("by rule", "nobody", batcher, counts, limits or Limits(), token), listens.set)
    with bound(host, 0) as listening, ThreadPoolExecutor(64) as pool:
        url = address_of(listening)
        thread = threading.Thread(target=lambda: asyncio.run(server.answer(listening)))
        thread.start()
        try:
            assert listens.wait(PATIENCE)
            yield Live(url, server, pool)
        finally:
            if isinstance(rater, Obedient):
                rater.free.set()
            server.should_exit = True
            thread.join(PATIENCE)
    assert not thread.is_alive()
