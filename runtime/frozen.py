"""A running container's processes stand still for as long as something is copied.

A guard process holds them and lets them go when this process says so, or is dead. Where both were killed, the file `paused`
tells the next command, which lets them go.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from core.errors import Unavailable
from core.locks import FileLock
from runtime.container import Container
from runtime.containers import Containers
from runtime.enter import NotRunning
from runtime.freeze import freezer, stop_all, until
from runtime.pausing import go_on, read, running, standing, turn, write
from runtime.status import FROZEN, PAUSED
from runtime.streams import wait

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def frozen(containers: Containers, container: Container) -> Iterator[None]:
    """For the block, no process of the container runs, and nobody pauses or wakes it. Raises NotRunning, and Unavailable where
    one cannot be stopped."""
    with turn(containers, container) as lock:
        status, first = running(containers, container)
        if status.paused:
            yield
            return
        write(lock, FROZEN, standing(first))
        try:
            with _guarded(container, first):
                yield
        finally:
            write(lock)


@contextlib.contextmanager
def _guarded(container: Container, first: int) -> Iterator[None]:
    told, tell = os.pipe()
    held, hold = os.pipe()
    guard = os.fork()
    if guard == 0:
        code = 1
        try:
            os.close(told)
            os.close(hold)
            code = _guard(container.id, first, tell, held)
        finally:
            os._exit(code)
    os.close(tell)
    os.close(held)
    try:
        if not os.read(told, 1):
            raise Unavailable(f"container {container.name} cannot be paused", "go on without: --pause=false")
        yield
    finally:
        os.close(told)
        os.close(hold)
        wait(guard)


def _guard(id: str, first: int, tell: int, held: int) -> int:
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    switch = freezer(id, first)
    with _by_cgroup(switch) if switch else _by_signal(first):
        os.write(tell, b"1")
        os.read(held, 1)
    return 0


@contextlib.contextmanager
def _by_cgroup(switch: Callable[[bool], bool]) -> Iterator[None]:
    try:
        until(lambda: switch(True))
        yield
    finally:
        switch(False)


@contextlib.contextmanager
def _by_signal(first: int) -> Iterator[None]:
    stopped: dict[int, int] = {}  # pid → pidfd
    try:
        until(lambda: stop_all(first, stopped))
        yield
    finally:
        for fd in reversed(stopped.values()):  # children before their parents: a shell must not find its job stopped
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGCONT)


def let_go(containers: Containers, container: Container) -> None:
    """Whoever had frozen it was killed, and the guard as well: let it go on. Harmless to repeat, and beside who does it now."""
    lock = FileLock(containers.directory(container) / PAUSED)
    with contextlib.suppress(FileNotFoundError, NotRunning):
        if not lock.acquire(wait=False):
            return
        try:
            why, still = read(lock)
            if why == FROZEN:
                go_on(container, running(containers, container)[1], still)
                write(lock)
        finally:
            lock.release()
