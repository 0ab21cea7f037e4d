"""What a container is doing, told by things that cannot lie: a held flock, and lines its keeper wrote.

The file `state` in a container's directory is locked by the keeper, the process that everything of the container lives
below. A line `started <ns> <keeper's pid>` is written when it starts, `exited <code> <ns>` when it ended. A keeper that
is dead without having written the second was killed. conmon's exit file counts where its keeper could write no line.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path
from typing import Literal

from core.locks import is_locked
from core.value import Value

KILLED = 137
LAST_WORDS_SECONDS = 2.0
State = Literal["created", "running", "paused", "exited"]
PAUSED = "paused"  # the file of `runtime.pausing`


class Status(Value):
    """Instants are nanoseconds since the epoch, 0 where there was none. `keeper` is a pid, 0 unless it is running."""

    state: State
    exit_code: int = 0
    started: int = 0
    finished: int = 0
    keeper: int = 0

    @property
    def running(self) -> bool:
        """Whether it has processes, which may stand still."""
        return self.state in ("running", "paused")

    @property
    def paused(self) -> bool:
        """Whether they do."""
        return self.state == "paused"


def read_status(directory: Path, *, locked_by_us: bool = False) -> Status:
    """The state of the container that lives in `directory`; who holds its lock says so, since it is no sign of life then."""
    path = directory / "state"
    alive = not locked_by_us and is_locked(path)
    status = _parse(_read(path))
    if status.state != "running":
        return status
    if alive:
        return _held(directory, status)
    status = _parse(_read(path))  # it may have ended between the two looks
    if status.state != "running":
        return status
    if not (directory / directory.name).exists():
        _last_words(status.keeper)
    code, finished = _exit_file(directory)
    return Status("exited", code, status.started, finished)


def _held(directory: Path, status: Status) -> Status:
    if _read(directory / PAUSED).startswith(f"{status.started} "):
        return Status("paused", 0, status.started, 0, status.keeper)
    return status


def last_status(directory: Path) -> Status:
    """What was written down last, whether it is still true or not."""
    return _parse(_read(directory / "state"))


def _parse(text: str) -> Status:
    status = Status("created")
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1].isdecimal() and words[2].isdecimal():
            if words[0] == "started":
                status = Status("running", 0, int(words[1]), 0, int(words[2]))
            elif words[0] == "exited":
                status = Status("exited", int(words[1]), status.started, int(words[2]))
    return status


def _last_words(keeper: int) -> None:
    """conmon lets go of the lock a moment before its exit file is there: wait for its end. The pid may be another's by now."""
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(keeper)
        try:
            select.select([fd], [], [], LAST_WORDS_SECONDS)
        finally:
            os.close(fd)


def _exit_file(directory: Path) -> tuple[int, int]:
    path = directory / directory.name
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text()), path.stat().st_mtime_ns
    with contextlib.suppress(OSError):
        return KILLED, (directory / "state").stat().st_mtime_ns
    return KILLED, time.time_ns()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def note_started(directory: Path, keeper: int) -> None:
    """Write down that it runs from now on, below the process `keeper`; forgets what was before."""
    _write(directory, f"started {time.time_ns()} {keeper}\n", os.O_TRUNC)


def note_exited(directory: Path, code: int, finished: int = 0) -> None:
    """Write down that it ended, at `finished` (ns since the epoch) or now. Harmless to repeat; a directory that is gone is fine."""
    with contextlib.suppress(FileNotFoundError):
        _write(directory, f"exited {code} {finished or time.time_ns()}\n", os.O_APPEND)


def _write(directory: Path, line: str, flag: int) -> None:
    fd = os.open(directory / "state", os.O_WRONLY | flag | os.O_CLOEXEC)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)
