"""What a container is doing, told by things that cannot lie: a held flock, and lines its keeper wrote.

The file `state` in a container's directory is locked by the keeper, the process that everything of the container lives
below. A line `started <ns> <keeper's pid>` is written when it starts, `exited <code> <ns>` when it ended. A keeper that
is dead without having written the second was killed. conmon's exit file counts where its keeper could write no line.
Besides, `starting <ns> <keeper's pid>` is written by a keeper whose container is not started yet, and `restarting <count>
<ns>` with an end that another start is to follow: true for as long as its supervisor lives.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path

from core.locks import is_locked
from core.value import Value, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

KILLED = 137
LAST_WORDS_SECONDS = 2.0
State: TypeAlias = 'Literal["created", "running", "paused", "restarting", "exited"]'
# Files of `runtime.pausing`, `runtime.supervision` and `runtime.starting`.
PAUSED, SUPERVISED, STARTING = "paused", "supervised", "starting"
FROZEN = "frozen"  # what the first of them says while somebody copies it


class Status(Value):
    """Instants are nanoseconds since the epoch, 0 where there was none. `keeper` is a pid, 0 unless it is running.

    `forked` is the pid of a keeper whose container was not started yet, when last heard of, and `former` that of the last
    one that had started it; `waiting`: the last thing that was heard is that it will be started again.
    """

    state: State
    exit_code: int = 0
    started: int = 0
    finished: int = 0
    keeper: int = 0
    forked: int = 0
    former: int = 0
    waiting: bool = False

    @property
    def running(self) -> bool:
        """Whether it has processes, which may stand still."""
        return self.state in ("running", "paused")

    @property
    def paused(self) -> bool:
        """Whether they do."""
        return self.state == "paused"


def read_status(directory: Path | str, *, locked_by_us: bool = False) -> Status:
    """The state of the container that lives in `directory`; who holds its lock says so, since it is no sign of life then."""
    status = _read_status(directory, locked_by_us)
    if status.state == "exited" and status.waiting and is_locked(f"{directory}/{SUPERVISED}"):
        return replace(status, state="restarting")
    return status


def _read_status(directory: Path | str, locked_by_us: bool) -> Status:
    path = f"{directory}/state"
    status = parse(_read(path))
    if status.state != "running":
        return status
    if not locked_by_us and is_locked(path):
        return _held(directory, status)
    status = parse(_read(path))  # it may have ended between the two looks
    if status.state != "running":
        return status
    if not os.path.exists(f"{directory}/{os.path.basename(directory)}"):
        _last_words(status.keeper)
    code, finished = read_exit(Path(directory))
    return Status("exited", code, status.started, finished, former=status.former)


def is_frozen(directory: Path | str) -> bool:
    """Whether somebody makes it stand still for a moment, or was killed while doing so."""
    return _read(f"{directory}/{PAUSED}").startswith(FROZEN)


def _held(directory: Path | str, status: Status) -> Status:
    if _read(f"{directory}/{PAUSED}").startswith(f"{status.started} "):
        return replace(status, state="paused")
    return status


def last_status(directory: Path) -> Status:
    """What was written down last, whether it is still true or not."""
    return parse(_read(directory / "state"))


def parse(text: str) -> Status:
    """What the lines of a file `state` tell, whether it is still true or not."""
    status = Status("created")
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1].isdecimal() and words[2].isdecimal():
            if words[0] == "started":
                status = Status("running", 0, int(words[1]), 0, int(words[2]), former=int(words[2]))
            elif words[0] == "exited":
                again = status.waiting and int(words[2]) == status.finished  # nothing new
                end, former = int(words[2]), status.former
                status = Status("exited", int(words[1]), status.started, end, former=former, waiting=again)
            elif words[0] == "starting":
                state: State = "created" if status.state == "created" else "exited"  # or its end was never noted
                status = replace(status, state=state, keeper=0, forked=int(words[2]))
            elif words[0] == "restarting":
                status = replace(status, waiting=True)
    return status


def _last_words(keeper: int) -> None:
    """conmon lets go of the lock a moment before its exit file is there: wait for its end. The pid may be another's by now."""
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(keeper)
        try:
            select.select([fd], [], [], LAST_WORDS_SECONDS)
        finally:
            os.close(fd)


def read_exit(directory: Path) -> tuple[int, int]:
    """The exit code of a container that has ended, and when it did, from conmon's exit file."""
    path = directory / directory.name
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text()), path.stat().st_mtime_ns
    with contextlib.suppress(OSError):
        return KILLED, (directory / "state").stat().st_mtime_ns
    return KILLED, time.time_ns()


def _read(path: Path | str) -> str:
    try:
        with open(path, "rb", 0) as file:
            return file.read().decode()
    except FileNotFoundError:
        return ""


def note_started(directory: Path, keeper: int) -> None:
    """Write down that it runs from now on, below the process `keeper`; forgets what was before."""
    line = f"started {time.time_ns()} {keeper}"
    fd = os.open(directory / "state", os.O_WRONLY | os.O_CLOEXEC)
    try:  # one write covers all that was there: whoever is killed here leaves either what was or what is
        os.pwrite(fd, line.ljust(os.fstat(fd).st_size - 1).encode() + b"\n", 0)
    finally:
        os.close(fd)


def note_starting(directory: Path, keeper: int) -> None:
    """Write down that `keeper`, which has its lock, is there to start it."""
    _append(directory, f"starting {time.time_ns()} {keeper}\n")


def note_exited(directory: Path, code: int, finished: int = 0, *, again: int = 0) -> None:
    """Write down that it ended, at `finished` (ns since the epoch) or now, and will be started for the `again`th time (0: not).

    Harmless to repeat; a directory that is gone is fine.
    """
    end = finished or time.time_ns()
    lines = f"exited {code} {end}\n" + (f"restarting {again} {end}\n" if again else "")
    with contextlib.suppress(FileNotFoundError):
        _append(directory, lines)


def _append(directory: Path, lines: str) -> None:
    fd = os.open(directory / "state", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, lines.encode())
    finally:
        os.close(fd)
