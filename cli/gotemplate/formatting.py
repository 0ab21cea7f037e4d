"""Go's `printf` verbs, as far as text and numbers go."""

from __future__ import annotations

import re
from typing import Any

from cli.gotemplate.values import kind, show, show_float

_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.|$)", re.DOTALL)


def sprintf(template: str, *values: Any) -> str:
    """`template` with its verbs filled in; mistakes show in the result as they do in Go, such as `%!d(string=x)`."""
    rest = list(values)

    def fill(found: re.Match[str]) -> str:
        verb = found["verb"]
        if verb == "%":
            return "%"
        if not verb:
            return "%!(NOVERB)"
        return _padded(found, *_one(found, verb, rest.pop(0))) if rest else f"%!{verb}(MISSING)"

    text = _VERB.sub(fill, template)
    extra = ", ".join(f"{kind(value)}={show(value)}" for value in rest)
    return text + (f"%!(EXTRA {extra})" if rest else "")


def _one(found: re.Match[str], verb: str, value: Any) -> tuple[str, bool]:
    """The text, and whether it is a number (which zeros may pad)."""
    precision = None if found["precision"] is None else int(found["precision"] or 0)
    if verb in "vsq" and (verb == "v" or not isinstance(value, int | float)):
        text = show(value)
        text = text[:precision] if precision is not None and isinstance(value, str) else text
        return (_quoted(text) if verb == "q" else text), verb == "v" and isinstance(value, int | float)
    if verb == "T":
        return kind(value), False
    if verb == "t" and isinstance(value, bool):
        return show(value), False
    if isinstance(value, str) and verb in "xX":
        return (value.encode().hex().upper() if verb == "X" else value.encode().hex()), False
    if isinstance(value, int) and not isinstance(value, bool):
        number = _integer(verb, value)
        if number is not None:
            return _signed(found, number), verb not in "cqU"
    if isinstance(value, float) and verb in "eEfFgG":
        text = (
            show_float(value)
            if verb in "gG" and precision is None
            else f"{value:.{6 if precision is None else precision}{verb}}"
        )
        return _signed(found, text), True
    return f"%!{verb}({kind(value)}={show(value)})", False


def _integer(verb: str, value: int) -> str | None:
    if verb in "dboxX":
        return format(value, verb)
    if verb in "cqU":
        return {"c": chr(value), "q": f"'{chr(value)}'", "U": f"U+{value:04X}"}[verb]
    return None


def _signed(found: re.Match[str], text: str) -> str:
    sign = "+" if "+" in found["flags"] else " " if " " in found["flags"] else ""
    return text if text.startswith("-") else sign + text


def _padded(found: re.Match[str], text: str, number: bool) -> str:
    width = int(found["width"] or 0)
    if "-" in found["flags"]:
        return text.ljust(width)
    if "0" in found["flags"] and number:
        return text.zfill(width)
    return text.rjust(width)


def _quoted(text: str) -> str:
    escapes = {
        "\\": "\\\\",
        '"': '\\"',
        "\n": "\\n",
        "\t": "\\t",
        "\r": "\\r",
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\v": "\\v",
    }
    return '"' + "".join(escapes.get(c) or (c if c.isprintable() else f"\\x{ord(c):02x}") for c in text) + '"'
