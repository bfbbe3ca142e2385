"""Refusal: why a request gets no rewards, as an HTTP status and one sentence."""

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """Ends a request.

    Args:
        status: of HTTP, 400 or above.
        text: what was found, what is allowed, what to do.
        headers: of the reply.
        more: what the body of the reply holds beside `error`.
    """

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        """Take what is to be said."""
        super().__init__(text)
        self.status, self.headers = status, dict(headers or {})
        self.body: dict[str, Any] = {"error": text, **more}
