"""Replies that were paid for: a folder of them by content, so that no request is sent twice.

One JSON file per request, named by the SHA-256 of all that the reply depends on. It holds the request too,
so that it can be read, and checked, by itself:

    {"schema": "arena.reply/1",
     "request": {"messages": [{"role": "user", "content": "hi"}], "model": "m", "revision": "",
                 "temperature": 0.0, "top_p": 1.0, "max_tokens": 256, "seed": 7},
     "reply": {"text": "hello", "finish": "stop", "ids": [], "tokens_in": 9, "thinking": ""}}

Several processes and threads may share a folder: a file appears whole or not at all.
"""

import hashlib
import json
import logging
import os
import secrets
import threading
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.dialogue import Message, Reply
from agents.errors import ConfigError
from agents.weights import cache_folder

SCHEMA = "arena.reply/1"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """All that a reply depends on. Not where the model is served, and with which key."""

    messages: tuple[Message, ...]
    model: str
    revision: str
    """Of the weights behind that name, `""` where nobody says; no server is sent it."""
    temperature: float
    top_p: float
    max_tokens: int
    seed: int

    @property
    def record(self) -> dict[str, Any]:
        """This request as JSON has it; settings that are equal numbers are written equally."""
        return {
            **vars(self),
            "messages": [dict(message) for message in self.messages],
            "temperature": float(self.temperature),
            "top_p": float(self.top_p),
        }

    @property
    def key(self) -> str:
        """64 hexadecimal digits: the SHA-256 of the record in canonical form (sorted keys, no spaces)."""
        canonical = json.dumps(self.record, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


class Replies:
    """Keeps replies by request. Constructing one touches neither the disk nor the environment.

    Args:
        folder: where they lie; `~` and environment variables are expanded. `auto`: `replies` below the
            project's cache folder (`agents.weights.cache_folder`).
    """

    def __init__(self, folder: str = "auto") -> None:
        """Take the folder; nothing is read or made."""
        self._given = folder
        self._warned: set[str] = set()
        self._warning = threading.Lock()

    @cached_property
    def folder(self) -> Path:
        """The folder on this machine.

        Raises:
            ConfigError: its name has an environment variable that is not set.
        """
        if self._given == "auto":
            return cache_folder() / "replies"
        folder = os.path.expandvars(self._given)
        if "$" in folder:
            raise ConfigError(
                f"cache names an environment variable that is not set, got {self._given!r}: set it, or give "
                "a folder, 'auto' (the cache folder of the project) or '' (none)"
            )
        return Path(os.path.expanduser(folder))

    def path(self, request: Request) -> Path:
        """Where the reply to `request` lies, or would; in 256 folders, for those slow with many files."""
        return self.folder / request.key[:2] / f"{request.key}.json"

    def get(self, request: Request) -> Reply | None:
        """The reply to `request`; None where there is none, or none that can be read."""
        path = self.path(request)
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            self._warn("%s cannot be read and is asked for again: %s", path, error)
            return None
        match found:
            case {
                "schema": schema,
                "request": asked,
                "reply": {
                    "text": str(text),
                    "finish": str(finish),
                    "ids": list(ids),
                    "tokens_in": int(tokens_in),
                    "thinking": str(thinking),
                },
            } if (schema, asked) == (SCHEMA, request.record):
                return Reply(text, finish, tuple(ids), tokens_in, thinking)
        self._warn("%s holds no reply to its request, which is asked for again", path)
        return None

    def put(self, request: Request, reply: Reply) -> None:
        """Keep `reply`. Where the disk does not take it, that is said: whoever has the reply goes on."""
        path = self.path(request)
        scratch = path.with_name(f".{path.stem}.{secrets.token_hex(8)}")
        record = {"schema": SCHEMA, "request": request.record, "reply": asdict(reply)}
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        # Half a surrogate pair, which UTF-8 does not know, becomes the escape that JSON has for it.
        data = text.encode(errors="backslashreplace")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with scratch.open("xb") as file:
                    file.write(data)
                    file.flush()
                    # A file system on the network may say only here that it is full.
                    os.fsync(file.fileno())
                os.replace(scratch, path)
            finally:
                scratch.unlink(missing_ok=True)
        except OSError as error:
            self._warn(
                "%s: replies are not kept (%s), another run will ask for them again: make room, or set cache",
                self.folder, error,
            )  # fmt: skip

    def _warn(self, text: str, *details: object) -> None:
        """Warn of each kind of trouble once: thousands of replies may meet it."""
        with self._warning:
            level = logging.INFO if text in self._warned else logging.WARNING
            self._warned.add(text)
        _log.log(level, text, *details)
