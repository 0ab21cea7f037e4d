"""What a template may call: Go's own functions and the nine that Docker adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cli.gotemplate.formatting import sprintf
from cli.gotemplate.values import NO_VALUE, FreeKeys, Missing, kind, show


class CallError(Exception):
    """The arguments make no sense to the function."""


def to_json(value: Any) -> str:
    """Compact JSON with a row's keys sorted, as Go encodes maps; fields that are functions are left out."""
    import json

    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)


def plain(value: Any) -> Any:
    """`value` as JSON can hold it."""
    if isinstance(value, Missing):
        return None
    if isinstance(value, Mapping):
        keys = sorted(value) if isinstance(value, FreeKeys) or any(map(callable, value.values())) else value
        return {k: plain(value[k]) for k in keys if not callable(value[k])}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _len(value: Any) -> int:
    if isinstance(value, Missing) and value is not NO_VALUE:
        return 0
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping | Sequence):
        return len(value)
    raise CallError(f"len of a {kind(value)}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = _index_one(value, key)
    return value


def _index_one(value: Any, key: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, "" if all(isinstance(v, str) for v in value.values()) else NO_VALUE)
    if isinstance(value, Missing) and value.text == "map[]":
        return ""
    if isinstance(value, str | Sequence) and isinstance(key, int) and not isinstance(key, bool):
        items = value.encode() if isinstance(value, str) else value
        if not 0 <= key < len(items):
            raise CallError(f"index out of range: {key}")
        return items[key]
    if isinstance(value, Missing):
        raise CallError("index of nil")
    raise CallError(f"can't index a {kind(value)} with {show(key)}")


def _slice(value: Any, *bounds: int) -> Any:
    if not isinstance(value, str | list | tuple) or len(bounds) > 2 or not all(isinstance(b, int) for b in bounds):
        raise CallError(f"can't slice a {kind(value)}")
    items: Any = value.encode() if isinstance(value, str) else value
    low, high = (*bounds, *(0, len(items))[len(bounds) :])
    if not 0 <= low <= high <= len(items):
        raise CallError(f"slice out of range: {low}, {high}")
    part = items[low:high]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def _print(*values: Any) -> str:
    """Go's Sprint: a blank between two operands when neither is a string."""
    text = ""
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            text += " "
        text += show(value)
    return text


def _println(*values: Any) -> str:
    return " ".join(map(show, values)) + "\n"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Missing) or a is None or isinstance(b, Missing) or b is None:
        return all(isinstance(x, Missing) or x is None for x in (a, b))
    if isinstance(a, int | float) and isinstance(b, int | float) and isinstance(a, bool) == isinstance(b, bool):
        return a == b
    if kind(a) != kind(b):
        raise CallError(f"incompatible types for comparison: {kind(a)} and {kind(b)}")
    return bool(a == b)


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _lt(a: Any, b: Any) -> bool:
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b))
    if not numbers and not (isinstance(a, str) and isinstance(b, str)):
        raise CallError(f"incompatible types for comparison: {kind(a)} and {kind(b)}")
    return bool(a < b)


def _words(value: Any) -> list[str]:
    if isinstance(value, Missing):
        return []
    if not isinstance(value, list | tuple):
        raise CallError(f"wants a list, not a {kind(value)}")
    return [show(item) for item in value]


def _title(text: str) -> str:
    return "".join(c.upper() if not i or text[i - 1].isspace() else c for i, c in enumerate(text))


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: values, "or": lambda *values: values,  # evaluated by `execute`, which stops early
    "not": lambda value: value, "len": _len, "index": _index, "slice": _slice,
    "print": _print, "println": _println, "printf": sprintf,
    "eq": _eq, "ne": lambda a, b: not _same(a, b), "lt": _lt, "le": lambda a, b: _lt(a, b) or _same(a, b),
    "gt": lambda a, b: _lt(b, a), "ge": lambda a, b: _lt(b, a) or _same(a, b),
    "json": to_json, "split": lambda text, by: text.split(by) if by else list(text), "join": lambda v, by: by.join(_words(v)),
    "title": _title, "lower": lambda text: text.lower(), "upper": lambda text: text.upper(), "pad": _pad,
    "truncate": lambda text, length: text[:length],
}  # fmt: skip
# In the heading of a table, whatever shapes a value leaves the column's name alone.
HEADING_FUNCTIONS = {
    name: (lambda value, *rest: value)
    for name in ("json", "title", "lower", "upper", "truncate", "pad", "split", "join")
}
