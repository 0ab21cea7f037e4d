"""Items as a tar stream, and a tar stream, which anybody may have written, as items."""

from __future__ import annotations

import io
import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from typing import IO

from core.errors import InvalidInput
from core.paths import clean
from runtime.copy_items import Item

_XATTR = "SCHILY.xattr."
_KINDS = {
    tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK, tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
}  # fmt: skip
_TYPES = {kind: letter for letter, kind in _KINDS.items()}


def write(items: Iterator[Item], base: str, stream: IO[bytes]) -> None:
    """Write `items` as a tar, below the name `base`."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for item in items:
            name = posixpath.join(base, item.path) if item.path else base
            entry = tarfile.TarInfo(name)
            entry.mode, entry.uid, entry.gid = stat.S_IMODE(item.mode), item.uid, item.gid
            entry.mtime = item.mtime_ns // 10**9
            entry.pax_headers = {
                _XATTR + key: value.decode("utf-8", "surrogateescape") for key, value in item.xattrs.items()
            }
            if item.hard:
                entry.type, entry.linkname = tarfile.LNKTYPE, posixpath.join(base, item.link) if item.link else base
            else:
                entry.type = _TYPES.get(stat.S_IFMT(item.mode), tarfile.REGTYPE)
                entry.linkname, entry.devmajor, entry.devminor = item.link, os.major(item.rdev), os.minor(item.rdev)
            if entry.isreg() and item.content:
                entry.size = item.size
                with item.content() as content:
                    tar.addfile(entry, _Exactly(content, item.size))
            else:
                tar.addfile(entry)


class _Exactly(io.RawIOBase):
    """As many bytes as the header has promised, however the file has changed since."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        pieces, missing = [], wanted
        while missing and (data := self._file.read(missing)):
            pieces.append(data)
            missing -= len(data)
        self._left -= wanted
        return b"".join(pieces) + bytes(missing)


def read(stream: IO[bytes]) -> Iterator[Item]:
    """The items of a tar, compressed or not; no path leads out of where they are put. Raises InvalidInput for what is none."""
    try:
        with tarfile.open(fileobj=stream, mode="r|*", errors="surrogateescape") as tar:
            for entry in tar:
                item = _item(tar, entry)
                if item:
                    yield item
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise InvalidInput(f"this is no tar archive: {error}") from error


def _item(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> Item | None:
    kind = _KINDS.get(entry.type, stat.S_IFREG if entry.isreg() or entry.islnk() else 0)
    path = clean(entry.name).strip("/")
    if not kind or (not path and kind != stat.S_IFDIR):
        return None
    link = clean(entry.linkname).strip("/") if entry.islnk() else entry.linkname if entry.issym() else ""
    headers = entry.pax_headers
    xattrs = {
        key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
        for key, value in headers.items()
        if key.startswith((_XATTR + "user.", _XATTR + "security.capability"))
    }
    rdev = os.makedev(entry.devmajor, entry.devminor) if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
    mode = kind | (entry.mode & 0o7777)
    return Item(
        path, mode, entry.uid, entry.gid, entry.size, int(entry.mtime * 10**9), rdev, link, entry.islnk(), xattrs,
        (lambda: _content(tar, entry)) if kind == stat.S_IFREG and not entry.islnk() else None,
    )  # fmt: skip


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    return tar.extractfile(entry) or io.BytesIO()
