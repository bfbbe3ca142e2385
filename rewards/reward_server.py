"""RewardServer: the rewards of a judge behind HTTP, such as `python -m arena.serve reward`."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agents.base import Agent
from agents.endpoint import Endpoint, Fault, allow, line
from agents.errors import ConfigError, Unavailable
from rewards.scores import Score, Scored
from rewards.verdict import Case

if TYPE_CHECKING:
    import httpx2

PATHS = {"arena": "/v1/score", "critic-ideaking": "/generate"}
"""Where each dialect posts."""

ROOM, ROOM_PER_ITEM = 100_000, 100_000
"""Bytes that a reply may have, and that it may have more for each item."""

CONTENT = {400, 413, 422}
"""Statuses by which a server refuses what was sent rather than who sent it."""

CURE = "is url that of a reward server? python -m arena.serve reward starts one"
_STATUS = re.compile(r"[a-z_]{1,40}")


class RewardServer(Scored):
    """Asks a server for rewards. Constructing one touches neither the network nor the environment.

    No reward is ever made up. An item abstains with the server's own reason where the server could not judge
    it, with `bad_reply` where what came is no list of rewards or the server refuses the content, and with
    `no_reply` where nothing came after all attempts. A redirect is not followed, so the token stays here.

    Args:
        url: the server, such as `http://127.0.0.1:8008`.
        token_env: the environment variable that holds the token; unset, none is sent.
        dialect: `arena`, or `critic-ideaking` (completions alone are sent).
        timeout: seconds that a reply may take.
        retries: further attempts at a request that failed in a way that may pass, at least 0.
        batch: the most items of one request, at least 1.
        in_flight: the most requests at a time, at least 1.
        tie_margin: rewards this close are a tie, at least 0.
        pair_truncated: whether drafts that were cut at the token limit may make a pair.
        agent: in whose name verdicts are kept; None: the other expert's.
        gate: as for `Judge`.
        calibration: as for `Judge`.
        sleep: waits some seconds between two attempts.
    """

    def __init__(
        self,
        url: str,
        token_env: str = "ARENA_SERVE_TOKEN",
        dialect: str = "arena",
        timeout: float = 150.0,
        retries: int = 4,
        batch: int = 32,
        in_flight: int = 4,
        tie_margin: float = 0.0,
        pair_truncated: bool = False,
        agent: Agent | None = None,
        gate: str = "",
        calibration: str = "",
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Check the settings; nothing is sent."""
        super().__init__(agent, tie_margin, pair_truncated, gate, calibration)
        if dialect not in PATHS:
            raise ConfigError(f"dialect={dialect!r} is not known; allowed are {', '.join(PATHS)}")
        if retries < 0 or batch < 1:
            raise ConfigError(f"retries must be at least 0 and batch at least 1, got {retries!r}, {batch!r}")
        self.endpoint = _Rewards(url, token_env, timeout, retries + 1, in_flight, sleep)
        self.dialect, self.batch = dialect, batch

    def score(self, agent: Agent, cases: Sequence[Case], seeds: Sequence[int]) -> list[Score]:
        """One score per case. The server draws from its own seed.

        Raises:
            Unavailable: the server is out of reach: no request got any reply.
        """
        parts = [cases[i : i + self.batch] for i in range(0, len(cases), self.batch)]
        found = self.endpoint.spread(self._ask, parts)
        lost = [reply for reply in found if isinstance(reply, Unavailable)]
        if lost and len(lost) == len(found):
            raise lost[0]
        return [
            score
            for part, reply in zip(parts, found, strict=True)
            for score in (
                [Score(None, "no_reply", str(reply))] * len(part) if isinstance(reply, Unavailable) else reply
            )
        ]

    def _ask(self, cases: Sequence[Case]) -> list[Score] | Unavailable:
        """The scores of one request, or why the server is out of reach."""
        failure: list[str] = []

        def send() -> list[Score]:
            failure.clear()
            try:
                data = self.endpoint.fetch(PATHS[self.dialect], self._body(cases), len(cases))
                return _read(data, cases, self.dialect == "arena")
            except _Bad as bad:
                failure.append(bad.found)
                raise

        try:
            return self.endpoint.persist(send, "list of rewards", lambda: CURE)
        except Unavailable as error:
            if failure:
                return [Score(None, "bad_reply", str(error))] * len(cases)
            return Unavailable(str(error))

    def _body(self, cases: Sequence[Case]) -> dict[str, Any]:
        if self.dialect == "critic-ideaking":
            return {"messages": [case.reply.text for case in cases]}
        return {
            "items": [
                {"id": case.id, "prompt": list(case.prompt), "completion": case.reply.text} for case in cases
            ]
        }


class _Bad(Fault):
    """The server answered, but not with rewards."""


class _Rewards(Endpoint):
    """An endpoint that is no chat: other paths, no redirects, replies of a bounded size."""

    def fetch(self, path: str, body: Mapping[str, Any], items: int) -> bytes:
        """The body of the reply to one request, sent once; for use within `persist`."""
        from huggingface_hub import get_session

        allow(self.url)
        headers = self._headers() | {"content-type": "application/json"}
        until = time.monotonic() + self.timeout
        with get_session().stream(
            "POST",
            self._at(path),
            content=json.dumps(body),
            headers=headers,
            timeout=self._patience(),
            follow_redirects=False,
        ) as response:
            data = self._bounded(response, ROOM + ROOM_PER_ITEM * items, until)
        if response.status_code in CONTENT:
            raise _Bad(f"status {response.status_code}: {_error(data)}", "shorten or mend what is sent")
        if not response.is_success:
            raise self._refused(_whole(response, data), ())
        return data

    def _bounded(self, response: "httpx2.Response", most: int, until: float) -> bytes:
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > most:
                raise _Bad(f"the reply is longer than {most} bytes", CURE)
            if time.monotonic() > until:
                raise Fault(f"no whole reply within {self.timeout:g} s", "raise timeout", passes=True)
        return bytes(data)

    def _at(self, path: str) -> str:
        parts = urlsplit(self.url)
        base = parts.path.rstrip("/").removesuffix(path).removesuffix("/v1")
        return parts._replace(path=base + path).geturl()


def _whole(response: "httpx2.Response", data: bytes) -> "httpx2.Response":
    """A response that was read in pieces, as one that was read at once."""
    import httpx2

    kept = {name: value for name, value in response.headers.items() if name == "retry-after"}
    return httpx2.Response(response.status_code, headers=kept, content=data, request=response.request)


def _error(data: bytes) -> str:
    """What a server of this project says in a refusal, else how its words begin."""
    try:
        found = json.loads(data)
        return line(str(found["error"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return line(data[:200].decode(errors="replace"))


def _read(data: bytes, cases: Sequence[Case], detailed: bool) -> list[Score]:
    """The scores in a reply, which has details if it is `detailed`.

    Raises:
        Fault: it is no list of a number or null for each case, or speaks of others.
    """
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _bad(f"it is no JSON ({error})") from None
    rewards = body.get("rewards") if isinstance(body, dict) else None
    if not isinstance(rewards, list):
        raise _bad("it has no list named rewards")
    if len(rewards) != len(cases):
        raise _bad(f"it has {len(rewards)} rewards for {len(cases)} items")
    details = body.get("details") if detailed else [{"id": case.id} for case in cases]
    if not isinstance(details, list) or len(details) != len(cases):
        raise _bad("its details are no list of one for each item")
    return [
        _score(reward, detail, case, i)
        for i, (reward, detail, case) in enumerate(zip(rewards, details, cases, strict=True))
    ]


def _score(reward: Any, detail: Any, case: Case, number: int) -> Score:
    if not isinstance(detail, dict) or detail.get("id") != case.id:
        raise _bad(f"its detail {number} is not of {case.id!r}")
    if reward is None:
        status = detail.get("status")
        known = isinstance(status, str) and status != "ok" and _STATUS.fullmatch(status)
        return Score(None, str(status) if known else "unjudged", line(str(detail.get("raw", ""))))
    if isinstance(reward, bool) or not isinstance(reward, int | float):
        raise _bad(f"its reward {number} is of type {type(reward).__name__}")
    if not _finite(reward):
        return Score(None, "unjudged", f"the server sent {line(str(reward), 40)}")
    return Score(float(reward), "ok", line(str(detail.get("raw", ""))))


def _finite(number: float) -> bool:
    try:
        return isfinite(number)
    except OverflowError:  # a whole number beyond all floats
        return False


def _bad(found: str) -> _Bad:
    return _Bad(f"the reply holds no rewards: {found}", CURE, passes=True)
