"""PAX records and header numbers, read from hostile bytes.

Everything here is pure: bytes in, values out, `BadHeader` for what is malformed. POSIX.1-2017 pax; GNU tar's base-256.
"""

from __future__ import annotations

from core.errors import InvalidInput

MAX_ID = 0xFFFFFFFE
_FAR = 1 << 40  # seconds; no file system here reaches that far
_SECOND = 1_000_000_000


class BadHeader(InvalidInput):
    """The archive's headers are malformed or ask for the impossible."""


def number(field: bytes) -> int:
    """A numeric header field: octal digits amid blanks and NULs, or base-256 with its top bit set (may be negative)."""
    text = field.strip(b" \0")
    try:
        if text.isdigit():
            return int(text, 8)
        if field[0] in (0x80, 0xFF):
            value = int.from_bytes(field[1:], "big")
            return value if field[0] == 0x80 else value - (1 << 8 * (len(field) - 1))
        text = text.partition(b"\0")[0].strip()
        return int(text, 8) if text.isdigit() else _empty(text)
    except ValueError:
        raise BadHeader(f"not a number in a header: {field!r}") from None


def _empty(text: bytes) -> int:
    if text:
        raise ValueError
    return 0


def decimal(value: bytes) -> int:
    """A PAX number: decimal digits only."""
    if not value.isdigit() or len(value) > 20:
        raise BadHeader(f"not a number in an extended header: {value[:40]!r}")
    return int(value)


def seconds(value: bytes) -> int:
    """A PAX time ("123.456", may be negative) in nanoseconds, floored and kept within what a disk can hold."""
    whole, _, fraction = value.partition(b".")
    negative = whole.startswith(b"-")
    digits = whole[1:] if negative else whole
    if not digits.isdigit() or (fraction and not fraction.isdigit()) or len(value) > 100:
        raise BadHeader(f"not a time in an extended header: {value[:40]!r}")
    nanoseconds = int(digits) * _SECOND + int(fraction[:9].ljust(9, b"0"))
    return clamp(-nanoseconds if negative else nanoseconds)


def clamp(nanoseconds: int) -> int:
    """A time that the kernel accepts."""
    return max(-_FAR * _SECOND, min(_FAR * _SECOND, nanoseconds))


def parse(body: bytes) -> list[tuple[bytes, bytes]]:
    """The records "LENGTH KEY=VALUE\\n" of an extended header, in their order."""
    found = []
    position = 0
    while position < len(body):
        blank = body.find(b" ", position, position + 9)
        digits = body[position:blank] if blank > 0 else b""
        end = position + int(digits) if digits.isdigit() else 0
        if end <= blank + 1 or end > len(body) or body[end - 1] != 0x0A:
            if not body[position:].strip(b"\0"):  # some writers pad with zeros
                break
            raise BadHeader("malformed record in an extended header")
        key, equals, value = body[blank + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise BadHeader("malformed record in an extended header")
        found.append((key, value))
        position = end
    return found
