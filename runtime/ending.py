"""How containers end: asked to, made to, waited for, removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from core.errors import Conflict, NotFound, Unavailable
from core.locks import FileLock
from core.value import replace
from runtime.container import Container
from runtime.containers import KEPT, Containers
from runtime.enter import NotRunning, send_signal, wait_until_ended
from runtime.signals import number_of
from runtime.starting import turn
from runtime.status import KILLED, parse, read_status
from runtime.supervision import dismiss

DEFAULT_TIMEOUT = 10
LOOK_AGAIN = 0.05  # seconds between two looks at a container that will be started again
PATIENCE = 10.0  # seconds for the kernel and conmon to do what SIGKILL asks


def stop(
    containers: Containers, container: Container, state: Path, timeout: int | None = None, signal_name: str = ""
) -> None:
    """Send the stop signal (or the one named), and SIGKILL after `timeout` seconds (-1: never). Harmless if it does not run."""
    if timeout is None:
        timeout = DEFAULT_TIMEOUT if container.stop_timeout is None else container.stop_timeout
    supervised = dismiss(containers.directory(container))
    try:
        sent = send_signal(containers, container, state, number_of(signal_name or container.stop_signal))
    except NotRunning:
        if supervised and not at_rest(containers, container):
            stop(containers, container, state, timeout, signal_name)
        return
    _wake(containers, container)
    if sent and wait_until_ended(containers, container, None if timeout < 0 else timeout):
        _settle(containers, container)
    else:
        with contextlib.suppress(NotRunning):
            kill(containers, container, state, signal.SIGKILL)
    containers.note(container, "stop")


@contextlib.contextmanager
def stop_to_restart(
    containers: Containers, container: Container, state: Path, timeout: int | None, signal_name: str
) -> Iterator[None]:
    """`stop`, with a block in which it can be started again: one that removes itself does not do so before that."""
    kept = FileLock(containers.directory(container) / KEPT)
    kept.acquire()
    try:
        stop(containers, container, state, timeout, signal_name)
        yield
    finally:
        kept.release(remove=True)


def at_rest(containers: Containers, container: Container) -> bool:
    """Whether it does not run, now that whoever was just starting it is through."""
    try:
        lock = turn(containers, container)
    except NotFound:
        return True
    if lock is None:
        return False
    lock.release()
    return True


def kill(containers: Containers, container: Container, state: Path, number: int) -> None:
    """Send the signal; after SIGKILL wait until it is gone. One that asks for its end ends restarts too. Raises NotRunning."""
    asks_for_end = number in (signal.SIGKILL, number_of(container.stop_signal))
    if asks_for_end and container.restart and _end_restarts(containers, container):
        return
    sent = send_signal(containers, container, state, number)
    if asks_for_end:
        _wake(containers, container)
    if number != signal.SIGKILL:
        return
    if not sent or not wait_until_ended(containers, container, PATIENCE):
        _kill_keeper(containers, container)
    _settle(containers, container)


def _end_restarts(containers: Containers, container: Container) -> bool:
    """Its next end is the last one; True where it has come already."""
    from runtime.restart import read_restarts

    directory = containers.directory(container)
    if containers.status(container).running:
        replace(read_restarts(directory), over=True).write(directory)
        return False
    return dismiss(directory) and at_rest(containers, container)


def _wake(containers: Containers, container: Container) -> None:
    """A paused one must go on to heed a signal."""
    if containers.status(container).paused:
        from runtime.pausing import unpause

        with contextlib.suppress(Conflict):
            unpause(containers, container)


def _kill_keeper(containers: Containers, container: Container) -> None:
    """The kernel ends everything below the keeper with it."""
    status = containers.status(container)
    if not status.running:
        return
    os.kill(status.keeper, signal.SIGKILL)
    if not wait_until_ended(containers, container, PATIENCE):
        raise Unavailable(f"container {container.name} cannot be killed", "a process of it may hang in the kernel")


def _settle(containers: Containers, container: Container) -> None:
    """Where its keeper could not say so, write down that it ended."""
    lock = None
    try:
        lock = containers.lock(container)
    except NotFound:
        return
    if lock is None:
        return
    try:
        containers.settle(container)
    finally:
        lock.release()


def remove(
    containers: Containers, container: Container, state: Path, *, force: bool = False, volumes: bool = False
) -> None:
    """Remove the container; with `force`, kill it first if it runs; with `volumes`, its anonymous volumes too. Raises
    Conflict."""
    if force:
        dismiss(containers.directory(container))
        while not at_rest(containers, container):
            with contextlib.suppress(NotRunning):
                kill(containers, container, state, signal.SIGKILL)
    try:
        containers.remove(container, wait=force, volumes=volumes)
    except NotFound:
        if not (force or container.auto_remove):  # else it is as gone as was asked for
            raise


def wait_for(containers: Containers, container: Container) -> int:
    """Wait until the container has ended; its exit code, also where it removes itself then. Of one that waits to be started
    again, the next end counts."""
    while containers.status(container).state == "restarting":
        time.sleep(LOOK_AGAIN)
    with end_of(containers, container) as wait:
        return wait()


@contextlib.contextmanager
def end_of(containers: Containers, container: Container) -> Iterator[Callable[[], int]]:
    """A function that waits until the container has ended and returns its exit code, even if it ends and removes itself
    before that is called."""
    try:
        file = (containers.directory(container) / "state").open("rb")  # it stays readable when the container is removed
    except FileNotFoundError:
        yield lambda: 0
        return
    with file:
        yield lambda: _exit_code(containers, container, file)


def _exit_code(containers: Containers, container: Container, file: IO[bytes]) -> int:
    """Asked under the lock: whoever kept the container, or is just looking whether anybody does, must be through. Not where
    that may be somebody who has started it again."""
    wait_until_ended(containers, container)
    if not container.restart:
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        status = parse(file.read().decode())
        if status.state != "exited":
            last, status = status, read_status(containers.directory(container), locked_by_us=True)
            if status.state == "created":
                return KILLED if last.state == "running" else 0
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
    return status.exit_code
