"""Whether somebody sees to a container: `supervised` in its directory.

A named pipe: the container is to have a supervisor. It is locked: it has one. A byte comes out of it: look again. Who wants no
supervisor any more removes it, and a supervisor that was killed leaves it unlocked, which the next command notices.
A file: a timer of the machine's is to see to it (`runtime.timers`), and who wants none any more removes it likewise.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
from collections.abc import Sequence
from pathlib import Path

from runtime.status import SUPERVISED


class Marker:
    """The pipe, locked by us: as long as a descriptor of it is open here, or in a process that has inherited it."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    def named(self) -> bool:
        """Whether it is still there: else the container is to have no supervisor, or has another one."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        return False

    def wait(self, seconds: float | None, *others: int) -> list[int]:
        """Until somebody pokes, or one of the descriptors `others` is readable; those that are."""
        poll = select.poll()
        for fd in (self._fd, *others):
            poll.register(fd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(None if seconds is None else max(0, int(seconds * 1000)))]
        if self._fd in ready:
            ready.remove(self._fd)
            os.read(self._fd, 1 << 12)
        return ready

    def remove(self) -> None:
        """There is nothing to see to any more. For who holds the container's lock, so that nobody enrolls it meanwhile."""
        if self.named():
            os.unlink(self._path)

    def hand_to(self, command: Sequence[str]) -> None:
        """Start `command` as the supervisor, with the pipe as its standard input."""
        from runtime.streams import spawn

        try:
            spawn(command, stdin=self._fd, own_group=False, silent=True)
        finally:
            os.close(self._fd)


def enroll(directory: Path) -> Marker:
    """The container in `directory`, whose lock the caller holds, is to have a supervisor from now on, and no older one."""
    fresh, path = directory / f".{SUPERVISED}", directory / SUPERVISED
    with contextlib.suppress(FileNotFoundError):  # of a command that was killed
        os.unlink(fresh)
    os.mkfifo(fresh, 0o600)
    marker = Marker(path, _lock(fresh))
    _rename(fresh, path)
    return marker


def entrust(directory: Path) -> None:
    """The container in `directory` is to be seen to by a timer from now on, and by nothing older. Harmless to repeat."""
    fresh = directory / f".{SUPERVISED}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    fresh.touch(0o600)
    _rename(fresh, directory / SUPERVISED)


def is_timed(directory: Path) -> bool:
    """Whether it is a timer that is to see to the container in `directory`."""
    with contextlib.suppress(OSError):
        return stat.S_ISREG(os.lstat(directory / SUPERVISED).st_mode)
    return False


def _rename(fresh: Path, path: Path) -> None:
    old = _open(path, os.O_WRONLY)
    os.rename(fresh, path)
    _let_go(old, path.parent)


def adopt(directory: Path) -> Marker | None:
    """Take over from a supervisor that was killed; None where one lives, or none is wanted."""
    try:
        return None if is_timed(directory) else Marker(directory / SUPERVISED, _lock(directory / SUPERVISED))
    except (FileNotFoundError, BlockingIOError):
        return None


def dismiss(directory: Path) -> bool:
    """The container is to have no supervisor and no timer any more; False where it had none. Harmless to repeat."""
    fd = _open(directory / SUPERVISED, os.O_WRONLY)
    try:
        os.unlink(directory / SUPERVISED)
    except FileNotFoundError:
        return False
    finally:
        _let_go(fd, directory)
    return True


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open(path: Path, flags: int) -> int | None:
    """A descriptor of the pipe; None where it is not there, or nobody reads it."""
    try:
        return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def _let_go(fd: int | None, directory: Path) -> None:
    """Tell who has seen to the container by what `fd` is open of, and has no name any more."""
    if fd is None:
        return
    timed = stat.S_ISREG(os.fstat(fd).st_mode)
    with contextlib.suppress(BrokenPipeError, BlockingIOError):
        os.write(fd, b"\n")
    os.close(fd)
    if timed:
        from runtime.timers import stop_time

        stop_time(directory)
