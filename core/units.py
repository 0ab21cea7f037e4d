"""Sizes and durations as people write and read them (Docker's forms)."""

from __future__ import annotations

from core.errors import InvalidInput

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_TOO_MUCH = float(1 << 63)  # for the 64 bits that whoever reads them has
_MOST_SHOWN = 60
_DURATION = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def human_size(size: float, *, binary: bool = False, digits: int = 3) -> str:
    """`size` bytes as `12.3MB` (decimal, as image sizes are shown) or `1.5MiB`."""
    base, names = (1024, _BINARY) if binary else (1000, _DECIMAL)
    index = 0
    while size >= base and index < len(names) - 1:
        size /= base
        index += 1
    return f"{size:.{digits}g}{names[index]}" if size < 1000 else f"{size:.4g}{names[index]}"


def parse_size(text: str) -> int:
    """Bytes in `512`, `64k`, `10MB` or `1GiB`; every unit is binary, as Docker's flags have it."""
    import re

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?\s*", text, re.IGNORECASE)
    if not found:
        raise InvalidInput(f"invalid size: {text!r}", "write a number with a unit, such as 512m or 10GB")
    size = float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " ")
    if size >= _TOO_MUCH:
        raise InvalidInput(f"size out of range: {_shown(text)}", "write a number with a unit, such as 512m or 10GB")
    return int(size)


def whole_number(text: str, most: int) -> int | None:
    """The number that decimal digits spell; None for any other text, and for a number above `most`."""
    if not text.isascii() or not text.isdecimal() or len(text.lstrip("0")) > len(str(most)):
        return None
    number = int(text.lstrip("0") or "0")  # Python reads no number of thousands of digits, be they zeros
    return number if number <= most else None


def parse_duration(text: str) -> int:
    """Nanoseconds in a Go duration such as `1h30m`, `1.5s` or `-2ms`; a bare `0` is allowed."""
    if text in ("0", "+0", "-0"):
        return 0
    import re

    found = re.fullmatch(r"([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)", text)
    if not found:
        raise InvalidInput(f"invalid duration: {text!r}", "write it like 30s, 5m or 1h30m")
    total = sum(float(n) * _DURATION[u] for n, u in re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)", found[2]))
    if total >= _TOO_MUCH:
        raise InvalidInput(f"duration out of range: {_shown(text)}", "write it like 30s, 5m or 1h30m")
    return int(-total if found[1] == "-" else total)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…")


def go_duration(nanoseconds: int) -> str:
    """What Go prints for a duration that is not negative: `1m30s`, `1.5s`, `20ms`, `0s`."""
    if nanoseconds < 10**9:
        units = (("ms", 10**6), ("µs", 10**3), ("ns", 1))
        unit, size = next((one for one in units if nanoseconds >= one[1]), ("s", 1))
        return f"{_decimal(nanoseconds, size)}{unit}"
    hours, rest = divmod(nanoseconds, _DURATION["h"])
    minutes, rest = divmod(rest, _DURATION["m"])
    shown = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{shown}{_decimal(rest, 10**9)}s"


def _decimal(value: int, size: int) -> str:
    whole, fraction = divmod(value, size)
    return f"{whole}.{fraction * 10**9 // size:09d}".rstrip("0").rstrip(".")


def human_duration(seconds: float) -> str:
    """A span as `docker ps` words it: `Less than a second`, `About a minute`, `3 hours`, `2 weeks`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    for limit, divisor, unit in ((48, 1, "hours"), (24 * 7 * 2, 24, "days"), (24 * 30 * 2, 24 * 7, "weeks")):
        if hours < limit:
            return f"{hours // divisor} {unit}"
    return f"{hours // (24 * 30)} months" if hours < 24 * 365 * 2 else f"{hours // (24 * 365)} years"
