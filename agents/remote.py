"""Remote: a seat behind an OpenAI-compatible chat endpoint (vLLM, llama.cpp, Ollama, transformers serve)."""

import hashlib
import json
import logging
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agents.base import Agent, Prompt
from agents.dialogue import Reply
from agents.endpoint import allow
from agents.errors import ConfigError, Unavailable
from agents.human import printable
from agents.template import conform, split_thinking

if TYPE_CHECKING:
    from httpx2 import Response
    from huggingface_hub import ChatCompletionOutput, InferenceClient

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


@dataclass(frozen=True)
class _Fault:
    """Why a request brought no reply."""

    found: str
    cure: str
    passes: bool = False
    """Whether another attempt may succeed."""
    after: float = 0.0
    """Seconds that the server asks to wait."""


class Remote(Agent):
    """Speaks through a server. Constructing one touches neither the network nor the environment.

    Each draft is a request of its own, with a seed of its own; how far a server keeps to a seed is
    the server's affair. Its thinking goes to `Reply.thinking`. Token ids stay unknown.

    Args:
        url: the endpoint's base, such as `http://127.0.0.1:8000/v1`.
        model: the model's name as the server lists it at `/v1/models`.
        system: the persona.
        max_new_tokens: the most tokens of one reply, thinking included.
        temperature: 0 takes the most likely token.
        top_p: the share of the probability to sample from, in (0, 1].
        api_key_env: the environment variable that holds the key; unset, no key is sent.
        timeout: seconds of silence after which a request has failed.
        attempts: requests per reply before giving up, at least 1.
        in_flight: the most requests at a time, at least 1.
        sleep: waits some seconds between two attempts.
    """

    def __init__(
        self,
        url: str,
        model: str,
        system: str = "",
        max_new_tokens: int = 256,
        temperature: float = 0.8,
        top_p: float = 1.0,
        api_key_env: str = "ARENA_API_KEY",
        timeout: float = 120.0,
        attempts: int = 4,
        in_flight: int = 8,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Take the settings; nothing is sent."""
        super().__init__(system, max_new_tokens)
        _check_url(url)
        for setting, value in (("timeout", timeout), ("attempts", attempts), ("in_flight", in_flight)):
            if value <= 0:
                raise ConfigError(f"{setting} must be above 0, got {value!r}")
        self.url = url
        self.model = model
        self.temperature = temperature
        self.top_p = top_p
        self.api_key_env = api_key_env
        self.timeout = timeout
        self.attempts = attempts
        self.in_flight = in_flight
        self._sleep = sleep
        # A generator of its own: waiting must not advance the random numbers of a run.
        self._jitter = random.Random()

    @property
    def name(self) -> str:
        """The model's name at the endpoint."""
        return self.model

    def reply(
        self, prompts: Sequence[Prompt], n: int = 1, *, seeds: Sequence[int] = (), max_new_tokens: int = 0
    ) -> list[list[Reply]]:
        """`n` replies to each prompt, at most `in_flight` at a time.

        Raises:
            Unavailable: no answer after all attempts, or a refusal that no attempt can change.
        """
        limit = max_new_tokens or self.max_new_tokens
        jobs = [
            (prompt, draft_seed(seed, draft))
            for prompt, seed in zip(prompts, seeds or range(len(prompts)), strict=True)
            for draft in range(n)
        ]
        client = self._client()
        with ThreadPoolExecutor(self.in_flight) as pool:
            replies = list(pool.map(lambda job: self._persist(client, job[0], job[1], limit), jobs))
        return [replies[i * n : (i + 1) * n] for i in range(len(prompts))]

    def _client(self) -> "InferenceClient":
        import httpx2
        from huggingface_hub import InferenceClient

        # Without a key of ours the client would send the user's Hub token to this server, and perhaps
        # call the Hub to renew it: hence a stand-in for the key, and a header of None, which is not sent.
        allow(self.url)
        headers: dict[str, Any] = {"authorization": None, **self._headers()}
        timeout: Any = httpx2.Timeout(self.timeout, connect=min(self.timeout, CONNECT_SECONDS))
        return InferenceClient(base_url=self.url, api_key="none", headers=headers, timeout=timeout)

    def _headers(self) -> dict[str, str]:
        # huggingface_hub's own user agent would tell the server about this machine.
        key = self._key()
        return {"user-agent": "expert-arena"} | ({"authorization": f"Bearer {key}"} if key else {})

    def _key(self) -> str:
        key = os.environ.get(self.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"{self.api_key_env} holds characters that no key has: set it anew")
        return key

    def _persist(self, client: "InferenceClient", prompt: Prompt, seed: int, limit: int) -> Reply:
        attempt = 1
        while isinstance(outcome := self._attempt(client, prompt, seed, limit), _Fault):
            found = _line(self._without_key(outcome.found)) + f" (attempt {attempt} of {self.attempts})"
            if not outcome.passes or attempt == self.attempts:
                raise Unavailable(f"{self.url}: {found} - {outcome.cure}")
            backoff = min(LONGEST_BACKOFF, FIRST_WAIT * 2 ** (attempt - 1))
            wait = max(outcome.after, self._jitter.uniform(0, backoff))
            _log.info("%s: %s; trying again in %.1f s", self.url, found, wait)
            self._sleep(wait)
            attempt += 1
        return outcome

    def _attempt(self, client: "InferenceClient", prompt: Prompt, seed: int, limit: int) -> Reply | _Fault:
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError

        conformed = conform(prompt, folds_system=False)
        try:
            completion = client.chat_completion(
                [dict(message) for message in conformed],
                model=self.model,
                max_tokens=limit,
                temperature=self.temperature,
                top_p=self.top_p,
                seed=seed,
            )
        except InferenceTimeoutError as error:
            if isinstance(error.__cause__, httpx2.ConnectTimeout):
                return _Fault("no connection in time", UNREACHED, passes=True)
            cure = "is the server up? Raise timeout, or lower max_new_tokens or in_flight"
            return _Fault(f"no answer within {self.timeout:g} s", cure, passes=True)
        except httpx2.RequestError as error:
            return _Fault(f"no connection: {error or type(error).__name__}", UNREACHED, passes=True)
        except (HfHubHTTPError, httpx2.InvalidURL, ValueError, TypeError, AttributeError) as error:
            # The last three: huggingface_hub trips over a body that is not a JSON object.
            refusal = _refusal(error)
            return self._refused(refusal) if refusal is not None else _no_completion(str(error))
        return _read(completion)

    def _refused(self, response: "Response") -> _Fault:
        status = response.status_code
        found = f"status {status}: {_complaint(response.text)}".removesuffix(": ")
        after = _seconds(response.headers.get("retry-after", ""))
        if status in (401, 403):
            return _Fault(found, f"put a key that this server takes into {self.api_key_env}")
        if after > LONGEST_RETRY_AFTER:
            return _Fault(f"asks to wait {after:g} s, {found}", "try again later")
        if status in _PASSING or status >= 500:
            cure = "is the server healthy? Try again later, or lower in_flight"
            return _Fault(found, cure, passes=True, after=after)
        return _Fault(found, f"check url, model and the length of the prompts{self._listing()}")

    def _without_key(self, text: str) -> str:
        key = self._key()
        return text.replace(key, "***") if key else text

    def _listing(self) -> str:
        """The models that the server has, in words; nothing where it has ours or lists none."""
        import httpx2
        from huggingface_hub import get_session

        parts = urlsplit(self.url)
        path = parts.path.rstrip("/")
        base = path.removesuffix("/chat/completions")
        if base == path and not path.endswith("/v1"):
            base += "/v1"
        address = parts._replace(path=f"{base}/models").geturl()
        try:
            body = get_session().get(address, headers=self._headers(), timeout=CONNECT_SECONDS).json()
            names = [_line(str(entry["id"])) for entry in body["data"]]
        except (httpx2.HTTPError, ValueError, LookupError, TypeError):
            return ""
        return "" if self.model in names else f"; the server has {', '.join(map(repr, names[:20]))}"


def draft_seed(seed: int, draft: int) -> int:
    """The seed, below 2**31, of draft number `draft` of a prompt whose seed is `seed`.

    >>> draft_seed(7, 0) == draft_seed(7, 0) != draft_seed(7, 1)
    True
    """
    digest = hashlib.sha256(f"{seed}/{draft}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


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


def _read(completion: "ChatCompletionOutput") -> Reply | _Fault:
    choice = completion.choices[0] if completion.choices and isinstance(completion.choices, list) else None
    # By attribute: huggingface_hub drops the fields it does not know from the items.
    message = getattr(choice, "message", None)
    if choice is None or not isinstance(message, dict):
        return _no_completion(str(completion.get("error") or "it has no choices"))
    content = message.get("content") or ""
    aside = message.get("reasoning_content") or message.get("reasoning") or ""
    if not (isinstance(content, str) and isinstance(aside, str)):
        return _no_completion(f"its content is of type {type(content).__name__}")
    said, thought = split_thinking(content)
    used = getattr(completion.usage, "prompt_tokens", 0)
    return Reply(
        said,
        finish="length" if choice.finish_reason == "length" else "stop",
        tokens_in=used if isinstance(used, int) else 0,
        thinking="\n".join(part for part in (aside.strip(), thought) if part),
    )


def _no_completion(found: str) -> _Fault:
    return _Fault(f"the answer is no chat completion: {found}", f"set url to a base such as {EXAMPLE!r}")


def _refusal(error: BaseException | None) -> "Response | None":
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


def _line(text: str, most: int = 200) -> str:
    """`text` as one short line that no terminal obeys."""
    line = " ".join(printable(text).split())
    return line if len(line) <= most else f"{line[:most]}..."


def _seconds(header: str) -> float:
    return float(header) if re.fullmatch(r"\d+(\.\d+)?", header.strip()) else 0.0
