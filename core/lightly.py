"""`pathlib` without what its rarest methods need (globs, URIs, paths of Windows): that takes longer to load than all that
a short command does with paths."""

from __future__ import annotations

import sys
from types import ModuleType

_RARE = ("fnmatch", "ntpath", "re", "warnings")
_URIS = "urllib.parse"


def load_pathlib() -> None:
    """Load it; a method that needs more loads that when it is called. For a process without threads; harmless to repeat.

    Later Pythons use more of it at once: there this does nothing.
    """
    if "pathlib" in sys.modules or sys.version_info[:2] != (3, 11):
        return
    for_now: dict[str, ModuleType] = {name: _Later(name) for name in _RARE if name not in sys.modules}
    if _URIS not in sys.modules:
        for_now[_URIS] = ModuleType(_URIS)
        for_now[_URIS].quote_from_bytes = _quote_from_bytes  # type: ignore[attr-defined]
    sys.modules.update(for_now)
    try:
        import pathlib  # noqa: F401
    finally:
        for name in for_now:
            del sys.modules[name]


class _Later(ModuleType):
    """Stands for a module that is loaded when something of it is used."""

    def __getattr__(self, name: str) -> object:
        return getattr(__import__(self.__name__), name)


def _quote_from_bytes(data: bytes) -> str:
    from urllib.parse import quote_from_bytes

    return quote_from_bytes(data)
