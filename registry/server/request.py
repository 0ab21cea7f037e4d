"""A request as the handlers see it: a checked route, the query, and a body that is read in pieces or refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol
from urllib.parse import parse_qs

from core.errors import InvalidInput
from image.digest import Digest
from registry.protocol import Code, Kind, Route, is_name
from registry.server.errors import ApiError
from registry.server.patience import Patience

IDLE_SECONDS = 60.0
DRAIN_BYTES = 8 << 20
MAX_FIELDS = 200


class HeaderMap(Protocol):
    """The part of granian's RSGI headers that we use; names are lower-case."""

    def __contains__(self, key: str) -> bool: ...

    def get(self, key: str, default: str | None = None) -> str | None: ...


class Scope(Protocol):
    """The part of RSGI's scope that we use; `path` is decoded, `query_string` is not."""

    proto: str
    client: str
    server: str
    method: str
    path: str
    query_string: str

    @property
    def headers(self) -> HeaderMap: ...


class Exchange(Protocol):
    """The part of RSGI's HTTP protocol object that we use: the body comes in, one answer goes out."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...

    def response_file(self, status: int, headers: list[tuple[str, str]], file: str) -> None: ...

    def response_file_range(
        self, status: int, headers: list[tuple[str, str]], file: str, start: int, end: int
    ) -> None: ...


class Request:
    """Made for a path that has a route."""

    def __init__(self, scope: Scope, exchange: Exchange, route: Route) -> None:
        """Raises ApiError where the repository's name or the query is malformed."""
        self.method = scope.method
        self.route = route
        self.name = route.name
        self.headers = scope.headers
        self._exchange = exchange
        self._touched = False
        self.broken = False  # a body in chunks ended without its last chunk, as far as it has been read
        if route.kind not in (Kind.BASE, Kind.CATALOG) and not is_name(route.name):
            raise ApiError(400, Code.NAME_INVALID, "invalid repository name", detail={"name": route.name[:300]})
        try:
            self._query = parse_qs(scope.query_string, keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError as error:
            raise ApiError(400, Code.UNSUPPORTED, "the query has too many fields") from error

    def query(self, key: str) -> str | None:
        """The first value of a query parameter."""
        return self._query.get(key, [None])[0]

    def query_all(self, key: str) -> list[str]:
        return self._query.get(key, [])

    def digest(self, text: str | None = None) -> Digest:
        """`text`, or the reference in the path, as a digest. Raises ApiError."""
        value = self.route.reference if text is None else text
        try:
            return Digest.parse(value)
        except InvalidInput as error:
            raise _invalid_digest(value) from error

    @property
    def length(self) -> int | None:
        """Content-Length in bytes; None for a body of unknown length."""
        text = self.headers.get("content-length")
        return int(text) if text and text.isascii() and text.isdigit() else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises TimeoutError when the client sends nothing for a minute. A client that goes away
        ends it early, without a sign: compare with `length`, or look at `broken`."""
        self._touched = True
        source, left, ends = aiter(self._exchange), self.length, 0
        with Patience(IDLE_SECONDS) as patience:
            while (
                left is None or left > 0
            ):  # asking for the end of what has a length is a change of threads for nothing
                try:
                    piece = await patience.wait(anext(source))
                except StopAsyncIteration:
                    # granian gives an empty piece for the end, and one before it for whatever else is no data: trailers,
                    # which a client announces, or a failure
                    self.broken = ends > 1 and "trailer" not in self.headers
                    return
                ends += not piece
                yield piece
                left = None if left is None else left - len(piece)

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises ApiError (413) where it is larger than `limit` bytes, 400 where it is cut off."""
        too_large = ApiError(413, Code.SIZE_INVALID, f"the body is larger than {limit} bytes")
        if (self.length or 0) > limit:
            raise too_large
        parts, count = [], 0
        async for piece in self.pieces():
            count += len(piece)
            if count > limit:
                raise too_large
            parts.append(piece)
        self.check_end(count)
        return b"".join(parts)

    def check_end(self, count: int) -> None:
        """Whether the body that had `count` bytes was all of it. Raises ApiError (400)."""
        if self.length is not None and count != self.length:
            raise ApiError(400, Code.SIZE_INVALID, f"{count} bytes came where {self.length} were announced")
        if self.broken:
            raise ApiError(400, Code.SIZE_INVALID, f"the body broke off after {count} bytes, in the middle of a chunk")

    async def drain(self) -> None:
        """Read what a refused client is still sending, within reason, so that it gets to read our answer."""
        if self._touched or self.method in ("GET", "HEAD") or "expect" in self.headers:
            return
        count = 0
        async for piece in self.pieces():
            count += len(piece)
            if count > DRAIN_BYTES:
                return


def _invalid_digest(value: str) -> ApiError:
    return ApiError(400, Code.DIGEST_INVALID, "invalid or unsupported digest", detail={"digest": value[:300]})
