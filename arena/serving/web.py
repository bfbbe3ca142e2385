"""Web: the routes of a reward server, who may use them, and what each failure answers.

400 no JSON; 401 no token, or another; 404, 405 another path or method; 408 a body that comes too slowly; 413
a body or a list that is too long; 422 JSON of another form, or (dialects that take numbers only) an item
that could not be judged; 500 the judge failed; 503 the queue is full (`Retry-After`); 504 no rewards in time.
The body of a failure is `{"error": "..."}`, and holds no rewards.
"""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agents.endpoint import line
from arena.serving.batching import Batcher
from arena.serving.counts import Counts
from arena.serving.dialects import DIALECTS, Dialect
from arena.serving.items import Item
from arena.serving.refusal import Refusal
from rewards.verdict import Verdict

LEFT = 499
"""Status, in the counts, of a request whose client has gone."""

READ_ON = 8
"""A body this many times too long is read to its end, so that its sender hears why it is refused."""

HANG_UP = {"Connection": "close"}
"""Headers of a reply to a body that is not read to its end."""

GETS = ("/health", "/metrics")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What one request may take."""

    max_items: int = 256
    max_body: int = 1_000_000
    """Bytes."""
    timeout: float = 120.0
    """Seconds from the request's head to its rewards."""


@dataclass(frozen=True)
class Service:
    """The routes of a server before a judge.

    Args:
        judge: how the judge is called, in replies and on `/health`.
        model: who judges.
        batcher: where items wait for the judge.
        counts: what the server has done.
        limits: of one request.
        token: what `Authorization: Bearer` must hold; `""` asks for nothing.
        started: on `time.monotonic`.
    """

    judge: str
    model: str
    batcher: Batcher
    counts: Counts
    limits: Limits = Limits()
    token: str = field(default="", repr=False)
    started: float = field(default_factory=time.monotonic)

    def app(self) -> Starlette:
        """The ASGI application."""
        posts = [Route(d.path, partial(self.score, d), methods=["POST"]) for d in DIALECTS]
        gets = [Route("/health", self.health), Route("/metrics", self.metrics)]
        gate = Middleware(Gate, token=self.token, counts=self.counts)
        return Starlette(
            routes=[*posts, *gets],
            middleware=[gate],
            exception_handlers={HTTPException: _no_route, Exception: _broken},
        )

    async def health(self, request: Request) -> Response:
        """That the server lives, who judges, for how long, and how many items wait."""
        uptime = round(time.monotonic() - self.started, 3)
        told = {"status": "ok", "judge": self.judge, "model": self.model, "uptime": uptime}
        return JSONResponse(told | {"queue": len(self.batcher)})

    async def metrics(self, request: Request) -> Response:
        """The counts, for Prometheus."""
        text = self.counts.text(len(self.batcher), time.monotonic() - self.started)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def score(self, dialect: Dialect, request: Request) -> Response:
        """The rewards that a request asks for, or why it gets none."""
        items: list[Item] | None = None
        try:
            async with asyncio.timeout(self.limits.timeout):
                items = self._items(dialect, await body_of(request, self.limits.max_body))
                verdicts = await self._verdicts(items, request.receive) if items else []
            return JSONResponse(dialect.write(items, verdicts, self.judge))
        except ClientDisconnect:
            return Response(status_code=LEFT)
        except TimeoutError:
            return self._late(items)
        except Refusal as refusal:
            return JSONResponse(refusal.body, refusal.status, refusal.headers)

    def _items(self, dialect: Dialect, body: bytes) -> list[Item]:
        items = dialect.read(parsed(body))
        if len(items) > self.limits.max_items:
            text = f"{len(items)} items in one request; at most {self.limits.max_items} are taken"
            raise Refusal(413, text)
        return items

    def _late(self, items: Sequence[Item] | None) -> Response:
        within = f"within {self.limits.timeout:g} s"
        if items is None:
            return JSONResponse({"error": f"the body did not come {within}"}, 408, HANG_UP)
        text = f"no rewards for {len(items)} items {within}: send fewer, or raise the server's timeout"
        return JSONResponse({"error": text}, 504)

    async def _verdicts(self, items: Sequence[Item], receive: Receive) -> list[Verdict]:
        """The verdicts, unless the client goes before they are there."""
        rating = asyncio.ensure_future(self.batcher.rate(items))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({rating, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if rating.done():
                return rating.result()
            raise ClientDisconnect
        finally:
            rating.cancel()
            leaving.cancel()


class Gate:
    """Lets in who has the token, and counts every request by route and status.

    Args:
        app: what lies behind.
        token: the token, `""` for none.
        counts: where to count.
    """

    def __init__(self, app: ASGIApp, token: str, counts: Counts) -> None:
        """Take what lies behind."""
        self.app, self.token, self.counts = app, token, counts
        self.paths = {*GETS, *(dialect.path for dialect in DIALECTS)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self.paths else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.counts.requests[route, message["status"]] += 1
            await send(message)

        inner: Callable[[Scope, Receive, Send], Awaitable[None]] = self.app
        if not may_enter(self.token, Request(scope).headers.get("authorization", "")):
            text = "this server needs a token: send the header Authorization: Bearer TOKEN"
            inner = JSONResponse({"error": text}, 401, {"WWW-Authenticate": "Bearer"})
        try:
            await inner(scope, receive, counted)
        except Exception:
            self.counts.requests[route, 500] += 1  # its reply is written further out
            raise


def may_enter(token: str, header: str) -> bool:
    """Whether an `Authorization` header holds the token, told in a time that gives nothing away.

    >>> may_enter("", ""), may_enter("s3cret", "Bearer s3cret"), may_enter("s3cret", "Bearer other")
    (True, True, False)
    """
    scheme, _, given = header.partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return not token or (scheme.lower() == "bearer" and same)


async def body_of(request: Request, most: int) -> bytes:
    """The body, of at most `most` bytes, whether its length was told beforehand or not.

    Raises:
        Refusal: it is longer (413).
        ClientDisconnect: the client went before its end.
    """
    text = f"the body is longer than {most} bytes: send fewer items at a time"
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:18]) > READ_ON * most:
        raise Refusal(413, text, HANG_UP)
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > READ_ON * most:
            raise Refusal(413, text, HANG_UP)
        if size <= most:
            body += chunk
    if size > most:
        raise Refusal(413, text)
    return bytes(body)


def parsed(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        Refusal: it is none (400).
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        begins = line(body[:60].decode(errors="replace"), 40)
        found = f"it begins with {begins!r}" if body else "it is empty"
        raise Refusal(400, f"the body is no JSON: {found} ({line(str(error), 80)})") from None


async def _left(receive: Receive) -> None:
    """Until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _no_route(request: Request, error: Exception) -> Response:
    """Answer for a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    there = ", ".join([*(f"POST {dialect.path}" for dialect in DIALECTS), *(f"GET {path}" for path in GETS)])
    found = f"{request.method} {line(request.url.path, 60)}"
    text = f"there is no {found}; there are {there}"
    return JSONResponse({"error": text}, error.status_code, error.headers)


async def _broken(request: Request, error: Exception) -> Response:
    """Answer for a fault of the server itself; uvicorn writes it to the log."""
    return JSONResponse({"error": f"the server failed: {line(f'{type(error).__name__}: {error}')}"}, 500)
