"""Endpoint: one OpenAI-compatible server. What passes is tried again, what does not is said in one line.

`HF_HUB_OFFLINE` is set on compute nodes to keep libraries from waiting for the hub. huggingface_hub then
refuses every request of its clients too, also to a server on the same machine: hence `allow`.
"""

import json
import logging
import os
import random
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from agents.errors import ConfigError, Unavailable
from agents.human import printable

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import InferenceClient

T = TypeVar("T")
Job = TypeVar("Job")

CONNECT_SECONDS = 5.0
"""How long a server may take to accept a connection, and to list its models."""
FIRST_WAIT, LONGEST_BACKOFF = 1.0, 30.0
"""Bounds in seconds of the wait before the second attempt, and before any."""
LONGEST_RETRY_AFTER = 120.0
"""A server that asks for more patience than this many seconds counts as unavailable."""

EXAMPLE = "http://127.0.0.1:8000/v1"
UNREACHED = "is the server up, and does it listen there? Start it, or set url"

_PASSING = {408, 409, 429}
_log = logging.getLogger(__name__)


class Fault(Exception):
    """Why a request brought nothing.

    Args:
        found: what the server did.
        cure: what the user can do; default: what the caller of `persist` advises.
        passes: whether another attempt may succeed.
        after: seconds that the server asks to wait.
    """

    def __init__(self, found: str, cure: str = "", passes: bool = False, after: float = 0.0) -> None:
        """Take what is known."""
        super().__init__(found)
        self.found, self.cure, self.passes, self.after = found, cure, passes, after


class Endpoint:
    """Sends requests. Constructing one touches neither the network nor the environment.

    Args:
        url: the endpoint's base, such as `http://127.0.0.1:8000/v1`.
        api_key_env: the environment variable that holds the key; unset, no key is sent.
        timeout: seconds of silence after which a request has failed.
        attempts: tries per request before giving up, at least 1.
        in_flight: the most requests at a time, at least 1.
        sleep: waits some seconds between two attempts.
    """

    def __init__(
        self,
        url: str,
        api_key_env: str,
        timeout: float,
        attempts: int,
        in_flight: int,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Check the settings; nothing is sent."""
        _check_url(url)
        for setting, value in (("timeout", timeout), ("attempts", attempts), ("in_flight", in_flight)):
            if value <= 0:
                raise ConfigError(f"{setting} must be above 0, got {value!r}")
        self.url, self.api_key_env, self.timeout = url, api_key_env, timeout
        self.attempts, self.in_flight = attempts, in_flight
        self._sleep = sleep
        # A generator of its own: waiting must not advance the random numbers of a run.
        self._jitter = random.Random()

    def spread(self, send: Callable[[Job], T], jobs: Sequence[Job]) -> list[T]:
        """What `send` makes of each of `jobs`, in order; at most `in_flight` at a time."""
        with ThreadPoolExecutor(self.in_flight) as pool:
            return list(pool.map(send, jobs))

    def client(self) -> "InferenceClient":
        """The hub's own client, for chats."""
        from huggingface_hub import InferenceClient

        # Without a key of ours the client would send the user's Hub token to this server, and perhaps
        # call the Hub to renew it: hence a stand-in for the key, and a header of None, which is not sent.
        allow(self.url)
        headers: dict[str, Any] = {"authorization": None, **self._headers()}
        timeout: Any = self._patience()
        return InferenceClient(base_url=self.url, api_key="none", headers=headers, timeout=timeout)

    def post(self, path: str, body: Mapping[str, Any]) -> "httpx2.Response":
        """One request, once; `path` such as `completions` follows the base. For use within `persist`."""
        from huggingface_hub import get_session

        allow(self.url)
        address, timeout = self._address(path), self._patience()
        response = get_session().post(address, json=dict(body), headers=self._headers(), timeout=timeout)
        return response.raise_for_status()

    def models(self) -> list[str]:
        """What the server has to offer, adapters included; nothing where it does not say."""
        import httpx2
        from huggingface_hub import get_session

        allow(self.url)
        try:
            response = get_session().get(
                self._address("models"), headers=self._headers(), timeout=CONNECT_SECONDS
            )
            return [str(entry["id"]) for entry in response.json()["data"]]
        except (httpx2.HTTPError, ValueError, LookupError, TypeError):
            return []

    def persist(
        self, send: Callable[[], T], wanted: str, cure: Callable[[], str], final: Collection[int] = ()
    ) -> T:
        """What `send` returns; tried again while it fails in a way that may pass.

        Args:
            send: makes one attempt. It may raise a `Fault`, or what the libraries raise.
            wanted: what an answer that cannot be read was to be.
            cure: what to do about a request that the server refuses for good.
            final: statuses that mean so, beside those that always do.

        Raises:
            Unavailable: no answer after all attempts, or a refusal that no attempt can change.
        """
        attempt = 1
        while True:
            try:
                return self._attempt(send, wanted, final)
            except Fault as caught:
                fault = caught
            # Raised out here, the error has no other one behind it that a display might add to it.
            found = line(self._without_key(fault.found)) + f" (attempt {attempt} of {self.attempts})"
            if not fault.passes or attempt == self.attempts:
                raise Unavailable(f"{self.url}: {found} - {fault.cure or cure()}")
            backoff = min(LONGEST_BACKOFF, FIRST_WAIT * 2 ** (attempt - 1))
            wait = max(fault.after, self._jitter.uniform(0, backoff))
            _log.info("%s: %s; trying again in %.1f s", self.url, found, wait)
            self._sleep(wait)
            attempt += 1

    def _attempt(self, send: Callable[[], T], wanted: str, final: Collection[int]) -> T:
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

        try:
            return send()
        except (InferenceTimeoutError, httpx2.TimeoutException) as error:
            if isinstance(error, httpx2.ConnectTimeout) or isinstance(error.__cause__, httpx2.ConnectTimeout):
                raise Fault("no connection in time", UNREACHED, passes=True) from None
            advice = "is the server up? Raise timeout, or lower max_new_tokens or in_flight"
            raise Fault(f"no answer within {self.timeout:g} s", advice, passes=True) from None
        except httpx2.RequestError as error:
            found = f"no connection: {error or type(error).__name__}"
            raise Fault(found, UNREACHED, passes=True) from None
        except (
            HfHubHTTPError, httpx2.HTTPStatusError, httpx2.InvalidURL,
            ValueError, TypeError, LookupError, AttributeError
        ) as error:  # fmt: skip
            # The last four: huggingface_hub, and we, trip over a body that is not what was asked for.
            refusal = _refusal(error)
            if refusal is None:
                base = f"set url to a base such as {EXAMPLE!r}"
                raise Fault(f"the answer is no {wanted}: {error}", base) from None
            raise self._refused(refusal, final) from None

    def _refused(self, response: "httpx2.Response", final: Collection[int]) -> Fault:
        status = response.status_code
        found = f"status {status}: {_complaint(response.text)}".removesuffix(": ")
        after = _seconds(response.headers.get("retry-after", ""))
        if status in (401, 403):
            return Fault(found, f"put a key that this server takes into {self.api_key_env}")
        if after > LONGEST_RETRY_AFTER:
            return Fault(f"asks to wait {after:g} s, {found}", "try again later")
        if status not in final and (status in _PASSING or status >= 500):
            advice = "is the server healthy? Try again later, or lower in_flight"
            return Fault(found, advice, passes=True, after=after)
        return Fault(found)

    def _headers(self) -> dict[str, str]:
        # huggingface_hub's own user agent would tell the server about this machine.
        key = self._key()
        return {"user-agent": "expert-arena"} | ({"authorization": f"Bearer {key}"} if key else {})

    def _key(self) -> str:
        key = os.environ.get(self.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"{self.api_key_env} holds characters that no key has: set it anew")
        return key

    def _without_key(self, text: str) -> str:
        key = self._key()
        return text.replace(key, "***") if key else text

    def _patience(self) -> "httpx2.Timeout":
        import httpx2

        return httpx2.Timeout(self.timeout, connect=min(self.timeout, CONNECT_SECONDS))

    def _address(self, path: str) -> str:
        parts = urlsplit(self.url)
        given = parts.path.rstrip("/")
        base = given.removesuffix("/chat/completions")
        if base == given and not given.endswith("/v1"):
            base += "/v1"
        return parts._replace(path=f"{base}/{path}").geturl()


def line(text: str, most: int = 200) -> str:
    """`text` as one short line that no terminal obeys."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= most else f"{flat[:most]}..."


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or not url.startswith(("http://", "https://")) or not parts.hostname:
        raise ConfigError(f"url must be like {EXAMPLE!r}, got {url!r}")
    if parts.username or parts.password:
        raise ConfigError("url holds a user name or password: take it out, and name the key by api_key_env")


def _refusal(error: BaseException | None) -> "httpx2.Response | None":
    from httpx2 import HTTPStatusError

    while error is not None and not isinstance(error, HTTPStatusError):
        error = error.__context__
    return error.response if error is not None else None


def _complaint(body: str) -> str:
    """The message in the body of a refusal, whatever the server wraps it in; a web page says nothing."""
    try:
        found = json.loads(body)
    except ValueError:
        return "" if body.lstrip().startswith("<") else body
    for field in ("error", "message", "detail"):
        found = found.get(field, found) if isinstance(found, dict) else found
    return str(found)


def _seconds(header: str) -> float:
    return float(header) if re.fullmatch(r"\d+(\.\d+)?", header.strip()) else 0.0


_allowed: set[tuple[str, int | None]] = set()
"""Host and port of the endpoints that agents were told to speak to."""


def allow(url: str) -> None:
    """Let huggingface_hub send to the host and port of `url` in offline mode too; the hub stays off."""
    import httpx2
    from huggingface_hub import set_client_factory

    parsed = httpx2.URL(url)
    if not _allowed:
        set_client_factory(_client)
    _allowed.add((parsed.host, parsed.port))


def _client() -> "httpx2.Client":
    import httpx2

    # How many connections there are is bounded by `in_flight`.
    limits = httpx2.Limits(max_connections=None)
    hooks = {"request": [_check]}
    return httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=None, limits=limits)


def _check(request: "httpx2.Request") -> None:
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    if constants.is_offline_mode() and (request.url.host, request.url.port) not in _allowed:
        raise OfflineModeIsEnabled(f"offline mode is on: {request.url.host} is not asked")
