"""A blob that is there already, which an upload seems to repeat: the bytes that come are compared with its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from core.closing import Closing

COMPARE_BYTES = 256 << 10


class Model(Closing):
    """An open blob of `size` bytes. Use as a context manager, or close it."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size = fd, size

    @classmethod
    def find(cls, path: Path, size: int) -> Self | None:
        """The blob at `path`, where it has that size."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if os.fstat(fd).st_size == size:
            return cls(fd, size)
        os.close(fd)
        return None

    def read(self, count: int, start: int) -> bytes:
        return os.pread(self._fd, count, start)

    def has(self, data: bytes, start: int) -> bool:
        """Whether its bytes from `start` on are these."""
        return self.read(len(data), start) == data

    def same(self, other: int) -> bool:
        """Whether a file of the same size has the same bytes: read into buffers that are used again and stay in the
        processor's cache."""
        step = min(COMPARE_BYTES, self._size)
        here, there = bytearray(step), bytearray(step)
        for start in range(0, self._size, COMPARE_BYTES):
            count = os.preadv(self._fd, [here], start)
            if count != os.preadv(other, [there], start) or here != there:
                return False
        return True

    def is_at(self, path: Path, size: int) -> bool:
        """Whether it has this size, and is what `path` still leads to."""
        try:
            return size == self._size and os.path.samestat(os.fstat(self._fd), os.lstat(path))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Once."""
        os.close(self._fd)
