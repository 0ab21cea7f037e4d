"""What bytes pass through on their way: counted and hashed once, in the pass that moves them.

A piece given to `Hasher` must not change afterwards (bytes, or a view of bytes): large pieces are hashed in a thread of
their own, beside whatever comes next (hashlib releases the interpreter lock).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Protocol

from image.digest import Digest

PIECE = 1 << 20
_INLINE = 512 << 10
_AHEAD = 4


class Readable(Protocol):
    """A stream of bytes: `read(n)` returns at most `n` bytes, and none at its end only."""

    def read(self, n: int = -1, /) -> bytes: ...


class Checksum:
    """A running CRC-32, of which a gibibyte costs a fiftieth of a second: it finds damage, and proves nothing to strangers."""

    def __init__(self) -> None:
        self.count = 0
        self.value = 0
        self._crc32: Callable[[bytes | memoryview, int], int] = zlib.crc32

    def update(self, data: bytes | memoryview) -> None:
        self.value = self._crc32(data, self.value)
        self.count += len(data)
        if self.count - len(data) <= _INLINE < self.count:
            from isal import isal_zlib

            self._crc32 = isal_zlib.crc32  # many times as quick, and not worth importing for a little

    def close(self) -> None:
        """As a Hasher's."""


class Hasher:
    """A running hash. The first half megabyte is hashed at once; what follows, in a thread, at most 4 pieces behind. With
    a `checksum`, that takes the same bytes beside it.

    Call `hexdigest` once at the end, or `close` when it is not wanted any more; both end the thread.
    """

    def __init__(self, algorithm: str = "sha256", checksum: Checksum | None = None) -> None:
        self._hash = hashlib.new(algorithm)
        self._checksum = checksum
        self.count = 0
        self._worker: _Worker | None = None

    def update(self, data: bytes | memoryview) -> None:
        self.count += len(data)
        if self._worker is not None:
            self._worker.put(data)
        elif self.count > _INLINE and len(data) >= 1 << 16:
            self._worker = _Worker(self._take)
            self._worker.put(data)
        else:
            self._take(data)

    def _take(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        if self._checksum is not None:
            self._checksum.update(data)

    def hexdigest(self) -> str:
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Wait for the thread, if there is one. Harmless to repeat."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def __del__(self) -> None:
        if self._worker is not None:
            self._worker.end()


class _Worker:
    """Calls `work` with each piece, in order, in a thread."""

    def __init__(self, work: Callable[[bytes | memoryview], object]) -> None:
        import queue
        import threading

        # glibc hands freed memory above twice its largest freed block back to the kernel: having seen a large one, it
        # keeps the pieces' memory, which would otherwise be faulted in again for each (0.1 s a GiB).
        bytes(24 << 20)
        self._work = work
        self._pieces: queue.SimpleQueue[bytes | memoryview | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._work(piece)
            del piece  # not to be kept while waiting for the next
            self._room.release()

    def put(self, data: bytes | memoryview) -> None:
        self._room.acquire()
        self._pieces.put(data)

    def end(self) -> None:
        self._pieces.put(None)

    def close(self) -> None:
        self.end()
        self._thread.join()


class _Hashing:
    """Hashes what passes. `count` is the bytes so far; `digest()` ends the hashing."""

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._hasher = Hasher(algorithm)
        self._digest: Digest | None = None

    @property
    def count(self) -> int:
        return self._hasher.count

    def digest(self) -> Digest:
        """The digest of what passed. Call it when all has; harmless to repeat."""
        if self._digest is None:
            self._digest = Digest(f"{self._algorithm}:{self._hasher.hexdigest()}")
        return self._digest

    def close(self) -> None:
        """End the hashing early; what the bytes come from or go to stays open. Harmless to repeat."""
        self._hasher.close()


class HashingReader(_Hashing):
    """Passes `stream` on and hashes what passes."""

    def __init__(self, stream: Readable, algorithm: str = "sha256") -> None:
        super().__init__(algorithm)
        self._stream = stream

    def read(self, n: int = -1, /) -> bytes:
        data = self._stream.read(n)
        if data:
            self._hasher.update(data)
        return data


class HashingWriter(_Hashing):
    """Passes what is written on to `sink` (None: nowhere) and hashes it."""

    def __init__(self, sink: Callable[[bytes | memoryview], object] | None = None, algorithm: str = "sha256") -> None:
        super().__init__(algorithm)
        self._sink = sink

    def write(self, data: bytes | memoryview) -> None:
        self._hasher.update(data)
        if self._sink is not None:
            self._sink(data)
