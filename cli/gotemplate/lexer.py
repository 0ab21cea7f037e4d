"""Template text → literal text and the tokens of its actions."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import NamedTuple

from cli.gotemplate.errors import TemplateError

# Go's trim marker is a hyphen with white space between it and the action: `{{-3}}` is a number.
_OPEN = re.compile(r"\{\{(-(?=\s))?")
_CLOSE = re.compile(r"(\s-)?\}\}")
_COMMENT = re.compile(r"\s*/\*.*?\*/\s*?((?<=\s)-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<string>"(?:\\.|[^"\\\n])*")|(?P<raw>`[^`]*`)|(?P<char>'(?:\\.|[^'\\\n])+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?))
    |(?P<field>\.[^\W\d]\w*)|(?P<dot>\.)|(?P<variable>\$\w*)|(?P<word>[^\W\d]\w*)|(?P<sign>:=|[=|(),])""",
    re.VERBOSE,
)

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {c: c for c in "\\\"'"}


class Token(NamedTuple):
    """`kind`: text, open, close, string, char, number, field, dot, variable, word, sign or space; `text` is decoded."""

    kind: str
    text: str
    offset: int


def tokens(source: str) -> Iterator[Token]:
    """The tokens of `source`; white space inside an action is one too, as `.A .B` is not `.A.B`. Raises TemplateError."""
    position, trim = 0, False
    while True:
        start = _OPEN.search(source, position)
        text = source[position : start.start() if start else len(source)]
        text = text.lstrip() if trim else text
        text = text.rstrip() if start and start[1] else text
        if text:
            yield Token("text", text, position)
        if not start:
            return
        comment = _COMMENT.match(source, start.end())
        if comment:
            position, trim = comment.end(), bool(comment[1])
            continue
        yield Token("open", "", start.start())
        end = yield from _action(source, start.end(), start.start())
        position, trim = end.end(), bool(end[1])
        yield Token("close", "", end.start())


def _action(source: str, position: int, opened: int) -> Generator[Token, None, re.Match[str]]:
    while True:
        end = _CLOSE.match(source, position)
        if end:
            return end
        found = _TOKEN.match(source, position)
        if not found:
            raise _fault(source, position, opened)
        kind = found.lastgroup or ""
        if kind == "space" and _CLOSE.match(source, found.end() - 1):
            position = found.end() - 1
            continue
        yield Token("string" if kind == "raw" else kind, _decoded(source, kind, found[0], position), position)
        position = found.end()


def _fault(source: str, position: int, opened: int) -> TemplateError:
    if position >= len(source):
        return TemplateError(source, opened, "unclosed action", "end it with }}")
    if source[position] in "\"'`":
        return TemplateError(source, position, "unterminated quoted string")
    if source.startswith("/*", position):
        return TemplateError(source, position, "a comment must be alone in its action")
    return TemplateError(source, position, f"unexpected {source[position]!r} in an action")


def _decoded(source: str, kind: str, text: str, offset: int) -> str:
    if kind == "raw":
        return text[1:-1]
    if kind == "field":
        return text[1:]
    if kind not in ("string", "char"):
        return text
    return _ESCAPE.sub(lambda found: _escaped(source, found[1], offset), text[1:-1])


def _escaped(source: str, escape: str, offset: int) -> str:
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    base = 16 if escape[0] in "xuU" else 8
    try:
        return chr(int(escape.lstrip("xuU"), base))
    except (ValueError, OverflowError) as error:
        raise TemplateError(source, offset, f"unknown escape \\{escape} in a quoted string") from error
