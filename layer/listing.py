"""The listing of a foreign layer's directory: written at unpack, checked by fsck.

One JSON array a line, in the order of `layer.walk`: [path, type, mode, uid, gid, size, mtime in ns, what, xattrs].
`what` is a file's sha256, a link's target, a device's "major:minor" or null. The root's path is empty, its time left out.
Of a large file it is a number, where its content begins in the layer's tar: that is kept anyway, and named by a hash, so
the two are compared byte by byte (`layer.comparison`), and unpacking does not hash what is hashed already.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from core.errors import Integrity
from layer.overlayfs import OPAQUE_ATTRIBUTES, carried
from layer.pipeline import PIECE
from layer.reader import shown
from layer.unpack import Content
from layer.walk import walk

MAX_DIFFERENCES = 100
_FIELDS = ("path", "type", "mode", "uid", "gid", "size", "mtime", "content", "xattrs")
_TYPES = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
}  # fmt: skip
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
Row = list[Any]
Place = tuple[int, int, bytes]
"""Where a file's content begins in the layer's tar, its bytes, its path."""


def write_listing(
    directory: Path, write: Callable[[bytes], object], contents: Mapping[bytes, Content] | None = None
) -> int:
    """One line an entry of `directory` (path, type, mode, ids, size, mtime, content, xattrs), sorted; returns the count.

    `contents` (from apply_layer) saves reading the files again. Raises OSError.
    """
    count = 0
    lines = []
    for row in _rows(directory, contents or {}):
        count += 1
        lines.append(json.dumps(row, separators=(",", ":")))
        if len(lines) == 1024:
            write(("\n".join(lines) + "\n").encode())
            lines.clear()
    if lines:
        write(("\n".join(lines) + "\n").encode())
    return count


def places(listing: Iterable[bytes]) -> list[Place]:
    """The files of a listing whose content is to be compared with the layer's tar. Raises Integrity for damage."""
    return [
        (row[7], row[5], os.fsencode(row[0]))
        for row in _parsed(listing)
        if row[1] == "file" and isinstance(row[7], int) and isinstance(row[5], int)
    ]


def verify(directory: Path, listing: Iterable[bytes], placed: Iterable[Place] = ()) -> list[str]:
    """What differs between `directory` and the lines of its listing, one sentence each; empty when nothing does.

    An open binary file is a fine `listing`. Reads every file whose content is not `placed`, which is for the caller to
    compare; stops after 100 differences. Raises Integrity for a listing that is damaged itself.
    """
    found: list[str] = []
    elsewhere = {path: begin for begin, _, path in placed}
    for there, listed in _beside(_rows(directory, elsewhere), _parsed(listing)):
        found += _differences(there, listed)
        if len(found) >= MAX_DIFFERENCES:
            return [*found[:MAX_DIFFERENCES], "more differences are not shown"]
    return found


def _rows(directory: Path, contents: Mapping[bytes, Content]) -> Iterator[Row]:
    linked: dict[int, bytes] = {}
    for fd, name, path, entry in walk(directory):
        status = os.fstat(fd) if entry is None else os.stat(name, dir_fd=fd, follow_symlinks=False)
        form = stat.S_IFMT(status.st_mode)
        size = status.st_size if form in (stat.S_IFREG, stat.S_IFLNK) else 0
        what: str | int | None = None
        xattrs: dict[str, str] = {}
        if form == stat.S_IFREG:
            what, xattrs = _file(fd, name, status, linked, contents.get(path))
        elif form == stat.S_IFDIR:
            xattrs = _xattrs(fd)
        elif form == stat.S_IFLNK:
            what = os.fsdecode(os.readlink(name, dir_fd=fd))
        elif form in (stat.S_IFCHR, stat.S_IFBLK):
            what = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        mtime = status.st_mtime_ns if path else 0
        mode = stat.S_IMODE(status.st_mode)
        yield [os.fsdecode(path), _TYPES[form], mode, status.st_uid, status.st_gid, size, mtime, what, xattrs]


def _file(
    directory: int, name: bytes, status: os.stat_result, linked: dict[int, bytes], content: Content | None
) -> tuple[str | int, dict[str, str]]:
    fd = os.open(name, _OPEN, dir_fd=directory)
    try:
        if isinstance(content, int):
            return content, _xattrs(fd)
        if status.st_nlink > 1:
            content = linked.get(status.st_ino, content)
        if content is None:
            content = _hash(fd)
        if status.st_nlink > 1:
            linked[status.st_ino] = content
        return content.hex(), _xattrs(fd)
    finally:
        os.close(fd)


def _hash(fd: int) -> bytes:
    running = sha256()
    while data := os.read(fd, PIECE):
        running.update(data)
    return running.digest()


def _xattrs(fd: int) -> dict[str, str]:
    return {
        name: os.getxattr(fd, name).hex()
        for name in sorted(os.listxattr(fd))
        if carried(name) or name in OPAQUE_ATTRIBUTES
    }


def _parsed(listing: Iterable[bytes]) -> Iterator[Row]:
    for line in listing:
        try:
            row = json.loads(line)
            if not isinstance(row, list) or len(row) != len(_FIELDS) or not isinstance(row[0], str):
                raise ValueError
        except ValueError:
            raise Integrity(f"damaged line in a layer's listing: {line[:100]!r}") from None
        yield row


def _beside(there: Iterator[Row], listed: Iterator[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """The rows of both in their common order, those of one path together."""
    left, right = next(there, None), next(listed, None)
    while left is not None or right is not None:
        if right is None or (left is not None and _order(left) < _order(right)):
            yield left, None
            left = next(there, None)
        elif left is None or _order(right) < _order(left):
            yield None, right
            right = next(listed, None)
        else:
            yield left, right
            left, right = next(there, None), next(listed, None)


def _order(row: Row) -> list[bytes]:
    path = os.fsencode(row[0])
    return path.split(b"/") if path else []


def _differences(there: Row | None, listed: Row | None) -> list[str]:
    if there == listed:
        return []
    if there is None or listed is None:
        row = there or listed or [""]
        return [f"/{shown(os.fsencode(row[0]))} {'is missing' if there is None else 'was not in the layer'}"]
    path = shown(os.fsencode(there[0]))
    return [
        f"/{path}: {field} is {now if field != 'mode' else oct(now)}, was {was if field != 'mode' else oct(was)}"
        for field, now, was in zip(_FIELDS, there, listed, strict=True)
        if now != was
    ]
