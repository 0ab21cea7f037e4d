"""Who may not be disturbed: between a blob's last byte and its link a collector must not take it.

A lock on one byte of a file for each digest, bound to an open file (OFD, fcntl(2)): it works between threads and between
processes, and ends with its holder. Two digests that share a byte only wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from image.digest import Digest

_HEX_DIGITS = 15  # 60 bits: an offset that any off_t holds


class DiskHolds:
    """Holds by digest in the file `path`, which stays empty."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def hold(self, digest: Digest) -> Iterator[None]:
        """See RegistryBlobs."""
        with self._file() as fd:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _byte(fcntl.F_RDLCK, digest))
            yield

    @contextlib.contextmanager
    def exclude(self, digests: Sequence[Digest]) -> Iterator[list[Digest]]:
        """See RegistryBlobs."""
        with self._file() as fd:
            yield [digest for digest in digests if _taken(fd, digest)]

    @contextlib.contextmanager
    def _file(self) -> Iterator[int]:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield fd
        finally:
            os.close(fd)


def _byte(kind: int, digest: Digest) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, int(digest.hex[:_HEX_DIGITS], 16), 1, 0)


def _taken(fd: int, digest: Digest) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _byte(fcntl.F_WRLCK, digest))
    except BlockingIOError:
        return False
    return True


class MemoryHolds:
    """The same within one process."""

    def __init__(self) -> None:
        self._held: dict[Digest, int] = {}
        self._excluded: set[Digest] = set()
        self._change = threading.Condition()

    @contextlib.contextmanager
    def hold(self, digest: Digest) -> Iterator[None]:
        """See RegistryBlobs."""
        with self._change:
            self._change.wait_for(lambda: digest not in self._excluded)
            self._held[digest] = self._held.get(digest, 0) + 1
        try:
            yield
        finally:
            with self._change:
                self._held[digest] -= 1
                if not self._held[digest]:
                    del self._held[digest]

    @contextlib.contextmanager
    def exclude(self, digests: Sequence[Digest]) -> Iterator[list[Digest]]:
        """See RegistryBlobs."""
        with self._change:
            free = [digest for digest in digests if digest not in self._held and digest not in self._excluded]
            self._excluded.update(free)
        try:
            yield free
        finally:
            with self._change:
                self._excluded.difference_update(free)
                self._change.notify_all()
