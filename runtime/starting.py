"""Starts that were cut short: the file `starting` in a container's directory is there, and locked, while a command starts it.

conmon lives on when that command is killed, and would wait for ever for a container that nobody lets go.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path

from core.locks import FileLock, is_locked
from runtime.container import Container
from runtime.directories import Directories
from runtime.status import STARTING, last_status

PATIENCE = 10.0  # seconds for the kernel to do what SIGKILL asks


def end_half_started(directory: Path) -> None:
    """End the keeper of a container whose start was cut short. Harmless to repeat, and beside whoever is just starting it."""
    lock = FileLock(directory / STARTING)
    with contextlib.suppress(FileNotFoundError):
        if not lock.path.exists() or not lock.acquire(wait=False):
            return
        try:
            status = last_status(directory)
            _end(directory, status.forked or status.keeper)
        finally:
            lock.release(remove=True)


def _end(directory: Path, keeper: int) -> None:
    """Kill the process `keeper` if it is what holds the container's lock: the number may be another's by now."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        fd = os.pidfd_open(keeper) if keeper else None
        if fd is None:
            return
        try:
            if is_locked(directory / "state") and _has_open(keeper, directory / "state"):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                select.select([fd], [], [], PATIENCE)
        finally:
            os.close(fd)


def _has_open(pid: int, path: Path) -> bool:
    wanted = path.stat()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(f"/proc/{pid}/fd/{name}"), wanted):
                return True
    return False


def end_all_below_keeper(id: str) -> None:
    """Kill all but us below the keeper of the container `id`, if that is number 1 here. Harmless anywhere else.

    conmon waits for all its children after its last command, also for a container whose start was cut short and never ends.
    """
    with contextlib.suppress(OSError):
        if os.getpid() != 1 and os.getppid() == 1 and id.encode() in Path("/proc/1/cmdline").read_bytes():
            os.kill(-1, signal.SIGKILL)


def wait_for_former(directory: Path, id: str) -> None:
    """Until the keeper of the container's last run has ended: it lets go of the lock before it has cleaned up, and two cannot
    have the same files mounted."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        former = last_status(directory).former
        fd = os.pidfd_open(former) if former else None
        if fd is None:
            return
        try:
            if id.encode() in Path(f"/proc/{former}/cmdline").read_bytes():  # and not another process by now
                select.select([fd], [], [], PATIENCE)
        finally:
            os.close(fd)


def turn(containers: Directories, container: Container) -> FileLock | None:
    """The container's lock, as soon as whoever starts it or looks at it is through; None where it runs then.

    Raises NoSuchContainer.
    """
    while True:
        lock = containers.lock(container)
        if lock:
            return lock
        if containers.status(container).running:
            return None
        end_half_started(containers.directory(container))
        time.sleep(0.01)
