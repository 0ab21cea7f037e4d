"""A bounded pipe between two threads: one writes pieces, the other reads them or iterates over them.

Either end may give up: the other then hears of it at its next call. Pieces must not change after they were written.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from registry.client.retry import Cancelled

PIECE = 1 << 20


class Pipe:
    """Holds at most about `capacity` bytes. `write` waits for room, `read` for bytes; both are for one thread each."""

    def __init__(self, capacity: int = 4 * PIECE) -> None:
        self._capacity = capacity
        self._pieces: deque[bytes | memoryview] = deque()
        self._held = 0
        self._ended = False
        self._failed: BaseException | None = None
        self._changed = threading.Condition()

    def write(self, data: bytes | memoryview) -> None:
        """Raises what the reader gave up with."""
        if not data:
            return
        with self._changed:
            while self._held >= self._capacity and self._failed is None:
                self._changed.wait()
            if self._failed is not None:
                raise self._failed
            self._pieces.append(data)
            self._held += len(data)
            self._changed.notify_all()

    def finish(self) -> None:
        """No more will be written: the reader comes to its end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, error: BaseException | None = None) -> None:
        """Give up, from either end. The first failure counts; harmless after the end and to repeat."""
        with self._changed:
            if self._failed is None:
                self._failed = error or Cancelled("cancelled")
            self._pieces.clear()
            self._held = 0
            self._changed.notify_all()

    def read(self, n: int = -1, /) -> bytes:
        """At most `n` bytes (a piece as it was written, where it fits), none at the end only. Raises the writer's failure."""
        piece = self._take()
        if 0 <= n < len(piece):
            view = memoryview(piece)
            with self._changed:
                self._pieces.appendleft(view[n:])
                self._held += len(piece) - n
            piece = view[:n]
        return piece if isinstance(piece, bytes) else bytes(piece)

    def _take(self) -> bytes | memoryview:
        with self._changed:
            while not self._pieces and not self._ended and self._failed is None:
                self._changed.wait()
            if self._failed is not None:
                raise self._failed
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            self._held -= len(piece)
            self._changed.notify_all()
            return piece

    def __iter__(self) -> Iterator[bytes | memoryview]:
        while piece := self._take():
            yield piece
