"""A blob that is there already, which an upload seems to repeat: the bytes that come are compared with its own, once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Self

from core.closing import Closing
from layer.cloned import RACY_NANOSECONDS, Mark, mark

COMPARE_BYTES = 256 << 10
REMEMBERED = 10_000


class Compared:
    """How blobs' files stood when their bytes were seen to be what their digests name. A file that still stands like that
    need not be read again, as in a build's context. For several threads."""

    def __init__(self) -> None:
        self._marks: dict[Path, Mark] = {}

    def has(self, path: Path, seen: Mark) -> bool:
        return self._marks.get(path) == seen

    def note(self, path: Path, seen: Mark, began: int) -> None:
        """That the bytes were right, and were read from `began` (nanoseconds) on, while the file was as in `seen`."""
        if max(seen[-2:]) < began - RACY_NANOSECONDS:  # else what changed it meanwhile could have left that as it is
            while len(self._marks) >= REMEMBERED:
                self._marks.pop(next(iter(self._marks)), None)
            self._marks[path] = seen


class Model(Closing):
    """An open blob of `size` bytes. `known`: its bytes need not be compared. Use as a context manager, or close it."""

    def __init__(self, fd: int, path: Path, compared: Compared) -> None:
        self._fd, self._path, self._compared, self._began = fd, path, compared, time.time_ns()
        self._seen = mark(os.fstat(fd))
        self.known = compared.has(path, self._seen)

    @classmethod
    def find(cls, path: Path, size: int, compared: Compared) -> Self | None:
        """The blob at `path`, where it has that size."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if os.fstat(fd).st_size == size:
            return cls(fd, path, compared)
        os.close(fd)
        return None

    @property
    def size(self) -> int:
        return self._seen[2]

    def read(self, count: int, start: int) -> bytes:
        return os.pread(self._fd, count, start)

    def has(self, data: bytes, start: int) -> bool:
        """Whether its bytes from `start` on are these. Where it is known, that is for a hash over all of them to say."""
        return start + len(data) <= self.size if self.known else self.read(len(data), start) == data

    def same(self, other: int) -> bool:
        """Whether a file of the same size has the same bytes: read into buffers that are used again and stay in the
        processor's cache."""
        step = min(COMPARE_BYTES, self.size)
        here, there = bytearray(step), bytearray(step)
        for start in range(0, 0 if self.known else self.size, COMPARE_BYTES):
            count = os.preadv(self._fd, [here], start)
            if count != os.preadv(other, [there], start) or here != there:
                return False
        return True

    def stands(self, size: int) -> bool:
        """Whether all `size` bytes of it, which `has` or `same` was true of, are still what its path leads to."""
        try:
            now = mark(os.lstat(self._path))
        except FileNotFoundError:
            return False
        if now != self._seen or size != self.size:
            return False
        self._compared.note(self._path, now, self._began)
        return True

    def close(self) -> None:
        """Once."""
        os.close(self._fd)
