"""Signals by name and number, as `kill -s` and `STOPSIGNAL` spell them."""

from __future__ import annotations

from core.errors import InvalidInput
from core.signals import signal


def number_of(text: str) -> int:
    """The number that `SIGTERM`, `term`, `15` or `RTMIN+3` means. Raises InvalidInput."""
    name = text.upper().removeprefix("SIG")
    if name.isascii() and name.isdecimal():
        if 0 < int(name) <= signal.SIGRTMAX:
            return int(name)
    elif name.startswith("RTMIN+") and name[6:].isdecimal():
        number = signal.SIGRTMIN + int(name[6:])
        if number <= signal.SIGRTMAX:
            return number
    else:
        found = getattr(signal, f"SIG{name}", None) if name.isalnum() else None
        if found is not None:
            return int(found)
    raise InvalidInput(f"invalid signal: {text}", "write a name such as SIGTERM, or a number")
