"""`pause` and `unpause`: a container's processes stand still until they are told to go on, whoever comes and goes meanwhile.

By its freezer cgroup where it has one, else by SIGSTOP. The file `paused` in the container's directory names the run that it
is about (when that started), then the processes that stood still before, which are not to be woken. Whoever makes a container
stand still, or lets it go on, has that file locked.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import Conflict, Unavailable
from core.locks import FileLock
from runtime.container import Container
from runtime.containers import Containers
from runtime.enter import NotRunning
from runtime.freeze import freezer, processes, stands_still, stop_all, until
from runtime.inspect import first_process
from runtime.status import PAUSED, Status


def pause(containers: Containers, container: Container) -> None:
    """Let every process of the container stand still. Raises Conflict where it does not run, or does already."""
    with turn(containers, container) as lock:
        status, first = running(containers, container)
        if status.paused:
            raise Conflict(f"Container {container.id} is already paused")
        switch = freezer(container.id, first)
        write(lock, str(status.started), still := [] if switch else standing(first))
        try:
            if switch:
                until(lambda: switch(True))
            else:
                _stop(first)
        except Unavailable as error:
            go_on(container, first, still)
            write(lock)
            raise Unavailable(f"Cannot pause container {container.id}: {error.message}") from error
    containers.note(container, "pause")


def unpause(containers: Containers, container: Container) -> None:
    """Let them go on. Raises Conflict where the container is not paused."""
    with turn(containers, container) as lock:
        if not containers.status(container).paused:
            raise Conflict(f"Container {container.id} is not paused")
        _, first = running(containers, container)
        go_on(container, first, read(lock)[1])
        write(lock)
    containers.note(container, "unpause")


def running(containers: Containers, container: Container) -> tuple[Status, int]:
    """What it does, and its first process. Raises NotRunning."""
    status = containers.status(container)
    first = first_process(status.keeper) if status.keeper else 0
    if not first:
        raise NotRunning(container)
    return status, first


@contextlib.contextmanager
def turn(containers: Containers, container: Container) -> Iterator[FileLock]:
    """One at a time pauses or wakes it: for the block, that is the caller. Raises NotRunning."""
    lock = FileLock(containers.directory(container) / PAUSED)
    try:
        lock.acquire()
    except FileNotFoundError as error:
        raise NotRunning(container) from error
    try:
        yield lock
    finally:
        lock.release()


def standing(first: int) -> list[int]:
    """Which of the container's processes stand still already."""
    return [pid for pid in processes(first) if stands_still(pid)]


def write(lock: FileLock, why: str = "", still: Sequence[int] = ()) -> None:
    """Note in the file that `lock` is of what the container stands still for, and who did before; by default: it goes on."""
    text = f"{why} {' '.join(map(_identity, still))}".encode() if why else b""
    os.pwrite(lock.fileno(), text, 0)
    os.ftruncate(lock.fileno(), len(text))


def read(lock: FileLock) -> tuple[str, list[int]]:
    """What `write` noted; of the processes, those that are still the same ones."""
    why, *names = os.pread(lock.fileno(), 1 << 20, 0).decode().split() or [""]
    return why, [int(name.partition(":")[0]) for name in names if name == _identity(name)]


def _stop(first: int) -> None:
    stopped: dict[int, int] = {}
    try:
        until(lambda: stop_all(first, stopped))
    finally:
        for fd in stopped.values():
            os.close(fd)


def go_on(container: Container, first: int, but: Sequence[int]) -> None:
    """Let all `but` these run again. Children before their parents: a shell must not find its job stopped."""
    switch = freezer(container.id, first)
    if switch:
        switch(False)
        return
    for pid in reversed(processes(first)):
        if pid not in but:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _identity(pid: int | str) -> str:
    """`pid:start`, the same only for one and the same process (proc(5), field 22)."""
    number = str(pid).partition(":")[0]
    try:
        stat = Path(f"/proc/{number}/stat").read_text(errors="replace")
    except OSError:
        return f"{number}:gone"
    return f"{number}:{stat.rpartition(')')[2].split()[19]}"
