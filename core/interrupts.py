"""Ctrl-C. That it came is remembered: what it breaks off does not always end in a KeyboardInterrupt.

It may meet a finalizer, where Python prints it and goes on; a `with` that has not reached its own end yet, so that the
clean-up around it finds what it never finds otherwise; a thread that waits for something which nobody does any more.
"""

from __future__ import annotations

import sys

from core.signals import signal

AGAIN_SECONDS = 0.01
_came = 0


def came() -> int:
    """The number of the signal that has told this process to end, 0 while none has."""
    return _came


def note(number: int) -> None:
    """Remember it; from then on, nothing is printed by threads and finalizers that fail because of it."""
    global _came
    _came = number
    threading = sys.modules.get("threading")
    if threading is not None:
        threading.excepthook = lambda found, /: None  # type: ignore[attr-defined]


def heed() -> None:
    """Note each Ctrl-C before it is raised, and let one that meets a finalizer come once more. Where it was ignored when
    we were started (a shell's job in the background), it stays so. Harmless to repeat."""
    sys.unraisablehook = _unraisable
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    note(signal.SIGINT)
    raise KeyboardInterrupt


def _unraisable(found: sys.UnraisableHookArgs, /) -> None:
    if isinstance(found.exc_value, KeyboardInterrupt):
        # By an alarm and not by a thread: who has children in another pid namespace can have no threads.
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    elif not _came:
        sys.__unraisablehook__(found)
