"""A real HTTP server on the loopback that speaks the OpenAI chat format, for tests of what talks to one."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub import close_session

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
        answer = self.server.answer(body)
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
