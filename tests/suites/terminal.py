"""A lamella on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from pathlib import Path
from typing import Self

from tests.conftest import ROOT


class Terminal:
    """Runs `lamella ARGS` on a new pty; a context manager."""

    def __init__(self, store_root: Path, *args: str, term: str = "dumb", columns: int = 0) -> None:
        env = {**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT), "TERM": term}
        for name in ("COLUMNS", "LINES"):  # a terminal of pytest's
            env.pop(name, None)
        self.seen = b""
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            if columns:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execve(sys.executable, [sys.executable, "-m", "lamella", *args], env)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def started(self) -> None:
        """Until lamella has made the terminal raw, which it does when the container's side is there."""
        self._until(lambda: not termios.tcgetattr(self._fd)[3] & termios.ICANON, "a raw terminal")

    def expect(self, text: str) -> None:
        self._until(lambda: text.encode() in self.seen, text)

    def _until(self, check: object, what: str, seconds: float = 15) -> None:
        end = time.monotonic() + seconds
        while not check():  # type: ignore[operator]
            assert time.monotonic() < end, f"no {what} in {self.seen!r}"
            self._read()

    def _read(self) -> bool:
        if select.select([self._fd], [], [], 0.05)[0]:
            try:
                data = os.read(self._fd, 4096)
            except OSError:
                return False
            self.seen += data
            return bool(data)
        return True

    def exit_code(self) -> int:
        end = time.monotonic() + 15
        while time.monotonic() < end:
            self._read()
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._pid = 0
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it does not end; it said {self.seen!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *rest: object) -> None:
        if self._pid:
            os.kill(self._pid, 9)
            os.waitpid(self._pid, 0)
        os.close(self._fd)
