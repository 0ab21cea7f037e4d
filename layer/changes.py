"""What a layer's directory changes with respect to the layers below it."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

from core.value import Value
from layer.overlayfs import OPAQUE_ATTRIBUTES, carried, is_whiteout
from layer.pipeline import PIECE
from layer.walk import walk

Kind = Literal["A", "C", "D"]


class Change(Value):
    """`path` is absolute inside the image; A added, C changed, D deleted."""

    kind: Kind
    path: str


def changes(upper: Path, lowers: Sequence[Path], stubs: Collection[bytes] = ()) -> Iterator[Change]:
    """The changes `upper` makes to `lowers` (overlay-format directories, bottom first), in sorted walk order.

    As Docker has it, a directory counts as changed when its mode or owner did or something in it is told, and nothing does
    that overlayfs has only copied up. `stubs` (paths without slashes at the ends) are mount points that an engine made:
    passed over where nothing was put into them. Raises OSError.
    """
    below: dict[bytes, tuple[list[bytes], bool]] = {b"": ([os.fsencode(lower) for lower in reversed(lowers)], False)}
    waiting = _Waiting()
    for fd, name, path, entry in walk(upper):
        if not path:
            continue
        parent, _, base = path.rpartition(b"/")
        directories, hidden = below.get(parent, ([], False))
        there, merged = visible(directories, base)
        waiting.leave(path)
        own = os.fstat(fd) if entry is None else os.stat(name, dir_fd=fd, follow_symlinks=False)
        if is_whiteout(own):
            if there is not None:
                yield from waiting.told(Change("D", _shown(path)))
            continue
        kind: Kind = "A" if there is None else "C"
        unsaid = path in stubs if there is None else same(os.fsencode(upper) + b"/" + path, own, *there)
        if unsaid and entry is None:
            waiting.enter(path, Change(kind, _shown(path)))
        elif not unsaid or (there is None and own.st_size):
            yield from waiting.told(Change(kind, _shown(path)))
        if entry is None and merged:
            hidden = hidden or is_opaque(fd)
            below[path] = (merged, hidden)
            if hidden:
                for change in _hidden(fd, path, merged):
                    yield from waiting.told(change)


class _Waiting:
    """The directories around us that are told only if something in them is."""

    def __init__(self) -> None:
        self._open: list[tuple[bytes, Change]] = []

    def enter(self, path: bytes, change: Change) -> None:
        self._open.append((path, change))

    def leave(self, path: bytes) -> None:
        """Forget those that `path` is not in."""
        while self._open and not path.startswith(self._open[-1][0] + b"/"):
            self._open.pop()

    def told(self, change: Change) -> Iterator[Change]:
        yield from (waiting for _, waiting in self._open)
        self._open.clear()
        yield change


def same(path: bytes, own: os.stat_result, other: bytes, status: os.stat_result) -> bool:
    """Whether `path`, whose stat is `own`, says the same as `other`: of directories neither times nor contents count, of
    other things the times, and where they are equal the contents."""
    if (own.st_mode, own.st_uid, own.st_gid) != (status.st_mode, status.st_uid, status.st_gid):
        return False
    if attributes(path) != attributes(other):
        return False
    if stat.S_ISDIR(own.st_mode):
        return True
    if (own.st_mtime_ns, own.st_size, own.st_rdev) != (status.st_mtime_ns, status.st_size, status.st_rdev):
        return False
    if stat.S_ISLNK(own.st_mode):
        return os.readlink(path) == os.readlink(other)
    return not stat.S_ISREG(own.st_mode) or _same_content(path, other)


def attributes(path: bytes) -> dict[str, bytes]:
    """The extended attributes that a layer carries."""
    names = filter(carried, os.listxattr(path, follow_symlinks=False))
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def _same_content(path: bytes, other: bytes) -> bool:
    with open(path, "rb", buffering=0) as one, open(other, "rb", buffering=0) as two:
        while (data := one.read(PIECE)) == two.read(PIECE):
            if not data:
                return True
        return False


def is_opaque(directory: int | bytes) -> bool:
    """Whether the directory (a descriptor or a path) hides what lower layers have in its place."""
    return any(name in OPAQUE_ATTRIBUTES and os.getxattr(directory, name) == b"y" for name in os.listxattr(directory))


def visible(directories: list[bytes], name: bytes) -> tuple[tuple[bytes, os.stat_result] | None, list[bytes]]:
    """What `name` is in the merged `directories` (top first), and the directories that are merged in its place."""
    seen: tuple[bytes, os.stat_result] | None = None
    merged: list[bytes] = []
    for directory in directories:
        path = directory + b"/" + name
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if is_whiteout(status) or (seen is not None and not stat.S_ISDIR(status.st_mode)):
            break
        seen = seen or (path, status)
        if not stat.S_ISDIR(status.st_mode):
            break
        merged.append(path)
        if is_opaque(path):
            break
    return seen, merged


def _hidden(fd: int, path: bytes, merged: list[bytes]) -> Iterator[Change]:
    """What lower layers have in an opaque directory and the upper has not again."""
    kept = {os.fsencode(name) for name in os.listdir(fd)}
    names = {name for directory in merged for name in os.listdir(directory)}
    for name in sorted(names - kept):
        if visible(merged, name)[0] is not None:
            yield Change("D", _shown(path + b"/" + name))


def _shown(path: bytes) -> str:
    return "/" + os.fsdecode(path)
