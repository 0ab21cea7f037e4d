"""Wildcards of paths as Go's `filepath.Match` has them, translated to regular expressions."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence

from core.errors import InvalidInput

# One piece of a pattern: what it is ("text", "any", "star", "class") and its regular expression.
Piece = tuple[str, str]
SLASH: Piece = ("text", "/")
_NEVER = "(?!)"


def has_wildcard(text: str) -> bool:
    """Whether `text` has an unescaped `*`, `?` or `[`."""
    return bool(re.search(r"(?<!\\)(?:\\\\)*[*?\[]", text))


def unescaped(text: str) -> str:
    """A pattern without wildcards as the plain name that it matches."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


@functools.cache
def compile_name(pattern: str) -> re.Pattern[str]:
    """For matching one name of a path, or a whole path where `*` and `?` stop at `/`. Raises InvalidInput."""
    return re.compile(expression(tamed(pieces(pattern))), re.DOTALL)


def tamed(found: Iterable[Piece]) -> list[Piece]:
    """`found`; where there are more than two stars, classes such as `[^a]` match no slash there.

    In Go they do, but then every star must be tried at every place, which one rule could make take for ever.
    """
    those = list(found)
    if sum(kind == "star" for kind, _ in those) <= 2:
        return those
    return [(kind, f"(?!/){one}" if kind == "class" else one) for kind, one in those]


def crosses(found: Iterable[Piece]) -> bool:
    """Whether a class among `found` matches a slash."""
    return any(kind == "class" and re.fullmatch(one, "/") for kind, one in found)


def expression(found: Sequence[Piece]) -> str:
    """The regular expression of pieces without `**`, which takes time in proportion to the path.

    In each name all but the last `*` are settled where what follows them is found first.
    """
    if crosses(found):
        return "".join(one for _, one in found)
    names: list[list[Piece]] = [[]]
    for piece in found:
        if piece == SLASH:
            names.append([])
        else:
            names[-1].append(piece)
    return "/".join(map(_name, names))


def _name(found: Sequence[Piece]) -> str:
    parts = [""]
    for kind, one in found:
        if kind != "star":
            parts[-1] += one
        elif len(parts) == 1 or parts[-1]:
            parts.append("")
    if len(parts) == 1:
        return parts[0]
    first, *between, last = parts
    return first + "".join(f"(?>[^/]*?{part})" for part in between) + "[^/]*" + last


def pieces(pattern: str) -> Iterator[Piece]:
    """The parts of `pattern`. Raises InvalidInput for one that `filepath.Match` calls malformed."""
    at = 0
    while at < len(pattern):
        ch = pattern[at]
        if ch == "*":
            yield "star", "[^/]*"
        elif ch == "?":
            yield "any", "[^/]"
        elif ch == "[":
            expression, at = _class(pattern, at)
            yield "class", expression
            continue
        else:
            literal, at = _literal(pattern, at)
            yield "text", re.escape(literal)
            continue
        at += 1


def _literal(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] != "\\":
        return pattern[at], at + 1
    if at + 1 == len(pattern):
        raise _malformed(pattern, "it ends with a backslash")
    return pattern[at + 1], at + 2


def _class(pattern: str, at: int) -> tuple[str, int]:
    """The character class that starts at `at`, and where it ends."""
    start = at
    at += 1
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _member(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1)
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
        if at >= len(pattern):
            raise _malformed(pattern, f"{pattern[start:]!r} is not closed")
    members = "".join(ranges)
    if not members:
        # Ranges that run backwards match nothing.
        return ("." if negated else _NEVER), at + 1
    return f"[{'^' if negated else ''}{members}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern) or pattern[at] in "-]":
        raise _malformed(pattern, "a [ is not closed, or has nothing, - or ] where a character belongs")
    return _literal(pattern, at)


def _malformed(pattern: str, why: str) -> InvalidInput:
    return InvalidInput(f"malformed pattern {pattern!r}: {why}", "put a backslash before [ where it is meant literally")
