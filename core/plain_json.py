"""JSON by the standard library's own C code, without the regular expressions that `json` compiles for Python's when it is
loaded. What is not plain and well-formed goes to `json` itself, with its errors."""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\n\r"


class _Rules:
    """What `json.JSONDecoder` says to the scanner."""

    strict, object_hook, object_pairs_hook, parse_float, parse_int = True, None, None, float, int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__


_scan = make_scanner(_Rules())  # type: ignore[arg-type]


def loads(text: str | bytes) -> Any:
    """The value of a document. Raises ValueError."""
    try:
        plain = (text if isinstance(text, str) else text.decode()).strip(_SPACE)
        value, end = _scan(plain, 0)
        if end == len(plain):
            return value
    except (StopIteration, ValueError):
        pass
    import json

    return json.loads(text)


def dumps(
    value: Any,
    *,
    sort_keys: bool = False,
    separators: tuple[str, str] = (", ", ": "),
    ensure_ascii: bool = True,
) -> str:
    """As `json.dumps` writes it."""
    item, key = separators
    string = encode_basestring_ascii if ensure_ascii else encode_basestring
    encode = make_encoder({}, _unknown, string, None, key, item, sort_keys, False, True)
    return "".join(encode(value, 0))


def _unknown(value: object) -> object:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
