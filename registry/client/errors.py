"""What can go wrong between us and a registry: what, where, and what to do about it."""

from __future__ import annotations

import re

from core.errors import Integrity, InvalidInput, LamellaError, NotFound, Unavailable

SHOWN = 300


class ConnectionFailed(Unavailable):
    """No answer came. `refused`: nobody listens there, or the name does not exist: waiting a second changes little."""

    def __init__(self, message: str, hint: str | None = None, *, refused: bool = False) -> None:
        super().__init__(message, hint)
        self.refused = refused


class ServerFailed(Unavailable):
    """The registry answered 5xx or 429. `wait` is what it asked for in Retry-After, in seconds."""

    def __init__(self, message: str, hint: str | None = None, *, status: int = 500, wait: float | None = None) -> None:
        super().__init__(message, hint)
        self.status = status
        self.wait = wait


class Untrusted(Unavailable):
    """The TLS certificate does not convince us; never retried."""


class Misbehaved(Unavailable):
    """The registry breaks the protocol (redirect loop, endless answer, garbage); never retried."""


class Denied(InvalidInput):
    """401 or 403. `status` tells which."""

    def __init__(self, message: str, hint: str | None = None, *, status: int = 401) -> None:
        super().__init__(message, hint)
        self.status = status


class Refused(InvalidInput):
    """Any other 4xx: the registry does not want what we sent."""

    def __init__(self, message: str, hint: str | None = None, *, status: int = 400) -> None:
        super().__init__(message, hint)
        self.status = status


class Unknown(NotFound):
    """404: the registry does not have it."""


class WrongBytes(Integrity):
    """What came is not what its digest or size says."""


_CREDENTIAL = re.compile(r"\b(basic|bearer) +[A-Za-z0-9+/=._~-]{16,}", re.IGNORECASE)


def printable(text: str, limit: int = SHOWN) -> str:
    """What a registry said, on one line, without control characters and credentials it repeats, cut to `limit`
    characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: limit * 4]).split())
    line = _CREDENTIAL.sub(r"\1 ***", line)
    return line if len(line) <= limit else line[:limit] + "…"


def worth_retrying(error: LamellaError) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, ServerFailed):
        return error.status in (429, 500, 502, 503, 504)
    return isinstance(error, ConnectionFailed)
