"""The statuses of all that is below a source as one digest, made without keeping any of them: what a build that changes
nothing spends most of its time on. Touching memory for the first time costs as much as a stat, so little is touched."""

from __future__ import annotations

import marshal
import os
import time
from collections.abc import Callable, Iterable
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.hashing import hasher

if TYPE_CHECKING:
    from builder.context_walk import Filter

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MTIME, _CTIME = itemgetter(4), itemgetter(5)
# Name, inode, device, size, mtime, ctime. A change of content, mode, owner, link or attribute changes an inode's ctime,
# so that this says it all.
Row = tuple[str, int, int, int, int, int]


class Seen(NamedTuple):
    """`digest` of the statuses, the `newest` time among them, and when looking `began` (ns since the epoch)."""

    digest: bytes
    newest: int
    began: int


def look(path: Path, chosen: Filter | None) -> Seen:
    """The statuses of what `chosen` leaves in below the directory `path`; with None, of `path` itself. Raises OSError."""
    began = time.time_ns()
    total = hasher("sha256", 0)
    newest = 0

    def add(prefix: str, rows: list[Row]) -> None:
        nonlocal newest
        if rows:
            newest = max(newest, max(map(_MTIME, rows)), max(map(_CTIME, rows)))
            rows.sort()
        # Version 2 of marshal writes equal values as equal bytes; later ones depend on which objects are shared.
        total.update(marshal.dumps((prefix, rows), 2))

    if chosen is None:
        add("", [_row("", os.lstat(path))])
    elif chosen.everything:
        _look_below(path, add)
    else:
        from builder.context_walk import walk

        add("", [_row(name, status) for name, status in walk(path, chosen)])
    return Seen(total.digest(), newest, began)


def _row(name: str, status: os.stat_result) -> Row:
    return (name, status.st_ino, status.st_dev, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _look_below(path: Path, add: Callable[[str, list[Row]], None]) -> None:
    """Directory by directory, in an order of their own that is the same each time."""
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pending = [""]
        while pending:
            prefix = pending.pop()
            fd = os.open(prefix or ".", _DIRECTORY, dir_fd=top)
            try:
                with os.scandir(fd) as entries:
                    rows, below = _rows(entries)
            finally:
                os.close(fd)
            add(prefix, rows)
            pending += [f"{prefix}{name}/" for name in sorted(below)]
    finally:
        os.close(top)


def _rows(entries: Iterable[os.DirEntry[str]]) -> tuple[list[Row], list[str]]:
    """The statuses of one directory's entries, and the names of those that are directories."""
    rows: list[Row] = []
    below: list[str] = []
    for entry in entries:
        name, s = entry.name, entry.stat(follow_symlinks=False)
        rows.append((name, s.st_ino, s.st_dev, s.st_size, s.st_mtime_ns, s.st_ctime_ns))
        if entry.is_dir(follow_symlinks=False):
            below.append(name)
    return rows, below
