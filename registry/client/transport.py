"""Requests, responses, and the Protocol between them; retry, auth, redirects and logging each wrap a Transport.

A request's body is a factory: a 401, a retry or a redirect produces it again from its first byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self
from urllib.parse import urlsplit

from registry.client.errors import Misbehaved

ERROR_BYTES = 64 * 1024  # of an error's body that are looked at
Chunks = Iterable[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Body:
    """`open` gives the bytes from the start, as often as asked; `size` in bytes, None when unknown (sent chunked)."""

    open: Callable[[], Chunks]
    size: int | None = None

    @classmethod
    def of(cls, data: bytes) -> Self:
        return cls(lambda: (data,) if data else (), len(data))


@dataclass(frozen=True, slots=True)
class Request:
    """`scopes` are what a bearer token must allow (`repository:NAME:pull`); `again` is off for what must not be repeated
    by itself, because the caller resumes it."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    scopes: tuple[str, ...] = ()
    again: bool = True


class Response(Protocol):
    """An answer whose body has not been read. It is closed once by whoever got it; headers' names are lower-case."""

    status: int
    headers: Mapping[str, str]
    url: str

    def read(self, amount: int) -> bytes:
        """Up to `amount` bytes of the body as sent; empty at its end. Raises ConnectionFailed."""

    def close(self) -> None:
        """Give the connection back. Harmless to repeat."""


class Transport(Protocol):
    """Something that answers requests. `send` may be called by several threads; `close` ends it for all of them."""

    def send(self, request: Request) -> Response:
        """The answer, whatever its status. Raises ConnectionFailed, Untrusted; wrappers raise more."""

    def close(self) -> None:
        """Close every idle connection. Harmless to repeat."""


def read_all(response: Response, limit: int, what: str) -> bytes:
    """The whole body and close; raises Misbehaved where it is longer than `limit` bytes."""
    try:
        return b"".join(_bounded(response, limit, what))
    finally:
        response.close()


def _bounded(response: Response, limit: int, what: str) -> Iterator[bytes]:
    declared = response.headers.get("content-length", "")
    left = limit
    while not (declared.isdigit() and int(declared) > limit) and (chunk := response.read(min(left + 1, 1 << 20))):
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    else:
        if not (declared.isdigit() and int(declared) > limit):
            return
    raise Misbehaved(f"{what} is longer than {limit} bytes", "the registry answers with something else, or is broken")


def drain(response: Response) -> None:
    """Read what little is left so that the connection can be used again, then close."""
    try:
        left = ERROR_BYTES
        while left > 0 and (chunk := response.read(left)):
            left -= len(chunk)
    finally:
        response.close()


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what may share credentials. Raises Misbehaved for what is no http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Misbehaved(f"the registry gave a malformed address: {url[:200]!r}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misbehaved(f"the registry gave an address that is not http or https: {url[:200]!r}")
    return parts.scheme, parts.hostname.lower(), port or (443 if parts.scheme == "https" else 80)
