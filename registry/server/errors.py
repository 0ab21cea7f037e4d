"""Errors as the API tells them: a status, a code of the distribution-spec, one line of text."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Mapping

from core.errors import Conflict, Integrity, InvalidInput, LamellaError, NotFound, Unavailable, Unsupported
from registry.protocol import Code
from registry.server.metadata.protocol import ImmutableTag, QuotaExceeded

Headers = list[tuple[str, str]]


class ApiError(Exception):
    """Ends a request with an error answer. Library errors become one in `translate`."""

    def __init__(
        self, status: int, code: Code, message: str, *, detail: object = None, headers: Headers | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.detail = status, code, message, detail
        self.headers = headers or []

    def body(self) -> bytes:
        """The JSON of distribution-spec "Error Codes"."""
        error: Mapping[str, object] = {"code": self.code.value, "message": self.message, "detail": self.detail}
        return json.dumps({"errors": [error]}).encode()


_FAMILIES: tuple[tuple[type[LamellaError], int, Code], ...] = (
    (NotFound, 404, Code.UNKNOWN), (Conflict, 409, Code.BLOB_UPLOAD_INVALID), (InvalidInput, 400, Code.UNKNOWN),
    (Integrity, 500, Code.UNKNOWN), (Unavailable, 503, Code.UNKNOWN), (Unsupported, 400, Code.UNSUPPORTED),
)  # fmt: skip


def translate(error: BaseException) -> ApiError | None:
    """The answer an error means; None for one that nobody foresaw (a defect of ours)."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, QuotaExceeded):
        detail: Mapping[str, object] = {"used": error.used, "more": error.more, "allowed": error.limit}
        return ApiError(403, Code.DENIED, f"{error.message}: {error.hint}", detail=detail)
    if isinstance(error, ImmutableTag):
        detail = {"tag": error.tag, "digest": error.digest}
        return ApiError(403, Code.DENIED, f"{error.message}: {error.hint}", detail=detail)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ApiError(507, Code.UNKNOWN, "the registry's disk is full")
    if isinstance(error, OSError | sqlite3.Error):
        return ApiError(500, Code.UNKNOWN, "the registry cannot read or write its data")
    if isinstance(error, TimeoutError):
        return ApiError(408, Code.UNKNOWN, "the request's body did not arrive in time")
    for family, status, code in _FAMILIES:
        if isinstance(error, family):
            return ApiError(507 if "disk is full" in error.message else status, code, error.message)
    return None


def unknown_name(name: str) -> ApiError:
    return ApiError(404, Code.NAME_UNKNOWN, "the registry has no such repository", detail={"name": name})
