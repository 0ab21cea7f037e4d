"""How much of the disk files take, as `du` counts it: blocks, and an inode with several names once; and how much of that
the disk gets back when a file goes: not what it shares with clones of it (reflinks)."""

from __future__ import annotations

import os
import stat

BLOCK_BYTES = 512
MAY_SHARE_BYTES = 1 << 20  # nobody here clones smaller files, and asking costs as much as removing them

_FIEMAP = 0xC020660B  # FS_IOC_FIEMAP (linux/fiemap.h)
_HEAD, _EXTENT = "=QQLLLL", "=QQQQQLLLL"
_EXTENTS = 200  # asked for at a time
_LAST, _SHARED = 0x0001, 0x2000


class Space:
    """Adds up trees that may share inodes; what another file system holds is not counted."""

    def __init__(self, device: int, *, shared: bool = True) -> None:
        """`shared`: count what files share with clones as well, as `du` does."""
        self.device = device
        self.shared = shared
        self._seen: set[int] = set()

    def of(self, path: str | os.PathLike[str]) -> int:
        """Bytes of disk of the file or tree at `path`, without what was counted before; 0 where it is gone."""
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return 0
        return self.one(status, path) + (self._below(os.fspath(path)) if stat.S_ISDIR(status.st_mode) else 0)

    def one(self, status: os.stat_result, path: str | os.PathLike[str] | None = None) -> int:
        """Bytes of disk of one inode, which is at `path`."""
        if status.st_dev != self.device:
            return 0
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in self._seen:
                return 0
            self._seen.add(status.st_ino)
        size = status.st_blocks * BLOCK_BYTES
        return size if self.shared or path is None else size - shared_bytes(status, path)

    def _below(self, path: str) -> int:
        total, pending = 0, [path]
        while pending:
            try:
                entries = os.scandir(pending.pop())
            except (FileNotFoundError, NotADirectoryError):  # it went meanwhile
                continue
            with entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    total += self.one(status, entry.path)
                    if stat.S_ISDIR(status.st_mode) and status.st_dev == self.device:
                        pending.append(entry.path)
        return total


def occupied(path: str | os.PathLike[str]) -> int:
    """Bytes that the disk gets back when the tree at `path` goes; 0 where there is none."""
    try:
        return Space(os.lstat(path).st_dev, shared=False).of(path)
    except FileNotFoundError:
        return 0


def shared_bytes(status: os.stat_result, path: str | os.PathLike[str], directory: int | None = None) -> int:
    """Bytes of the file at `path` (below the descriptor `directory`) that clones of it use as well; of small files, and
    where the file system does not say, none."""
    if status.st_size < MAY_SHARE_BYTES or not stat.S_ISREG(status.st_mode):
        return 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return 0
    try:
        return min(_shared(fd), status.st_blocks * BLOCK_BYTES)
    except OSError:
        return 0
    finally:
        os.close(fd)


def _shared(fd: int) -> int:
    import fcntl
    from struct import Struct

    head, extent = Struct(_HEAD), Struct(_EXTENT)
    total, start = 0, 0
    while True:
        buffer = bytearray(head.size + _EXTENTS * extent.size)
        head.pack_into(buffer, 0, start, 2**64 - 1 - start, 0, 0, _EXTENTS, 0)
        fcntl.ioctl(fd, _FIEMAP, buffer)
        count = head.unpack_from(buffer)[3]
        for number in range(count):
            logical, _, length, _, _, flags, *_ = extent.unpack_from(buffer, head.size + number * extent.size)
            total += length if flags & _SHARED else 0
            start = logical + length
            if flags & _LAST:
                return total
        if not count:
            return total
