"""What a Dockerfile says as our lexer and as BuildKit's own parser (the PyPI package `dockerfile`) read it: one form for both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import dockerfile as oracle

from builder.dockerfile.lexer import Lexer, Line
from builder.dockerfile.source import DockerfileError
from builder.dockerfile.words import WordsError, blank_separated, exec_form, quoted_words, split_command, split_two

JSON_OR_WORDS = ("ADD", "COPY", "VOLUME")
JSON_OR_TEXT = ("RUN", "CMD", "ENTRYPOINT", "SHELL")
TEXT = ("USER", "WORKDIR", "STOPSIGNAL", "MAINTAINER")

# For each instruction: name, first and last line, flags, whether it is in JSON form, values, heredocs.
Reading = list[list[Any]]
_COMPARED = {*JSON_OR_WORDS, *JSON_OR_TEXT, *TEXT, "FROM", "EXPOSE", "ARG", "ENV", "LABEL", "HEALTHCHECK"}


def ours(data: bytes) -> Reading | None:
    """How our lexer reads it; None where it refuses."""
    try:
        lexer = Lexer.of(data, "Dockerfile")
        lines = []
        while line := lexer.next_line():
            lines.append(_fact(line, lexer.escape))
        return lines or None
    except (DockerfileError, WordsError):
        return None


def theirs(data: bytes) -> Reading | None:
    """How BuildKit's parser reads it; None where it refuses."""
    try:
        return [_their_fact(one) for one in commands(data)]
    except (oracle.GoParseError, oracle.GoIOError, UnicodeDecodeError):
        return None


def commands(data: bytes) -> Sequence[Any]:
    """The wheel's own answer. Raises GoParseError, UnicodeDecodeError."""
    return tuple(oracle.parse_string(data.decode()))


def digest(reading: Reading | None) -> str:
    """Sixteen hexadecimal digits that stand for a reading; `refused` for None."""
    if reading is None:
        return "refused"
    return hashlib.sha256(json.dumps(reading, ensure_ascii=False).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _fact(line: Line, escape: str) -> list[Any]:
    name, rest, flags = line.name.upper(), line.rest, list(line.flags)
    docs = [[doc.name, doc.descriptor, doc.content] for doc in line.heredocs]
    head = name
    if name == "ONBUILD":
        name, flags, docs = "", [], []
        if rest:
            name, _, rest = split_command(rest, escape)
            name = name.upper()
        head = f"ONBUILD {name}"
    value = _words_of(name, rest, escape) if name in _COMPARED else []
    return [head, line.span.line, line.span.end_line, flags, _is_json(name, rest), value, docs]


def _their_fact(one: Any) -> list[Any]:
    # Of an ONBUILD's trigger the wheel tells neither flags nor heredocs; and of an unknown instruction nothing that counts.
    name = head = (one.cmd or "").upper()
    docs = [[doc.name, doc.file_descriptor, doc.content] for doc in one.heredocs]
    flags = list(one.flags)
    if name == "ONBUILD":
        name, flags, docs = (one.sub_cmd or "").upper(), [], []
        head = f"ONBUILD {name}"
    return [head, one.start_line, one.end_line, flags, one.json, list(one.value) if name in _COMPARED else [], docs]


def _is_json(name: str, rest: str) -> bool:
    if name == "HEALTHCHECK":
        more = split_two(rest)[1:]
        return bool(more) and _is_json("CMD", more[0])
    return name in (*JSON_OR_WORDS, *JSON_OR_TEXT) and exec_form(rest) is not None


def _words_of(name: str, rest: str, escape: str) -> list[str]:
    """An instruction's arguments as BuildKit's parser lists them."""
    if not rest:
        return []
    if name in (*JSON_OR_WORDS, *JSON_OR_TEXT):
        exact = exec_form(rest)
        return list(exact) if exact is not None else [rest] if name in JSON_OR_TEXT else blank_separated(rest)
    if name in ("FROM", "EXPOSE"):
        return blank_separated(rest)
    if name == "ARG":
        return quoted_words(rest, escape)
    if name in ("ENV", "LABEL"):
        return _pairs_of(rest, escape)
    if name == "HEALTHCHECK":
        kind, *more = split_two(rest)
        return [kind, *_words_of("CMD", more[0], escape)] if more else [kind]
    return [rest]


def _pairs_of(rest: str, escape: str) -> list[str]:
    words = quoted_words(rest, escape)
    if "=" not in words[0]:
        parts = split_two(rest)
        if len(parts) < 2:
            raise WordsError("no value")
        return parts
    if not all("=" in word for word in words):
        raise WordsError("no =")
    return [part for word in words for part in word.split("=", 1)]
