"""A file or a tree, item by item, as it is copied: read from a directory that others may be changing, or from a tar."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import IO, NamedTuple

_KEPT = ("user.", "security.capability")


class Item(NamedTuple):
    """`path` is below what is copied, empty for that itself. `mode` has the file's type; `link` is what a symbolic link
    says, or the path of an earlier item that a hard link (`hard`) shares. `content` gives the bytes of a regular file,
    to be read before the next item."""

    path: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    rdev: int = 0
    link: str = ""
    hard: bool = False
    xattrs: Mapping[str, bytes] = {}
    content: Callable[[], IO[bytes]] | None = None


def walk(fd: int) -> Iterator[Item]:
    """The file behind `fd` (opened with O_PATH) and all below it; links are not followed, sockets left out.

    Whoever changes the tree meanwhile can change what is read, not where: everything is opened by its place in its parent.
    """
    yield from _walk(fd, "", {})


def _walk(fd: int, path: str, seen: dict[tuple[int, int], str]) -> Iterator[Item]:
    status = os.fstat(fd)
    kind = stat.S_IFMT(status.st_mode)
    known = seen.setdefault((status.st_dev, status.st_ino), path) if status.st_nlink > 1 else path
    hard = known != path and kind != stat.S_IFDIR
    if kind == stat.S_IFSOCK:
        return
    yield Item(
        path, status.st_mode, status.st_uid, status.st_gid, status.st_size if kind == stat.S_IFREG else 0, status.st_mtime_ns,
        status.st_rdev, known if hard else os.readlink("", dir_fd=fd) if kind == stat.S_IFLNK else "", hard,
        _xattrs(fd) if kind in (stat.S_IFREG, stat.S_IFDIR) else {}, lambda: _content(fd),
    )  # fmt: skip
    if kind == stat.S_IFDIR:
        yield from _below(fd, path, seen)


def _below(fd: int, path: str, seen: dict[tuple[int, int], str]) -> Iterator[Item]:
    inside = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        names = sorted(os.listdir(inside))
        for name in names:
            try:
                child = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inside)
            except FileNotFoundError:  # removed meanwhile
                continue
            try:
                yield from _walk(child, f"{path}/{name}" if path else name, seen)
            finally:
                os.close(child)
    finally:
        os.close(inside)


def _content(fd: int) -> IO[bytes]:
    """What is opened is what was looked at: opening some devices has effects."""
    return open(f"/proc/self/fd/{fd}", "rb", buffering=0)


def _xattrs(fd: int) -> dict[str, bytes]:
    place, found = f"/proc/self/fd/{fd}", {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(place):
            if name.startswith(_KEPT):
                found[name] = os.getxattr(place, name)
    return found


def set_xattrs(fd: int, xattrs: Mapping[str, bytes]) -> None:
    """Give them to an open file; a file system that has none goes without."""
    for name, value in xattrs.items():
        try:
            os.setxattr(f"/proc/self/fd/{fd}", name, value)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
                raise
