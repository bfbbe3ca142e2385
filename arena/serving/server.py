"""Server: uvicorn on a socket of its own, from the first request to the last."""

import asyncio
import errno
import ipaddress
import logging
import math
import socket
import sys
from collections.abc import Callable

import uvicorn

from agents.errors import ConfigError, Unavailable
from agents.human import printable
from arena.serving.web import Service

BACKLOG = 2048
"""Connections that may wait to be accepted."""
GRACE = 5
"""Seconds beyond a request's timeout that the last replies may take."""


class Server(uvicorn.Server):
    """Says when it listens.

    Args:
        service: the routes.
        ready: called once, when the first request can come.
    """

    def __init__(self, service: Service, ready: Callable[[], object]) -> None:
        """Take the routes."""
        grace = math.ceil(service.limits.timeout) + GRACE
        super().__init__(
            uvicorn.Config(
                service.app(),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=grace,
            )
        )
        self.service, self.ready = service, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self.ready()

    async def answer(self, listening: socket.socket) -> None:
        """Serve until `should_exit` or a signal; requests that have come are answered before the end."""
        async with self.service.batcher:
            await self.serve(sockets=[listening])


class _Clean(logging.Formatter):
    """Log lines that no terminal obeys, whatever a request put into them."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def run(server: Server, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        Unavailable: another program took the port in the meantime.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Clean("%(levelname)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("uvicorn", "arena.serving")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    try:
        host, port = listening.getsockname()[:2]
        _claim(listening, host, port, lambda: listening.listen(BACKLOG))
        asyncio.run(server.answer(listening))
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address, not yet listening; port 0 is a free one.

    Raises:
        ConfigError: there is no such address on this machine, or the port may not be used.
        Unavailable: another program has the port.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"port must be in 0..65535, got {port!r}")
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _unusable(host, port, error) from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _claim(listening, host, port, lambda: listening.bind(address))
    return listening


def address_of(listening: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name other than localhost is not trusted to be so.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "ada.example")]
    [True, True, True, False, False]
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _claim(listening: socket.socket, host: str, port: int, take: Callable[[], object]) -> None:
    """Bind or listen; a socket that cannot is closed."""
    try:
        take()
        return
    except OSError as error:
        listening.close()
        found = error
    # Raised out here, the error has no other one behind it that a display might add to it.
    if found.errno != errno.EADDRINUSE:
        raise _unusable(host, port, found)
    raise Unavailable(
        f"port {port} of {host} is taken by another program: stop it, or set port=0 for a free one"
    )


def _unusable(host: str, port: int, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot listen at {host}:{port}: {error.strerror or error}; set host and port to an address "
        "of this machine, such as host=127.0.0.1 port=8008"
    )
