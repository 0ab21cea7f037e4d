"""The whole output of every step, kept in files: a screen shows the end, a file has it all."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import IO

KEPT_BUILDS = 50
TAIL_BYTES = 16 << 10


class Log:
    """One step's output. Its file is made with the first byte."""

    def __init__(self, logs: Logs, title: str) -> None:
        self._logs = logs
        self._title = title
        self._file: IO[bytes] | None = None
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Append `data`."""
        if self._file is None:
            self._file = self._logs.create(self._title)
        self._file.write(data)
        self._tail = (self._tail + data)[-TAIL_BYTES:]

    def tail(self) -> bytes:
        """The last of it, whole lines."""
        return self._tail if len(self._tail) < TAIL_BYTES else self._tail.partition(b"\n")[2]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Logs:
    """One build's directory of logs, made when a step writes something; the oldest builds' are removed then."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0
        self._guard = threading.Lock()

    def open(self, title: str) -> Log:
        """The log of the step with this title."""
        return Log(self, title)

    def create(self, title: str) -> IO[bytes]:
        """A new file, numbered in the order of the steps."""
        with self._guard:
            if not self._count:
                self._make_room()
                self._directory.mkdir(mode=0o700)
            self._count += 1
            words = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")[:40]
            return (self._directory / f"{self._count:03d}-{words}.log").open("wb", buffering=0)

    def _make_room(self) -> None:
        from core.removal import remove

        # A build's name begins with its time, so the order of names is that of the builds.
        for name in sorted(os.listdir(self._directory.parent))[: -KEPT_BUILDS + 1]:
            remove(self._directory.parent / name)
