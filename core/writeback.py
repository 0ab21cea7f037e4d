"""Letting the disk begin with a large file while it is still being written, so that the sync at its end finds little to do."""

from __future__ import annotations

STEP_BYTES = 16 << 20


class Writeback:
    """One file behind `fd`, written from its beginning. Starts writing every 16 MiB, and waits for nothing."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._begun = 0
        self._end = 0

    def wrote(self, count: int) -> None:
        """`count` bytes more have been written."""
        self._end += count
        if self._end - self._begun >= STEP_BYTES:
            from core.syscalls import start_writing

            start_writing(self._fd, self._begun, self._end - self._begun)
            self._begun = self._end
