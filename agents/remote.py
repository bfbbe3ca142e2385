"""Remote: a seat behind an OpenAI-compatible chat endpoint (vLLM, llama.cpp, Ollama, transformers serve)."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agents.base import Agent, Prompt
from agents.dialogue import Reply
from agents.endpoint import EXAMPLE, Endpoint, Fault, line
from agents.errors import Unavailable
from agents.replies import Replies, Request
from agents.template import conform, split_thinking

if TYPE_CHECKING:
    from huggingface_hub import ChatCompletionOutput, InferenceClient


class Remote(Agent):
    """Speaks through a server. Constructing one touches neither the network nor the environment.

    Each draft is a request of its own, with a seed of its own; how far a server keeps to a seed is
    the server's affair. Its thinking goes to `Reply.thinking`. Token ids stay unknown: a seat that
    learns is `agents.served.Served`.

    With a `cache`, a reply is kept as soon as it is there, and no request is sent that has a reply in it:
    a run that was killed, or is made again, pays only for what is missing.

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
        cache: the folder of replies (`agents.replies`); `auto` lies below the cache folder, `""` keeps none.
        revision: of the weights behind `model`. Another revision has no replies in the cache yet: change it
            when the server changes its weights.
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
        cache: str = "",
        revision: str = "",
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Take the settings; nothing is sent."""
        super().__init__(system, max_new_tokens)
        self.endpoint = Endpoint(url, api_key_env, timeout, attempts, in_flight, sleep)
        self.model = model
        self.temperature = temperature
        self.top_p = top_p
        self.revision = revision
        self.replies = Replies(cache) if cache else None
        self.sent = 0
        """How many replies came from the server rather than from the cache."""
        self._counting = threading.Lock()

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
        requests = self._requests(prompts, n, seeds, max_new_tokens)
        client = self.endpoint.client()
        replies = self.endpoint.spread(lambda request: self._answer(client, request), requests)
        return [replies[i * n : (i + 1) * n] for i in range(len(prompts))]

    def outcomes(
        self,
        prompts: Sequence[Prompt],
        *,
        seeds: Sequence[int] = (),
        max_new_tokens: int = 0,
        patience: int = 0,
    ) -> list[Reply | Unavailable]:
        """One reply to each prompt, or the error of its own request; what is in the cache never fails."""
        client = self.endpoint.client()
        failures: list[Unavailable] = []

        def proceed() -> None:
            if (last := failures[-1:]) and 0 < patience <= len(failures):
                raise Unavailable(str(last[0]))

        def outcome(request: Request) -> Reply | Unavailable:
            try:
                reply = self._answer(client, request, proceed)
                failures.clear()
                return reply
            except Unavailable as error:
                failures.append(error)
                return error

        return self.endpoint.spread(outcome, self._requests(prompts, 1, seeds, max_new_tokens))

    def _requests(
        self, prompts: Sequence[Prompt], n: int, seeds: Sequence[int], max_new_tokens: int
    ) -> list[Request]:
        return [
            Request(
                messages=tuple(conform(prompt, folds_system=False)),
                model=self.model,
                revision=self.revision,
                temperature=self.temperature,
                top_p=self.top_p,
                max_tokens=max_new_tokens or self.max_new_tokens,
                seed=draft_seed(seed, draft),
            )
            for prompt, seed in zip(prompts, seeds or range(len(prompts)), strict=True)
            for draft in range(n)
        ]

    def _answer(
        self, client: "InferenceClient", request: Request, proceed: Callable[[], object] = lambda: None
    ) -> Reply:
        """The reply in the cache, else the server's. `proceed` may raise before each attempt to have it."""
        known = self.replies.get(request) if self.replies else None
        if known is not None:
            return known

        def send() -> Reply:
            proceed()
            completion = client.chat_completion(
                [dict(message) for message in request.messages],
                model=request.model,
                max_tokens=request.max_tokens,
                temperature=request.temperature,
                top_p=request.top_p,
                seed=request.seed,
            )
            return _read(completion)

        reply = self.endpoint.persist(send, "chat completion", lambda: unserved(self.endpoint, self.model))
        if self.replies:
            self.replies.put(request, reply)
        with self._counting:
            self.sent += 1
        return reply


def unserved(endpoint: Endpoint, model: str) -> str:
    """What to do about a request that `endpoint` refuses, with the models that it has instead of `model`."""
    names = endpoint.models()
    listed = "" if model in names else ", ".join(repr(line(name)) for name in names[:20])
    return "check url, model and the length of the prompts" + (f"; the server has {listed}" if listed else "")


def draft_seed(seed: int, draft: int) -> int:
    """The seed, below 2**31, of draft number `draft` of a prompt whose seed is `seed`.

    >>> draft_seed(7, 0) == draft_seed(7, 0) != draft_seed(7, 1)
    True
    """
    digest = hashlib.sha256(f"{seed}/{draft}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


def _read(completion: "ChatCompletionOutput") -> Reply:
    choice = completion.choices[0] if completion.choices and isinstance(completion.choices, list) else None
    # By attribute: huggingface_hub drops the fields it does not know from the items.
    message = getattr(choice, "message", None)
    if choice is None or not isinstance(message, dict):
        raise _no_completion(str(completion.get("error") or "it has no choices"))
    content = message.get("content") or ""
    aside = message.get("reasoning_content") or message.get("reasoning") or ""
    if not (isinstance(content, str) and isinstance(aside, str)):
        raise _no_completion(f"its content is of type {type(content).__name__}")
    said, thought = split_thinking(content)
    used = getattr(completion.usage, "prompt_tokens", 0)
    return Reply(
        said,
        finish="length" if choice.finish_reason == "length" else "stop",
        tokens_in=used if isinstance(used, int) else 0,
        thinking="\n".join(part for part in (aside.strip(), thought) if part),
    )


def _no_completion(found: str) -> Fault:
    return Fault(f"the answer is no chat completion: {found}", f"set url to a base such as {EXAMPLE!r}")
