"""The hub's offline switch, and endpoints that are not the hub.

`HF_HUB_OFFLINE` is set on compute nodes to keep libraries from waiting for the hub. huggingface_hub then
refuses every request of its inference client too, also to a server on the same machine.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

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

    return httpx2.Client(event_hooks={"request": [_check]}, follow_redirects=True, timeout=None)


def _check(request: "httpx2.Request") -> None:
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    if constants.is_offline_mode() and (request.url.host, request.url.port) not in _allowed:
        raise OfflineModeIsEnabled(f"offline mode is on: {request.url.host} is not asked")
