"""Served: a seat that speaks through a server, and learns with the same checkpoint on this machine.

Prompts go out and replies come back as token ids (`/v1/completions`), so that what is learned from is
what was sampled: no second tokenisation comes between, no chat template of the server, and no text of a
prompt can forge a turn. Written by the documentation and code of vLLM 0.32 (`features/lora.md`,
`entrypoints/openai/completion/protocol.py`, `entrypoints/serve/lora/`); token ids are read in the form
of llama.cpp's server too.
"""

import logging
import secrets
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents.agreement import TOLERANCE, Agreement, Spoken, compare
from agents.base import Call, Prompt
from agents.decoding import Sampling
from agents.dialogue import Reply
from agents.endpoint import Endpoint
from agents.errors import ConfigError, Unavailable
from agents.local import Local
from agents.remote import draft_seed, unserved
from agents.template import split_thinking

TOKEN_ID = "token_id:"
"""How vLLM spells a token in log-probabilities when it is asked for `return_tokens_as_token_ids`."""

FEWEST = 32
"""Fewer tokens than this are not compared: their mean would be chance."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """When sampler and trainer agree, and what happens where they do not.

    Args:
        tolerance: the most that log-probabilities may differ on average, in nats a token, above 0.
        replies: how many replies of each version are compared, at least 0; 0 compares none. They are the
            first ones that together have tokens enough (`FEWEST`).
        failure: `error` or `warn`.
    """

    tolerance: float = TOLERANCE
    replies: int = 4
    failure: str = "error"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.tolerance <= 0 or self.replies < 0 or self.failure not in ("error", "warn"):
            raise ConfigError(
                f"a check needs tolerance > 0, replies >= 0 and failure error or warn, got {self}"
            )


class Adapters:
    """Puts the versions of one seat's adapter on the server, one at a time.

    Args:
        endpoint: the server.
        folder: where adapters are written; the server reads them there. Default: a temporary folder.
    """

    def __init__(self, endpoint: Endpoint, folder: str = "") -> None:
        """Nothing is written yet."""
        self.endpoint, self._folder = endpoint, folder
        self.loaded = ""
        """The name that the server has for the newest version, `""` before the first."""
        self._version = ""
        # Servers keep what was read under a name: a name must never come back with other weights.
        self._run = secrets.token_hex(3)

    def publish(self, version: str, save: Callable[[Path], object]) -> str:
        """The name on the server of `version`; where it is not there yet, it takes the last one's place.

        Args:
            version: `seat@updates`.
            save: writes the adapter to a folder as PEFT does.

        Raises:
            Unavailable: the server cannot load adapters while it runs, or not this one.
        """
        if version == self._version:
            return self.loaded
        name = f"{version}-{self._run}"
        folder = self._root() / name
        save(folder)
        self._load(name, folder)
        if self.loaded:
            self._unload(self.loaded)
        self.loaded, self._version = name, version
        return name

    def _root(self) -> Path:
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="expert-arena-")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return Path(self._folder).expanduser().resolve()

    def _load(self, name: str, folder: Path) -> None:
        body = {"lora_name": name, "lora_path": str(folder)}
        advice = (
            "start the server so that it takes adapters while it runs (vLLM: --enable-lora, --max-lora-rank "
            "not below the learner's rank, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment) and let "
            "it read the folder `adapters`; or take this seat out of `learners`"
        )
        # A rank that is too high, or adapters that are switched off, are a status of 500 in vLLM.
        self.endpoint.persist(
            lambda: self.endpoint.post("load_lora_adapter", body), "adapter", lambda: advice, final=[500]
        )

    def _unload(self, name: str) -> None:
        import httpx2

        try:
            self.endpoint.post("unload_lora_adapter", {"lora_name": name})
        except httpx2.HTTPError as error:
            # A server that has dropped it already for want of room says so; nobody will name it again.
            _log.info("%s: %s is not unloaded: %s", self.endpoint.url, name, error)
        shutil.rmtree(self._root() / name, ignore_errors=True)


class Served(Local):
    """Replies come from a server; what learns, and judges by probabilities, are the weights here.

    After an update the adapter is saved, loaded into the server under a new name `seat@updates-...`, and
    spoken with from then on; the one before is unloaded. `fixed()` speaks as the bare model. The first
    replies of every version are compared with the weights here (`agents.agreement`). Made by `Served.of`.
    """

    endpoint: Endpoint
    model: str
    adapters: Adapters
    check: Check
    decoding: Sampling
    agreement: Agreement | None
    """The last comparison; None before the first."""
    _compared: set[str]

    @classmethod
    def of(
        cls,
        local: Local,
        url: str,
        model: str,
        adapters: str = "",
        check: Check | None = None,
        api_key_env: str = "ARENA_API_KEY",
        timeout: float = 120.0,
        attempts: int = 4,
        in_flight: int = 32,
        sleep: Callable[[float], object] = time.sleep,
    ) -> "Served":
        """The seat of `local`, spoken for by a server. Touches neither the network nor the disk.

        Args:
            local: the same checkpoint on this machine, with persona, limits and sampling.
            url: the endpoint's base, such as `http://127.0.0.1:8000/v1`.
            model: the bare model's name as the server lists it at `/v1/models`.
            adapters: a folder that the server can read under the same path; default: a temporary one.
            check: how sampler and trainer are compared.
            api_key_env: the environment variable that holds the key; unset, no key is sent.
            timeout: seconds of silence after which a request has failed.
            attempts: requests per reply before giving up, at least 1.
            in_flight: the most requests at a time, at least 1.
            sleep: waits some seconds between two attempts.
        """
        if not isinstance(local.decoding, Sampling):
            raise ConfigError(
                f"a server cannot decode by {type(local.decoding).__name__}: take agents.decoding.Sampling"
            )
        # The policy of a model family is its class, so the seat is of that class too.
        kind: Any = type(f"Served{type(local).__name__}", (cls, type(local)), {})
        seat: Served = kind.__new__(kind)
        seat.__dict__.update(local.__dict__)
        seat.endpoint = Endpoint(url, api_key_env, timeout, attempts, in_flight, sleep)
        seat.model, seat.adapters = model, Adapters(seat.endpoint, adapters)
        seat.check, seat.agreement, seat._compared = check or Check(), None, set()
        return seat

    @property
    def company(self) -> Hashable:
        """Agents at the same server."""
        return "served", self.endpoint.url

    def reply_calls(self, calls: Sequence[Call]) -> list[list[list[Reply]]]:
        """Replies of several seats at this server, at most `in_flight` requests at a time.

        Raises:
            Unavailable: no answer after all attempts, a refusal, or a server with other weights.
        """
        asked = [(call.agent, call) for call in calls if isinstance(call.agent, Served)]
        jobs = [job for seat, call in asked for job in seat._jobs(call)]
        spoken = iter(self.endpoint.spread(lambda job: job(), jobs))
        return [seat._heard(call, spoken) for seat, call in asked]

    def _jobs(self, call: Call) -> Iterator[Callable[[], Spoken]]:
        model = self.model
        if self.adapter:
            backbone = self.backbone
            model = self.adapters.publish(
                self.version, lambda folder: backbone.save_adapter(self.adapter, folder)
            )
        limit = call.max_new_tokens or self.max_new_tokens
        for prompt, seed in zip(call.prompts, call.seeds or range(len(call.prompts)), strict=True):
            ids = self.prompt_ids(prompt)
            for draft in range(call.n):
                yield partial(self.continued, model, ids, draft_seed(seed, draft), limit)

    def _heard(self, call: Call, spoken: Iterator[Spoken]) -> list[list[Reply]]:
        drafts = [[next(spoken) for _ in range(call.n)] for _ in call.prompts]
        if self.version not in self._compared:
            firsts = list(zip(call.prompts, (row[0] for row in drafts), strict=True))
            self._compare(firsts[: self.check.replies])
        return [[said.reply for said in row] for row in drafts]

    def _compare(self, chosen: Sequence[tuple[Prompt, Spoken]]) -> None:
        who = f"{self.endpoint.url}: {self.version or self.model}"
        if chosen and not self._compared and not any(said.logps for _, said in chosen):
            _log.warning("%s gives no token ids with their log-probabilities: nothing is compared", who)
            self._compared.add(self.version)
        if sum(len(said.logps) for _, said in chosen) < FEWEST:
            return
        self._compared.add(self.version)
        self.agreement = compare(self, [prompt for prompt, _ in chosen], [said for _, said in chosen])
        if self.agreement.mean <= self.check.tolerance:
            _log.info("%s speaks with the weights here: %s", who, self.agreement)
            return
        found = (
            f"{who} does not speak with the weights here: {self.agreement}, allowed are "
            f"{self.check.tolerance:g} - serve the same checkpoint in a like precision and with raw "
            "log-probabilities (vLLM: --logprobs-mode raw_logprobs); or raise check.tolerance, or take "
            "check.failure=warn"
        )
        if self.check.failure == "error":
            raise Unavailable(found)
        _log.warning("%s", found)

    def continued(self, model: str, ids: Sequence[int], seed: int, limit: int) -> Spoken:
        """What `model` goes on to say after the tokens `ids`, of at most `limit` tokens."""
        request = {
            "model": model,
            "prompt": list(ids),
            "max_tokens": limit,
            "seed": seed,
            "temperature": self.decoding.temperature,
            "top_p": self.decoding.top_p,
            "min_p": self.decoding.min_p,
            # A server would else sample as the checkpoint's generation_config.json says.
            "top_k": -1,
            "repetition_penalty": 1.0,
            "stop_token_ids": sorted(self.ends),
            "logprobs": 1,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "stream": False,
        }
        return self.endpoint.persist(
            lambda: _read(self.endpoint.post("completions", request).json(), len(ids)),
            "completion",
            lambda: f"{unserved(self.endpoint, model)}; one that takes no token ids is for agent=remote",
        )


def _read(body: Mapping[str, Any], tokens_in: int) -> Spoken:
    """A completion in the form of vLLM or llama.cpp; token ids and log-probabilities where it has them."""
    if not body.get("choices"):
        raise ValueError(body.get("error") or "it has no choices")
    choice = body["choices"][0]
    logprobs = choice.get("logprobs") or {}
    content = logprobs.get("content") or []
    spelled = [str(token) for token in logprobs.get("tokens") or ()]
    ids = choice.get("token_ids") or [entry["id"] for entry in content if "id" in entry]
    if not ids and all(token.startswith(TOKEN_ID) for token in spelled):
        ids = [int(token.removeprefix(TOKEN_ID)) for token in spelled]
    logps = logprobs.get("token_logprobs") or [entry["logprob"] for entry in content]
    said, thought = split_thinking(choice["text"])
    finish = "length" if choice.get("finish_reason") == "length" else "stop"
    reply = Reply(said, finish, tuple(int(token) for token in ids), tokens_in, thought)
    return Spoken(reply, tuple(float(logp) for logp in logps) if len(logps) == len(ids) else ())
