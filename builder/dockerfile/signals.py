"""STOPSIGNAL's names and numbers."""

from __future__ import annotations

import signal

from builder.dockerfile.expand import ExpansionError
from builder.dockerfile.source import suggestion
from core.units import whole_number

_LAST = 64


def check_signal(text: str) -> str:
    """`text` itself if it names a signal of Linux (with or without SIG, or a number). Raises ExpansionError."""
    if text.isascii() and text.isdigit():
        if whole_number(text, _LAST):
            return text
        raise ExpansionError(f"invalid signal number: {text}", f"signals go from 1 to {_LAST}")
    name = text.upper().removeprefix("SIG")
    if name in _names():
        return text
    raise ExpansionError(f"unknown signal: {text!r}", suggestion(name, _names()) or "write it like SIGTERM or 15")


def _names() -> set[str]:
    names = {one.name.removeprefix("SIG") for one in signal.Signals}
    real_time = {f"RTMIN+{n}" for n in range(1, 16)} | {f"RTMAX-{n}" for n in range(1, 15)}
    return names | real_time | {"CLD", "IOT", "POLL", "IO", "STKFLT"}
