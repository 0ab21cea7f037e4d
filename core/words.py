"""The letters that names are made of, asked for without regular expressions: loading `re` takes longer than most commands
have to do with names."""

from __future__ import annotations

DIGITS = "0123456789"
SMALL = frozenset(DIGITS + "abcdefghijklmnopqrstuvwxyz")
LETTERS = SMALL | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
HEX = frozenset(DIGITS + "abcdef")
_INNER = frozenset("_.-")


def is_name(text: str, longest: int, *, first: str = "") -> bool:
    """Whether it is letters, digits, `_`, `.` and `-`, and begins with one of the former or of `first`."""
    return 0 < len(text) <= longest and text[0] in LETTERS.union(first) and not set(text) - LETTERS - _INNER
