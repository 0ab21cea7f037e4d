"""How containers end: asked to, made to, waited for, removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from core.errors import Conflict, NotFound, Unavailable
from core.locks import FileLock
from runtime.container import Container
from runtime.containers import KEPT, Containers
from runtime.enter import NotRunning, send_signal, wait_until_ended
from runtime.signals import number_of
from runtime.status import KILLED, read_status

DEFAULT_TIMEOUT = 10
PATIENCE = 10.0  # seconds for the kernel and conmon to do what SIGKILL asks


def stop(
    containers: Containers, container: Container, state: Path, timeout: int | None = None, signal_name: str = ""
) -> None:
    """Send the stop signal (or the one named), and SIGKILL after `timeout` seconds (-1: never). Harmless if it does not run."""
    if timeout is None:
        timeout = DEFAULT_TIMEOUT if container.stop_timeout is None else container.stop_timeout
    try:
        sent = send_signal(containers, container, state, number_of(signal_name or container.stop_signal))
    except NotRunning:
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


def kill(containers: Containers, container: Container, state: Path, number: int) -> None:
    """Send the signal; after SIGKILL wait until it is gone. Raises NotRunning."""
    sent = send_signal(containers, container, state, number)
    if number in (signal.SIGKILL, number_of(container.stop_signal)):
        _wake(containers, container)
    if number != signal.SIGKILL:
        return
    if not sent or not wait_until_ended(containers, container, PATIENCE):
        _kill_keeper(containers, container)
    _settle(containers, container)


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


def remove(containers: Containers, container: Container, state: Path, *, force: bool = False) -> None:
    """Remove the container; with `force`, kill it first if it runs. Raises Conflict."""
    if force and containers.status(container).running:
        with contextlib.suppress(NotRunning):
            kill(containers, container, state, signal.SIGKILL)
    try:
        containers.remove(container, wait=force)
    except NotFound:
        if not (force or container.auto_remove):  # else it is as gone as was asked for
            raise


def wait_for(containers: Containers, container: Container) -> int:
    """Wait until the container has ended; its exit code, also where it removes itself then."""
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
    """Asked under the lock: whoever kept the container, or is just looking whether anybody does, must be through."""
    wait_until_ended(containers, container)
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        lines = file.read().splitlines()
        last = lines[-1].split() if lines else []
        if last and last[0] == b"exited":
            return int(last[1])
        status = read_status(containers.directory(container), locked_by_us=True)
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
    return status.exit_code if status.state == "exited" else KILLED if last else 0
