"""A layer's directory as a deterministic tar.

The encoding (house rule "A layer is a directory"): names as bytes, a directory before what is in it, names sorted;
modification times floored to seconds, no other times, no user or group names; hard links refer to the name that sorts
first; whiteouts as `.wh.` with time zero; sockets are left out, holes read as zeros. The root itself is an entry only
when its mode or owner is unusual (not 0755, 0:0), so that an empty layer is 1024 zero bytes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from core.errors import Integrity, InvalidInput
from core.value import Value
from image.digest import DiffID, Digest
from layer import headers
from layer.headers import PADDING
from layer.overlayfs import OPAQUE, OPAQUE_ATTRIBUTES, WHITEOUT, carried, is_whiteout
from layer.pipeline import PIECE, Checksum, Hasher
from layer.walk import walk

PACK_VERSION = 1
Write = Callable[[bytes | memoryview], object]

_END = bytes(1024)
_MAGIC = b"ustar\x0000" + bytes(64)
_SECOND = 1_000_000_000
_SMALL = 256 << 10
_FLUSH = 512 << 10
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN_FILE_QUIETLY = _OPEN_FILE | os.O_NOATIME
_FILE_TAIL = headers.tail(headers.FILE)
_DIRECTORY_TAIL = headers.tail(headers.DIRECTORY)
_KINDS = {stat.S_IFCHR: headers.CHARACTER, stat.S_IFBLK: headers.BLOCK_DEVICE, stat.S_IFIFO: headers.FIFO}


class Packed(Value):
    """What one pass over a directory found out: `size` is the tar's bytes, `checksum` its CRC-32, `content` the digest of all
    but times where that was asked for, which is hashing twice."""

    diff_id: DiffID
    size: int
    entries: int
    checksum: int
    content: Digest | None = None


def pack(directory: Path, write: Write | None = None) -> Packed:
    """The overlay-format `directory` as a tar, given to `write` piece by piece and hashed on the way.

    Nobody may be changing the directory. Raises InvalidInput for what a layer cannot hold, Integrity when a file
    changes meanwhile, OSError of a failing disk. Harmless to repeat: the same directory gives the same bytes.
    """
    timeless, checksum = Hasher(), Checksum()
    packer = Packer(write, timeless, Hasher(checksum=checksum))
    try:
        diff_id = packer.run(directory)
        content = Digest(f"sha256:{timeless.hexdigest()}")
        return Packed(diff_id, packer.hasher.count, packer.entries, checksum.value, content)
    finally:
        timeless.close()


def stream(directory: Path, write: Write) -> DiffID:
    """The same tar without the content digest: half the hashing. The caller compares the DiffID."""
    return Packer(write).run(directory)


def check(directory: Path, write: Write) -> tuple[int, int]:
    """The same tar without any hashing: its size and CRC-32, which the caller compares with those of the first packing."""
    checksum = Checksum()
    Packer(write, hasher=checksum).give(directory)
    return checksum.count, checksum.value


def outline(directory: Path) -> str:
    """A digest of the tar that `pack` makes of `directory`, without what is in its files: of all else, and of which file
    comes where. Reads no content. Raises InvalidInput for what a layer cannot hold, OSError."""
    packer = _Outliner()
    return f"{packer.run(directory).hex} {packer.places.hexdigest()}"


def place(before: int, size: int, path: bytes) -> bytes:
    """One file of an outline: how much of all else is before it, its bytes, its path."""
    return b"%d %d %b\0" % (before, size, path)


def looks_packed(head: bytes) -> bool:
    """Whether a tar that begins with `head` (512 bytes) may be one that `pack` wrote. Most others differ in their first
    header; only packing again shows that a tar is ours to the last byte."""
    if not head.strip(b"\0"):
        return True
    numbers = (head[100:108], head[108:116], head[116:124], head[124:136], head[136:148])
    octal = all(number[:-1].isdigit() for number in numbers) and all(number.endswith(b"\0") for number in numbers)
    return len(head) >= 512 and octal and head[257:329] == _MAGIC and head[345:512] == bytes(167)


class Packer:
    """One pass. `reserved`: how no name may begin; `changing`: others may be changing the directory."""

    reserved = WHITEOUT
    changing = False

    def __init__(
        self, write: Write | None, timeless: Hasher | None = None, hasher: Hasher | Checksum | None = None
    ) -> None:
        self.hasher = hasher or Hasher()
        self.entries = 0
        self._write = write
        self._timeless = timeless
        self._parts: list[bytes] = []
        self._timeless_parts: list[bytes] = []
        self._pending = 0
        self._names: dict[int, bytes] = {}
        self._open_file = _OPEN_FILE_QUIETLY

    def run(self, directory: str | os.PathLike[str]) -> DiffID:
        """Pack `directory`, with a `hasher` that hashes."""
        self.give(directory)
        assert isinstance(self.hasher, Hasher)
        return DiffID(f"sha256:{self.hasher.hexdigest()}")

    def give(self, directory: str | os.PathLike[str]) -> None:
        """Pack `directory`; what it gives is with the `hasher` alone."""
        try:
            for fd, name, path, entry in walk(directory, changing=self.changing):
                if entry is None:
                    self._directory(fd, path)
                elif name.startswith(self.reserved):
                    raise _unpackable(path)
                elif entry.is_file(follow_symlinks=False):
                    self._file(fd, name, path)
                else:
                    self._other(fd, name, path)
            self._parts.append(_END)
            self._flush()
        finally:
            self.hasher.close()

    def _directory(self, fd: int, path: bytes) -> None:
        if path.rpartition(b"/")[2].startswith(self.reserved):
            raise _unpackable(path)
        prefix = path + b"/" if path else b""
        status = os.fstat(fd)
        names = os.listxattr(fd)
        if prefix or stat.S_IMODE(status.st_mode) != 0o755 or status.st_uid or status.st_gid:
            self._entry(prefix or b"./", status, _DIRECTORY_TAIL, xattrs=_xattrs(fd, names))
        if self._is_opaque(fd, names):
            self._marker(prefix + OPAQUE)

    def _is_opaque(self, fd: int, names: list[str]) -> bool:
        return any(name in OPAQUE_ATTRIBUTES and os.getxattr(fd, name) == b"y" for name in names)

    def _file(self, directory: int, name: bytes, path: bytes) -> None:
        fd = self._open(directory, name)
        try:
            status = os.fstat(fd)
            if status.st_nlink > 1 and self._linked(path, status):
                return
            names = os.listxattr(fd)
            mtime = status.st_mtime_ns // _SECOND
            size = status.st_size
            uid, gid = status.st_uid, status.st_gid
            if names or not headers.fits(path, uid, gid, size, mtime):
                self._entry(path, status, _FILE_TAIL, size=size, xattrs=_xattrs(fd, names))
            else:
                front = headers.front(path, status.st_mode & 0o7777, uid, gid, size)
                self._head(headers.block(front, mtime, _FILE_TAIL), front)
            if size:
                self._data(fd, size, path)
        finally:
            os.close(fd)

    def _open(self, directory: int, name: bytes) -> int:
        try:
            return os.open(name, self._open_file, dir_fd=directory)
        except PermissionError:  # O_NOATIME is for owners only
            self._open_file = _OPEN_FILE
            return os.open(name, _OPEN_FILE, dir_fd=directory)

    def _data(self, fd: int, size: int, path: bytes) -> None:
        if size > _SMALL:
            self._large(fd, size, path)
        else:
            self._small(fd, size, path)
        self._parts.append(PADDING[size % 512])
        if self._pending > _FLUSH:
            self._flush()

    def _small(self, fd: int, left: int, path: bytes) -> None:
        while left:
            data = os.read(fd, left) or self._missing(left, path)
            left -= len(data)
            self._parts.append(data)
            self._pending += len(data)
            if self._timeless is not None:
                self._timeless_parts.append(data)

    def _large(self, fd: int, left: int, path: bytes) -> None:
        """In pieces that end where the compressor's chunks do, which then need not be put together."""
        self._flush()
        while left:
            data = os.read(fd, min(left, PIECE - self.hasher.count % PIECE)) or self._missing(left, path)
            left -= len(data)
            self._put(data)
            if self._timeless is not None:
                self._timeless.update(data)

    def _missing(self, count: int, path: bytes) -> bytes:
        """At most `count` bytes for a file that has become shorter than its header says."""
        raise Integrity(f"a file changed while it was packed: /{_shown(path)}")

    def _other(self, directory: int, name: bytes, path: bytes) -> None:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        form = stat.S_IFMT(status.st_mode)
        if is_whiteout(status):
            self._marker(path[: len(path) - len(name)] + WHITEOUT + name)
        elif form == stat.S_IFSOCK or (status.st_nlink > 1 and self._linked(path, status)):
            return
        elif form == stat.S_IFLNK:
            target = os.readlink(name, dir_fd=directory)
            self._entry(path, status, headers.tail(headers.SYMLINK, target[:100]), link=target)
        else:
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            self._entry(path, status, headers.tail(_KINDS[form], b"", major, minor))

    def _linked(self, path: bytes, status: os.stat_result) -> bool:
        """Write a hard link when the inode has been packed under another name; else remember this one."""
        first = self._names.setdefault(status.st_ino, path)
        if first == path:
            return False
        self._entry(path, status, headers.tail(headers.HARDLINK, first[:100]), link=first)
        return True

    def _entry(
        self,
        path: bytes,
        status: os.stat_result,
        rest: tuple[bytes, int],
        *,
        size: int = 0,
        link: bytes = b"",
        xattrs: dict[bytes, bytes] | None = None,
    ) -> None:
        mode, mtime = stat.S_IMODE(status.st_mode), status.st_mtime_ns // _SECOND
        self._head(*headers.extended(path, mode, status.st_uid, status.st_gid, size, mtime, rest, link, xattrs))

    def _marker(self, path: bytes) -> None:
        self._head(*headers.extended(path, 0, 0, 0, 0, 0, _FILE_TAIL))

    def _head(self, block: bytes, timeless: bytes) -> None:
        self.entries += 1
        self._parts.append(block)
        self._pending += len(block)
        if self._timeless is not None:
            self._timeless_parts.append(timeless)
        if self._pending > _FLUSH:
            self._flush()

    def _flush(self) -> None:
        if self._parts:
            self._put(b"".join(self._parts))
            self._parts.clear()
            self._pending = 0
        if self._timeless is not None and self._timeless_parts:
            self._timeless.update(b"".join(self._timeless_parts))
            self._timeless_parts.clear()

    def _put(self, data: bytes) -> None:
        self.hasher.update(data)
        if self._write is not None:
            self._write(data)


class _Outliner(Packer):
    def __init__(self) -> None:
        super().__init__(None, None)
        self.places = sha256()

    def _data(self, fd: int, size: int, path: bytes) -> None:
        self._flush()
        self.places.update(place(self.hasher.count, size, path))
        self._parts.append(PADDING[size % 512])


def _unpackable(path: bytes) -> InvalidInput:
    return InvalidInput(
        f"a layer cannot hold a file of this name: /{_shown(path)}",
        "names that begin with .wh. mark deletions in the layer format: rename it",
    )


def _xattrs(fd: int, names: list[str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.getxattr(fd, name) for name in names if carried(name)}


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
