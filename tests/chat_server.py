"""A real HTTP server on the loopback that speaks the OpenAI format, for tests of what talks to one."""

import http.server
import json
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from huggingface_hub import close_session

from agents.base import Agent
from agents.dialogue import Reply
from agents.remote import Remote

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
"""Status, body (bytes, or what to send as JSON), headers."""


class Endpoint(http.server.ThreadingHTTPServer):
    """Speaks the OpenAI chat format: answers by `answer(body)`, and remembers what it was asked."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        """Listen on a free port of the loopback."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.answer: Callable[[dict[str, Any]], Answer] = lambda body: completion("hello")
        self.models = ["tiny", "tinier"]
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.routes: dict[str, Callable[[dict[str, Any]], Answer]] = {}
        """Paths below the base that are answered in their own way, such as `completions`."""
        self.closing = threading.Event()
        self.waits: list[float] = []

    def seat(self, **settings: Any) -> Remote:
        """An agent that speaks from here, and writes down its waits instead of waiting."""
        return Remote(**{"url": self.url, "model": "tiny", "sleep": self.waits.append} | settings)

    def in_turn(self, *answers: Answer) -> None:
        """Give these answers to the next requests, the last one for ever."""
        self.answer = lambda body: answers[min(len(self.asked), len(answers)) - 1]


class Handler(http.server.BaseHTTPRequestHandler):
    """One request to the `Endpoint`."""

    server: Endpoint

    def do_GET(self) -> None:
        """List the models."""
        self._send(200, {"data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        """Complete a chat."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.paths.append(self.path)
        route = self.server.routes.get(self.path.removeprefix("/v1/"), self.server.answer)
        answer = route(body)
        if not self.server.closing.is_set():
            self._send(*answer)

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def completion(content: str | None, finish: str = "stop", **extra: Any) -> Answer:
    """A chat completion as servers send it; `extra` goes into the message."""
    message = {"role": "assistant", "content": content, **extra}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    return 200, {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


UNKNOWN_PATH = (404, {"detail": "Not Found"})
"""What vLLM answers to a path that it has no route for, as for adapters without leave to load any."""


class Weights:
    """A checkpoint as vLLM serves one: completions of token ids, and adapters that are loaded by name.

    It is run by transformers and PEFT alone, so that it can bear witness to what this project computes.

    Args:
        folder: a checkpoint.
        model: its name at the endpoint.
    """

    def __init__(self, folder: Path, model: str = "tiny") -> None:
        """Load the checkpoint in fp32."""
        import torch
        import transformers

        self.name, self.folder = model, folder
        self.model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        self.adapters: dict[str, str] = {}
        """Name of each adapter that is loaded, and where it was read."""
        self.loads: list[str] = []
        """Names in the order in which they were loaded."""
        self._lock = threading.Lock()

    def behind(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint`, which now speaks with these weights; what it has no route for is not found."""
        endpoint.answer = lambda body: UNKNOWN_PATH
        endpoint.routes = {
            "completions": self.complete,
            "load_lora_adapter": self.load,
            "unload_lora_adapter": self.unload,
        }
        endpoint.models = [self.name]
        return endpoint

    def load(self, body: dict[str, Any]) -> Answer:
        """Read an adapter from the folder that a request names."""
        name, path = body["lora_name"], body["lora_path"]
        if not (Path(path) / "adapter_config.json").is_file():
            return _error(404, f"Loading lora {name} failed: No adapter found for {path}")
        if name in self.adapters:
            return _error(400, f"The lora adapter '{name}' has already been loaded.")
        import peft

        with self._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.loads:
                self.model.load_adapter(path, adapter_name=name)
            else:
                self.model = peft.PeftModel.from_pretrained(self.model, path, adapter_name=name)
        self.adapters[name] = path
        self.loads.append(name)
        return 200, f"Success: LoRA adapter '{name}' added successfully.".encode()

    def unload(self, body: dict[str, Any]) -> Answer:
        """Forget an adapter."""
        if self.adapters.pop(body["lora_name"], None) is None:
            return _error(404, f"The lora adapter '{body['lora_name']}' cannot be found.")
        return 200, b"Success"

    def complete(self, body: dict[str, Any]) -> Answer:
        """Continue token ids, with the log-probability of each new token before temperature."""
        if body["model"] not in {self.name, *self.adapters}:
            return _error(404, f"The model `{body['model']}` does not exist.")
        import torch

        with self._lock, torch.no_grad():
            ids, logps = self._continue(body)
        finish = "stop" if ids[-1] in body["stop_token_ids"] else "length"
        choice = {
            "index": 0,
            "text": self.tokenizer.decode(ids, skip_special_tokens=True),
            "finish_reason": finish,
            "token_ids": ids,
            "logprobs": {"tokens": [f"token_id:{token}" for token in ids], "token_logprobs": logps},
        }
        return 200, {"choices": [choice]}

    def _continue(self, body: dict[str, Any]) -> tuple[list[int], list[float]]:
        import torch

        adapter = body["model"] if body["model"] in self.adapters else ""
        draw = torch.Generator().manual_seed(body["seed"])
        ids: list[int] = []
        logps: list[float] = []
        while len(ids) < body["max_tokens"] and not (ids and ids[-1] in body["stop_token_ids"]):
            logits = self._logits(adapter, [*body["prompt"], *ids])
            if body["temperature"]:
                probs = torch.softmax(logits / body["temperature"], -1)
                token = int(torch.multinomial(probs, 1, generator=draw))
            else:
                token = int(logits.argmax())
            ids.append(token)
            logps.append(float(logits.log_softmax(-1)[token]))
        return ids, logps

    def _logits(self, adapter: str, ids: list[int]) -> Any:
        """(vocabulary,) of the next token."""
        import torch

        if adapter:
            self.model.set_adapter(adapter)
        bare = self.model.disable_adapter() if self.loads and not adapter else nullcontext()
        with bare:
            return self.model(torch.tensor([ids]), use_cache=False).logits[0, -1]


def _error(status: int, message: str) -> Answer:
    return status, {"error": {"message": message, "code": status}}


@contextmanager
def serve() -> Iterator[Endpoint]:
    """An `Endpoint` that runs until the block ends; no connection of the client outlives it."""
    close_session()
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        close_session()
        server.shutdown()
        server.server_close()
        thread.join()


class Chats:
    """Chat completions by one of our agents, for an `Endpoint`; requests that wait are answered in one batch.

    Args:
        agent: who speaks.
    """

    def __init__(self, agent: Agent) -> None:
        """Start the thread that speaks."""
        self.agent = agent
        self.batches: list[int] = []
        """How many requests were answered at a time."""
        self._waiting: queue.Queue[tuple[dict[str, Any], Future[Reply]]] = queue.Queue()
        threading.Thread(target=self._speak, daemon=True).start()

    def __call__(self, body: dict[str, Any]) -> Answer:
        """Wait for the reply to one request."""
        place: Future[Reply] = Future()
        self._waiting.put((body, place))
        reply = place.result()
        return completion(reply.text, reply.finish)

    def _speak(self) -> None:
        while True:
            jobs = [self._waiting.get()]
            time.sleep(0.05)
            while not self._waiting.empty():
                jobs.append(self._waiting.get())
            self.batches.append(len(jobs))
            for limit in {body["max_tokens"] for body, _ in jobs}:
                own = [job for job in jobs if job[0]["max_tokens"] == limit]
                prompts = [body["messages"] for body, _ in own]
                seeds = [body["seed"] for body, _ in own]
                replies = self.agent.reply(prompts, 1, seeds=seeds, max_new_tokens=limit)
                for (_, place), [reply] in zip(own, replies, strict=True):
                    place.set_result(reply)
