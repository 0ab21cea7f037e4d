"""How a logical line falls into words: the instruction's name, its flags, and the forms that arguments come in.

Quotes and escapes stay in the words (expansion removes them), except in flags, where they are removed here.
"""

from __future__ import annotations

import re

from builder.dockerfile.expand import SPACES

_BLANK = re.compile(r"[\t\v\f\r ]+")


class WordsError(Exception):
    """The words do not have the form that the instruction asks for."""


def split_command(line: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    """The instruction's name as written, its flags, and the rest without surrounding spaces."""
    name, *rest = _BLANK.split(line.strip(SPACES), maxsplit=1)
    flags, arguments = _split_flags(rest[0], escape) if rest else ((), "")
    return name, flags, arguments.strip(SPACES)


def _split_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    flags: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at] in SPACES:
            at += 1
        if not text.startswith("--", at):
            return tuple(flags), text[at:]
        word, at = _flag(text, at, escape)
        if word == "--":
            return tuple(flags), text[at:]
        flags.append(word)


def _flag(text: str, at: int, escape: str) -> tuple[str, int]:
    """The flag that starts at `at`, its quotes and escapes removed, and where it ends."""
    word: list[str] = []
    quote = ""
    while at < len(text):
        ch = text[at]
        if ch == escape:
            at += 1
            word.append(text[at : at + 1])
        elif quote:
            quote = "" if ch == quote else quote
            if quote:
                word.append(ch)
        elif ch in SPACES:
            break
        elif ch in "'\"":
            quote = ch
        else:
            word.append(ch)
        at += 1
    return "".join(word), min(at, len(text))


def blank_separated(text: str) -> list[str]:
    """Words separated by spaces and tabs alone; quotes mean nothing here."""
    return _BLANK.split(text) if text else []


def split_two(text: str) -> list[str]:
    """The first word and the rest."""
    return _BLANK.split(text, maxsplit=1) if text else []


def quoted_words(text: str, escape: str) -> list[str]:
    """Words separated by spaces that are neither quoted nor escaped; quotes and escapes stay."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        ch = text[at]
        if not quote and ch in SPACES:
            if word:
                words.append("".join(word))
                word = []
        elif ch == escape and quote != "'":
            # A lone one at the very end is dropped.
            word.append(text[at : at + 2] if at + 1 < len(text) else "")
            at += 1
        else:
            quote = "" if quote == ch else (quote or (ch if ch in "'\"" else ""))
            word.append(ch)
        at += 1
    if "".join(word):
        words.append("".join(word))
    return words


def exec_form(text: str) -> tuple[str, ...] | None:
    """The words of a JSON array; None for what is no JSON array. Raises WordsError for one with other than strings."""
    if not text.startswith("["):
        return None
    import json

    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list):
        return None
    if not all(isinstance(word, str) for word in found):
        raise WordsError("a JSON array here may hold strings only")
    if any("\0" in word for word in found):
        raise WordsError("a JSON array here has a NUL character, which no command, path or variable can have")
    # JSON may spell half of a surrogate pair, which is no character.
    return tuple(word.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for word in found)


def _no_constant(text: str) -> None:
    raise ValueError(text)
