"""Instants as the OCI specs write them: RFC 3339, UTC, nanoseconds where they are known."""

from __future__ import annotations

import time

from core.errors import InvalidInput

_RFC3339 = r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)?"  # compiled when first needed


def now() -> str:
    """This instant as RFC 3339 with nanoseconds, in UTC."""
    return format_instant(time.time_ns())


def format_instant(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC; a zero fraction is left out."""
    seconds, rest = divmod(nanoseconds, 10**9)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"


def parse_instant(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 instant. Raises InvalidInput."""
    own = _parse_own(text)
    return _parse_any(text) if own is None else own


def _parse_own(text: str) -> int | None:
    """Of one that `format_instant` wrote: without `datetime`, which takes longer to load than most listings."""
    try:
        year, month, day = map(int, text[:10].split("-"))
        hour, minute, second = map(int, text[11:19].split(":"))
        rest = int(text[20:-1].ljust(9, "0"))
    except ValueError:
        return None
    years, months = year - (month < 3), (month + 9) % 12  # the year begins with March: a leap day is its last
    days = 365 * years + years // 4 - years // 100 + years // 400 + (153 * months + 2) // 5 + day - 719_469
    instant = (((days * 24 + hour) * 60 + minute) * 60 + second) * 10**9 + rest
    return instant if format_instant(instant) == text else None


def _parse_any(text: str) -> int:
    import re
    from datetime import datetime

    found = re.fullmatch(_RFC3339, text)
    if not found:
        raise InvalidInput(f"invalid timestamp: {text!r}", "write it like 2026-01-31T12:00:00Z")
    zone = (found[4] or "Z").upper().replace("Z", "+00:00")
    try:
        seconds = int(datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}").timestamp())
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"invalid timestamp: {text!r}: {error}") from error
    return seconds * 10**9 + int((found[3] or ".0")[1:10].ljust(9, "0"))
