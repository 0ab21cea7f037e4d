"""A layer's directory as a deterministic tar.

The encoding (house rule "A layer is a directory"): names as bytes, a directory before what is in it, names sorted;
modification times floored to seconds, no other times, no user or group names; hard links refer to the name that sorts
first; whiteouts as `.wh.` with time zero; sockets are left out, holes read as zeros. The root itself is an entry only
when its mode or owner is unusual (not 0755, 0:0), so that an empty layer is 1024 zero bytes.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import Integrity, InvalidInput
from image.digest import DiffID, Digest
from layer import headers
from layer.headers import PADDING
from layer.overlayfs import OPAQUE, OPAQUE_ATTRIBUTES, WHITEOUT, carried, is_whiteout
from layer.pipeline import PIECE, Hasher

PACK_VERSION = 1
Write = Callable[[bytes | memoryview], object]

_END = bytes(1024)
_SECOND = 1_000_000_000
_SMALL = 256 << 10
_FLUSH = 512 << 10
_MAX_PATH = 4095
_OPEN_LEVELS = 128
_NAMES = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN_FILE_QUIETLY = _OPEN_FILE | os.O_NOATIME
_FILE_TAIL = headers.tail(headers.FILE)
_DIRECTORY_TAIL = headers.tail(headers.DIRECTORY)
_KINDS = {stat.S_IFCHR: headers.CHARACTER, stat.S_IFBLK: headers.BLOCK_DEVICE, stat.S_IFIFO: headers.FIFO}


@dataclass(frozen=True, slots=True)
class Packed:
    """What one pass over a directory found out: `size` is the tar's bytes, `content` the digest of all but times."""

    diff_id: DiffID
    size: int
    entries: int
    content: Digest


def pack(directory: Path, write: Write | None = None) -> Packed:
    """The overlay-format `directory` as a tar, given to `write` piece by piece and hashed on the way.

    Nobody may be changing the directory. Raises InvalidInput for what a layer cannot hold, Integrity when a file
    changes meanwhile, OSError of a failing disk. Harmless to repeat: the same directory gives the same bytes.
    """
    timeless = Hasher()
    packer = _Packer(write, timeless)
    try:
        diff_id = packer.run(directory)
        return Packed(diff_id, packer.hasher.count, packer.entries, Digest(f"sha256:{timeless.hexdigest()}"))
    finally:
        timeless.close()


def stream(directory: Path, write: Write) -> DiffID:
    """The same tar without the content digest: half the hashing, for push and save. The caller compares the DiffID."""
    return _Packer(write, None).run(directory)


class _Frame:
    """A directory being walked. Its descriptor is closed while the walk is far below it."""

    __slots__ = ("children", "fd", "prefix")

    def __init__(self, fd: int | None, prefix: bytes, children: Iterator[tuple[bytes, os.DirEntry[str]]]) -> None:
        self.fd = fd
        self.prefix = prefix
        self.children = children


class _Packer:
    def __init__(self, write: Write | None, timeless: Hasher | None) -> None:
        self.hasher = Hasher()
        self.entries = 0
        self._write = write
        self._timeless = timeless
        self._parts: list[bytes] = []
        self._timeless_parts: list[bytes] = []
        self._pending = 0
        self._names: dict[int, bytes] = {}
        self._open_file = _OPEN_FILE_QUIETLY

    def run(self, directory: Path) -> DiffID:
        stack: list[_Frame] = []
        try:
            stack.append(self._enter(os.open(directory, _OPEN_DIRECTORY), b""))
            while stack:
                self._step(stack)
            self._parts.append(_END)
            self._flush()
            return DiffID(f"sha256:{self.hasher.hexdigest()}")
        finally:
            self.hasher.close()
            for frame in stack:
                if frame.fd is not None:
                    os.close(frame.fd)

    def _step(self, stack: list[_Frame]) -> None:
        """Pack what is left of the innermost directory up to its next subdirectory, and enter or leave."""
        frame = stack[-1]
        assert frame.fd is not None
        below = self._files(frame.fd, frame.prefix, frame.children)
        if below is not None:
            path = frame.prefix + below + b"/"
            if len(path) > _MAX_PATH:
                raise InvalidInput(f"path too long for a layer: {_shown(path[:200])}…")
            stack.append(self._enter(os.open(below, _OPEN_DIRECTORY, dir_fd=frame.fd), path))
            if len(stack) > _OPEN_LEVELS:
                above = stack[-_OPEN_LEVELS - 1]
                if above.fd is not None:
                    os.close(above.fd)
                    above.fd = None
            return
        if len(stack) > 1 and stack[-2].fd is None:
            stack[-2].fd = os.open("..", _OPEN_DIRECTORY, dir_fd=frame.fd)
        stack.pop()
        os.close(frame.fd)

    def _enter(self, fd: int, prefix: bytes) -> _Frame:
        try:
            self._directory(fd, prefix)
            encoding, errors = _NAMES
            with os.scandir(fd) as found:
                children = sorted((entry.name.encode(encoding, errors), entry) for entry in found)
        except BaseException:
            os.close(fd)
            raise
        return _Frame(fd, prefix, iter(children))

    def _directory(self, fd: int, prefix: bytes) -> None:
        status = os.fstat(fd)
        names = os.listxattr(fd)
        if prefix or stat.S_IMODE(status.st_mode) != 0o755 or status.st_uid or status.st_gid:
            self._entry(prefix or b"./", status, _DIRECTORY_TAIL, xattrs=_xattrs(fd, names))
        if any(name in OPAQUE_ATTRIBUTES and os.getxattr(fd, name) == b"y" for name in names):
            self._marker(prefix + OPAQUE)

    def _files(self, fd: int, prefix: bytes, children: Iterator[tuple[bytes, os.DirEntry[str]]]) -> bytes | None:
        """Pack `children` up to the next directory, whose name is returned. The hot loop of the packer."""
        for name, entry in children:
            if name.startswith(WHITEOUT):
                raise InvalidInput(
                    f"a layer cannot hold a file of this name: /{_shown(prefix + name)}",
                    "names that begin with .wh. mark deletions in the layer format: rename it",
                )
            if entry.is_file(follow_symlinks=False):
                self._file(fd, name, prefix + name)
            elif entry.is_dir(follow_symlinks=False):
                return name
            else:
                self._other(fd, name, prefix + name)
        return None

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
        left = size
        while left:
            data = os.read(fd, min(left, PIECE))
            if not data:
                raise Integrity(f"a file changed while it was packed: /{_shown(path)}")
            left -= len(data)
            if len(data) > _SMALL:
                self._flush()
                self._put(data)
                if self._timeless is not None:
                    self._timeless.update(data)
                continue
            self._parts.append(data)
            self._pending += len(data)
            if self._timeless is not None:
                self._timeless_parts.append(data)
        self._parts.append(PADDING[size % 512])
        if self._pending > _FLUSH:
            self._flush()

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


def _xattrs(fd: int, names: list[str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.getxattr(fd, name) for name in names if carried(name)}


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
