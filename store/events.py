"""What happened to images, containers, networks and volumes: a line each in `events.log` below the store's root.

Whoever does something notes it, so there need be no daemon to ask. The log is bounded: a full file takes the place of the one
before it. A line is written in one piece under a lock, so any number of processes may note and read at once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

from core import plain_json as json
from core.locks import FileLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

NAME, BEFORE = "events.log", "events.log.1"
LIMIT = 2 << 20  # bytes of one file
PAUSE = 0.05  # seconds between two looks at a log that is being followed


class Event:
    """One thing that was done, in Docker's words; `time` is in nanoseconds since the epoch, 0 for now.

    A class by hand: it is loaded with every container that is started, and makers of classes take longer than that.
    """

    __slots__ = ("action", "attributes", "id", "kind", "time")

    def __init__(self, kind: str, action: str, id: str, attributes: Mapping[str, str], time: int = 0) -> None:
        self.kind = kind
        self.action = action
        self.id = id
        self.attributes = attributes
        self.time = time


def note(root: Path, kind: str, action: str, id: str, attributes: Mapping[str, str] | None = None) -> None:
    """Write down that `action` was done to the thing `id` of this `kind`, in the store at `root`. To be called when it is done.

    Never fails: what has happened has happened, also where the disk is full.
    """
    note_all(root, [Event(kind, action, id, attributes or {})])


def note_all(root: Path, events: Iterable[Event]) -> None:
    """The same for several things at once."""
    data = b"".join(_line(event) for event in events)
    lock = FileLock(root / NAME)
    with contextlib.suppress(OSError):
        lock.acquire()
        try:
            if os.lseek(lock.fileno(), 0, os.SEEK_END) + len(data) > LIMIT:
                os.rename(root / NAME, root / BEFORE)
                lock.release()
                lock.acquire()
            _append(lock.fileno(), data)
        finally:
            lock.release()


def _line(event: Event) -> bytes:
    when = event.time or time.time_ns()
    fields = (event.kind, event.action, event.id, dict(event.attributes), when)
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _append(fd: int, line: bytes) -> None:
    """After whatever is there; a piece that somebody could not finish must not spoil this line."""
    end = os.lseek(fd, 0, os.SEEK_END)
    os.pwrite(fd, line if end == 0 or os.pread(fd, 1, end - 1) == b"\n" else b"\n" + line, end)


def read(root: Path) -> Iterator[Event]:
    """What is noted, oldest first. Lines that nobody can have written are left out."""
    for file in _both(root):
        with file:
            yield from _events(file.read())


def follow(root: Path, *, past: bool, until: int | None = None) -> Generator[Event | None, None, None]:
    """With `past` what is noted already, then what comes, until the instant `until` (nanoseconds since the epoch; None: for
    ever). None stands for "nothing new": who follows may look around."""
    *before, file = _both(root)
    for old in before:
        with old:
            yield from _events(old.read()) if past else ()
    if not past:
        file.seek(0, os.SEEK_END)
    try:
        pending = b""
        while True:
            last = until is not None and time.time_ns() >= until
            replaced = not _is_current(file, root)
            whole, newline, pending = (pending + file.read()).rpartition(b"\n")
            yield from _events(whole + newline)
            if replaced:  # and read to its end: nobody writes to what has lost its name
                file.close()
                file, pending = _open(root), b""
            elif last:
                return
            else:
                yield None
                time.sleep(PAUSE)
    finally:
        file.close()


def _is_current(file: IO[bytes], root: Path) -> bool:
    """Whether it has its name still; for a moment nothing may have it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(root / NAME))
    except FileNotFoundError:
        return False


def _open(root: Path) -> IO[bytes]:
    return os.fdopen(os.open(root / NAME, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb")


def _both(root: Path) -> list[IO[bytes]]:
    """The files that are there, open, oldest first, as they were at one instant."""
    lock = FileLock(root / NAME)
    with lock.held():
        current = _open(root)
        with contextlib.suppress(FileNotFoundError):
            return [(root / BEFORE).open("rb"), current]
    return [current]


def _events(data: bytes) -> Iterator[Event]:
    for line in data.splitlines():
        with contextlib.suppress(ValueError, TypeError):
            yield Event(*json.loads(line))
