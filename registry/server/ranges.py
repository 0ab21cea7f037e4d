"""Byte ranges: what a reader asks for (RFC 9110, 14.2), and what an uploader says it sends (distribution-spec, chunks)."""

from __future__ import annotations

import re

from registry.protocol import Code
from registry.server.errors import ApiError

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?(\d{1,18})-(\d{1,18})(?:/(?:\d{1,18}|\*))?")


def requested(text: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the one range that `text` asks for of `size` bytes; None for the whole.

    Several ranges at once, and other units, are answered with the whole, as the RFC allows. Raises ApiError (416).
    """
    found = _RANGE.fullmatch(text.replace(" ", "")) if text else None
    if not found or found[1] == found[2] == "":
        return None
    if found[1] == "":
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
    if start >= end:
        raise ApiError(
            416, Code.SIZE_INVALID, "the range is not satisfiable", headers=[("content-range", f"bytes */{size}")]
        )
    return start, end


def announced(text: str | None, length: int | None) -> tuple[int, int] | None:
    """Start and end (exclusive) that an upload's Content-Range names; None without one.

    Raises ApiError (400) where it is malformed or contradicts Content-Length (`length`).
    """
    if text is None:
        return None
    found = _CONTENT_RANGE.fullmatch(text.strip())
    if not found or int(found[2]) + 1 < int(found[1]):
        raise ApiError(400, Code.BLOB_UPLOAD_INVALID, "malformed Content-Range", detail={"content-range": text[:100]})
    start, end = int(found[1]), int(found[2]) + 1
    # "0-0" is also what some clients send for an empty body
    if length is not None and length != end - start and not (length == 0 and (start, end) == (0, 1)):
        raise ApiError(400, Code.SIZE_INVALID, f"Content-Range names {end - start} bytes, Content-Length {length}")
    return start, end
