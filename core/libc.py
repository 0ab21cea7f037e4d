"""The C library, called through the C part of `ctypes` alone: the rest of it, with all its types, takes longer to load than
the few calls take that need it."""

from __future__ import annotations

from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    Structure,
    _SimpleCData,
    byref,
    dlopen,
    get_errno,
    sizeof,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Int", "Int64", "Structure", "UInt", "UInt64", "ULong", "byref", "get_errno", "libc", "sizeof"]


class Int(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class UInt(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "I"


class ULong(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "L"


class Int64(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "q"


class UInt64(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "Q"


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = Int


class _Library:
    """Its functions are found by their names, when they are first called; they return an int."""

    def __init__(self) -> None:
        self._handle = dlopen(None, 0)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        found = _Function((name, self))  # type: ignore[arg-type]
        setattr(self, name, found)
        return found


libc = _Library()
