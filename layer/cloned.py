"""Packs a layer of which large files share their extents with files elsewhere, by reading those.

A clone has nothing in memory yet: reading it means reading the disk, while the file that it was cloned from was very
likely written or hashed just before. The bytes are the same as long as the original has not changed since.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from core.errors import Integrity
from core.value import Value
from layer.pack import Packed, Packer
from layer.pipeline import Checksum, Hasher

LARGE = 1 << 20
# As git's rule for its index: a file system's clock may stand still for a while, and changes in that time look alike.
RACY_NANOSECONDS = 2 * 10**9
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
Mark = tuple[int, int, int, int, int]


def mark(status: os.stat_result) -> Mark:
    """What differs after any change of a file's bytes."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Original(Value):
    """A file that was as it is in `mark` when it was cloned, and had been so for longer than `RACY_NANOSECONDS`."""

    path: str
    mark: Mark


class _Changed(Exception):
    """An original is not what it was."""


def pack_cloned(directory: Path, originals: Mapping[int, Original]) -> Packed:
    """As `pack`, without `content`; `originals` tells for inodes in `directory` where the same bytes are. One that was
    changed or removed meanwhile costs a second pass, and no more."""
    try:
        return _packed(directory, originals)
    except _Changed:
        return _packed(directory, {})


def _packed(directory: Path, originals: Mapping[int, Original]) -> Packed:
    checksum = Checksum()
    packer = _Packer(originals, Hasher(checksum=checksum))
    diff_id = packer.run(directory)
    return Packed(diff_id, packer.hasher.count, packer.entries, checksum.value)


class _Packer(Packer):
    def __init__(self, originals: Mapping[int, Original], hasher: Hasher) -> None:
        super().__init__(None, hasher=hasher)
        self._originals = originals

    def _data(self, fd: int, size: int, path: bytes) -> None:
        original = self._originals.get(os.fstat(fd).st_ino) if size >= LARGE else None
        if original is None:
            super()._data(fd, size, path)
            return
        try:
            other = os.open(original.path, _OPEN)
        except OSError as error:
            raise _Changed from error
        try:
            if mark(os.fstat(other)) != original.mark:
                raise _Changed
            super()._data(other, size, path)
            if mark(os.fstat(other)) != original.mark:
                raise _Changed
        except (Integrity, OSError) as error:
            raise _Changed from error
        finally:
            os.close(other)
