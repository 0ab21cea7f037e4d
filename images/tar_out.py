"""A tar archive being written: plain headers, no times, nothing that differs from one writing to the next."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import Integrity
from layer import headers

Write = Callable[[bytes | memoryview], object]
_FILE, _DIRECTORY = headers.tail(headers.FILE), headers.tail(headers.DIRECTORY)


class TarOut:
    """Files go to `write` one after the other; `close` ends the archive."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._left = 0
        self._padding = 0

    def directory(self, name: str) -> None:
        """An entry for a directory (0755, root)."""
        self._head(name.rstrip("/") + "/", 0o755, 0, _DIRECTORY)

    def file(self, name: str, data: bytes) -> None:
        """A whole file (0644, root)."""
        self.begin(name, len(data))
        self.write(data)
        self.end()

    def begin(self, name: str, size: int) -> None:
        """A file of exactly `size` bytes, which `write` then gives."""
        self._head(name, 0o644, size, _FILE)
        self._left, self._padding = size, -size % headers.BLOCK

    def write(self, data: bytes | memoryview) -> None:
        """The file's next bytes. Raises Integrity where there are more than were announced."""
        self._left -= len(data)
        if self._left < 0:
            raise Integrity(f"{-self._left} bytes more came than were announced")
        self._write(data)

    def end(self) -> None:
        """Raises Integrity where bytes are missing."""
        if self._left:
            raise Integrity(f"{self._left} bytes fewer came than were announced")
        if self._padding:
            self._write(bytes(self._padding))

    def _head(self, name: str, mode: int, size: int, tail: tuple[bytes, int]) -> None:
        self._write(headers.extended(name.encode(), mode, 0, 0, size, 0, tail)[0])

    def close(self) -> None:
        """The archive's end: two blocks of zeros."""
        self._write(bytes(2 * headers.BLOCK))
