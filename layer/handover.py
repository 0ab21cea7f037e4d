"""Bytes that one thread hands to another, a few pieces ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layer.pipeline import PIECE, Readable

if TYPE_CHECKING:
    import queue

AHEAD = 4


class Pieces:
    """What one thread puts in and another reads like a file; at most `ahead` pieces wait in between.

    An interrupt while a piece is taken ends it: that piece is lost, and it may have been the last, for whose successor a
    later `read` would wait for ever. From then on `read` raises the interrupt again.
    """

    def __init__(self, ahead: int = AHEAD) -> None:
        import queue
        import threading

        self._pieces: queue.SimpleQueue[bytes | memoryview | BaseException] = queue.SimpleQueue()
        self._room = threading.Semaphore(ahead)
        self._rest: bytes | memoryview = b""
        self._stopped = False
        self._end: BaseException | bool = False

    def wait_for_room(self) -> bool:
        """Before a piece is put in; False when nobody will read it."""
        self._room.acquire()
        return not self._stopped

    def put(self, piece: bytes | memoryview | BaseException) -> None:
        """Hand on the next piece: an empty one is the end, an error is raised by `read`."""
        self._pieces.put(piece)

    def stop(self) -> None:
        """Nobody reads any more. Harmless to repeat."""
        self._stopped = True
        self._room.release()

    def read(self, n: int = -1, /) -> bytes:
        """At most `n` bytes (all that is left when negative), and none at the end only. Raises what was put in."""
        if n < 0:
            return b"".join(iter(lambda: self.read(PIECE), b""))
        if not self._rest and n:
            self._take()
        if n >= len(self._rest):  # bytes are not copied then
            data, self._rest = bytes(self._rest), b""
            return data
        view = memoryview(self._rest)
        self._rest = view[n:]
        return bytes(view[:n])

    def _take(self) -> None:
        if isinstance(self._end, BaseException):
            raise self._end
        if self._end:
            return
        try:
            piece = self._pieces.get()
            if isinstance(piece, BaseException):
                raise piece
            self._end = not piece
            self._rest = piece
            self._room.release()
        except BaseException as error:
            self._end = error
            raise


class ReadAhead:
    """Reads `stream` in a thread of its own, a few pieces ahead: so inflating runs beside unpacking.

    Use as a context manager; leaving it early waits for the read under way. An error of the stream is raised by `read`.
    """

    def __init__(self, stream: Readable, *, piece: int = PIECE, ahead: int = AHEAD) -> None:
        import threading

        self._stream = stream
        self._piece = piece
        self._pieces = Pieces(ahead)
        self.read = self._pieces.read
        self._thread = threading.Thread(target=self._run, name="read", daemon=True)
        self._thread.start()

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._pieces.wait_for_room():
                data = self._stream.read(self._piece)
                self._pieces.put(data)
                if not data:
                    return
        except BaseException as error:
            self._pieces.put(error)
