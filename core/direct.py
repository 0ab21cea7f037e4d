"""A large file written past the page cache: for bytes that nobody will read soon.

Copying them there first costs more than anything else that is done to them, and takes the place of what is used.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os

PIECE_BYTES = 1 << 20


class DirectFile:
    """Writes to the new file behind `fd`, from its beginning, in pieces of 1 MiB that each wait for the disk. Where the file
    system will have none of that, through the page cache. `flush` before the file is used; `close` leaves `fd` open."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = mmap.mmap(-1, PIECE_BYTES)  # the disk wants its pieces aligned
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._set(os.O_DIRECT)

    def write(self, data: bytes | memoryview) -> None:
        """Raises OSError, maybe of what was written before."""
        rest = memoryview(data)
        while rest:
            part = rest[: PIECE_BYTES - self._filled]
            self._view[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == PIECE_BYTES:
                self._drain()

    def flush(self) -> None:
        """Write the rest, which is no whole piece. Raises OSError."""
        self._set(0)
        self._drain()

    def close(self) -> None:
        """What has not been flushed is forgotten. Harmless to repeat."""
        self._view.release()
        self._buffer.close()

    def _drain(self) -> None:
        done = 0
        while done < self._filled:
            try:
                done += os.write(self._fd, self._view[done : self._filled])
            except OSError as error:
                if error.errno != errno.EINVAL or not fcntl.fcntl(self._fd, fcntl.F_GETFL) & os.O_DIRECT:
                    raise
                self._set(0)
        self._filled = 0

    def _set(self, flag: int) -> None:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | flag)
