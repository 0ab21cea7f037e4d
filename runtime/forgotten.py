"""Run-time state of stores that are gone: nobody else would ever remove it before the machine is started anew."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from core.errors import LamellaError
from core.locks import is_locked
from core.removal import remove
from network.sweeping import remove_strays
from runtime.state import ROOT, cgroups_of, note_root

_GONE = ".gone-"
_FRESH = 3600.0  # seconds in which a command that has just started makes the store itself


def remove_forgotten(state: Path, root: Path, *, limit: int = 1000) -> int:
    """Remove the neighbours of `state`, which is of the store at `root`, whose stores are gone and which nobody uses, if
    they are an hour old: `limit` of them at most. Returns how many went. Several processes may do it at once; what a killed one left is taken up.
    """
    note_root(state, root)
    candidates = [path for path in state.parent.iterdir() if path != state and _may_go(path)]
    used = _mounted(state.parent) if candidates else set()
    removed = 0
    for path in candidates:
        if removed >= limit:
            break
        if path.name not in used and not _in_use(path):
            removed += _remove(path)
    return removed


def _may_go(path: Path) -> bool:
    if path.name.startswith(_GONE):
        return True
    try:
        if time.time() - os.lstat(path / ROOT).st_mtime < _FRESH:
            return False
        return _is_gone(os.readlink(path / ROOT))
    except FileNotFoundError:  # whoever made it was killed before it said for whom
        with contextlib.suppress(OSError):
            return time.time() - path.stat().st_mtime > _FRESH and not os.listdir(path)
    except OSError:
        pass
    return False


def _is_gone(root: str) -> bool:
    """Whether nothing is there for sure: what we may not see is there."""
    try:
        os.lstat(root)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _mounted(base: Path) -> set[str]:
    """The names of those in which something is mounted, in any mount namespace: keepers of living containers have theirs."""
    return {part for table in _tables() for part in _below(table, f" {base}/")}


def _below(table: str, base: str) -> Iterator[str]:
    for rest in table.split(base)[1:]:
        yield rest.split(" ", 1)[0].split("/", 1)[0]


def _tables() -> Iterator[str]:
    seen = set()
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            namespace = os.readlink(f"/proc/{process}/ns/mnt")
            if namespace not in seen:
                yield Path(f"/proc/{process}/mountinfo").read_text(errors="surrogateescape")
                seen.add(namespace)


def _in_use(path: Path) -> bool:
    if cgroups_of(path):
        return True
    for directory, _, names in os.walk(path):
        for name in names:
            file = f"{directory}/{name}"
            if os.path.isfile(file) and not os.path.islink(file) and is_locked(file):
                return True
    return False


def _remove(path: Path) -> bool:
    """One rename decides who removes it, with all that the store's networks have on the machine. A store that came back
    meanwhile keeps its own."""
    fresh = not path.name.startswith(_GONE)
    name = path.name.removeprefix(_GONE).partition(".")[0]
    aside = path.with_name(f"{_GONE}{name}.{os.getpid()}")
    try:
        os.rename(path, aside)
        if fresh and os.path.islink(aside / ROOT) and not _is_gone(os.readlink(aside / ROOT)):
            os.rename(aside, path)
            return False
        remove_strays(path.with_name(name))
        remove(aside)
    except (OSError, LamellaError):  # another process does the same, or nft would not: the next one tries again
        return False
    return True
