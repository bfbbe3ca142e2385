"""The llama.cpp server of the package xllamacpp, started like llama-server.

python -m arena.benchmark.llama_server -m FILE --host HOST --port PORT -np SLOTS -c TOKENS -t N -tb N
"""

import argparse
import importlib
import signal
from typing import Any


def main() -> None:
    """Serve until a signal comes."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parser = argparse.ArgumentParser(description="The llama.cpp server of the package xllamacpp.")
    parser.add_argument("-m", required=True, help="a GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    for name in ("--port", "-np", "-c", "-t", "-tb"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args()
    settings: Any = xllamacpp.CommonParams()
    settings.model.path, settings.hostnames, settings.port = given.m, [given.host], given.port
    settings.n_parallel, settings.n_ctx = given.np, given.c
    settings.cpuparams.n_threads, settings.cpuparams_batch.n_threads = given.t, given.tb
    server = xllamacpp.Server(settings)
    print(f"listening on {server.listening_address}", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
