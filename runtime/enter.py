"""Doing something where a running container lives: its keeper's pid and mount namespaces."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import Conflict
from runtime.box import Box
from runtime.container import Container
from runtime.directories import Directories
from runtime.engine import Engine
from runtime.keeper import ENGINE_FAILED, die_with_parent, fork
from runtime.streams import spawn, wait

Inside = Callable[[Box, Engine], int]


class NotRunning(Conflict):
    """The verb needs a running container."""

    def __init__(self, container: Container, state: str = "") -> None:
        if state == "restarting":
            super().__init__(f"Container {container.id} is restarting, wait until the container is running")
        else:
            super().__init__(f"Container {container.id} is not running", f"start it: lamella start {container.name}")


def inside(containers: Directories, container: Container, state: Path, work: Inside) -> int:
    """Run `work` in a child that has entered the container's keeper; returns its exit code.

    The child dies with this process. What it spawns is in the keeper's pid namespace, and ends with that. Raises NotRunning.
    """
    code = wait(fork_inside(containers, container, state, work))
    if code == ENGINE_FAILED and not containers.running(container.id):
        raise NotRunning(container)
    return code


def fork_inside(containers: Directories, container: Container, state: Path, work: Inside) -> int:
    """`inside`, without waiting for the child: its pid."""
    status = containers.status(container)
    keeper = status.keeper
    if not keeper:
        raise NotRunning(container, status.state)
    with _namespaces(keeper) as descriptors:
        # The pid could have been somebody else's by the time its namespaces were opened, unless it is still locked.
        if descriptors is None or containers.status(container).keeper != keeper:
            raise NotRunning(container)
        return fork(lambda alive: _entered(alive, descriptors, container, state, work))


def _entered(alive: int, descriptors: tuple[int, int], container: Container, state: Path, work: Inside) -> int:
    from core import syscalls
    from core.namespaces import keep_descriptors

    keep_descriptors()
    die_with_parent(alive)
    mounts, pids = descriptors
    try:
        syscalls.setns(pids, syscalls.CLONE_NEWPID)
        syscalls.setns(mounts, syscalls.CLONE_NEWNS)
        return work(Box(state), _engine(container, state))
    except OSError as error:
        if error.errno == errno.ENOMEM:  # which is what fork says where the keeper has just died
            return ENGINE_FAILED
        raise


def _engine(container: Container, state: Path) -> Engine:
    from runtime.probe import choose
    from runtime.sealed import sealed

    if container.plain:
        return sealed(choose(state))
    from runtime.runtimes import engine_for

    return sealed(engine_for(container, choose(state)))


@contextlib.contextmanager
def _namespaces(keeper: int) -> Iterator[tuple[int, int] | None]:
    opened: list[int] = []
    try:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            opened += [os.open(f"/proc/{keeper}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("mnt", "pid")]
        yield (opened[0], opened[1]) if len(opened) == 2 else None
    finally:
        for fd in opened:
            os.close(fd)


def send_signal(containers: Directories, container: Container, state: Path, number: int) -> bool:
    """Send a signal to the container's first process; False where the runtime could not. Raises NotRunning."""

    def kill(box: Box, engine: Engine) -> int:
        return wait(spawn(engine.command(box.runtime_state, None, "kill", container.id, str(number)), silent=True))

    sent = inside(containers, container, state, kill) == 0
    if sent:
        containers.note(container, "kill", signal=str(number))
    return sent


def wait_until_ended(containers: Directories, container: Container, seconds: float | None = None) -> bool:
    """Until the container does not run any more, or `seconds` have passed (False). Polls nothing: the kernel tells."""
    status = containers.status(container)
    if not status.running:
        return True
    try:
        fd = os.pidfd_open(status.keeper)
    except ProcessLookupError:
        return True
    try:
        if containers.status(container).keeper != status.keeper:
            return True
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(None if seconds is None else int(seconds * 1000)))
    finally:
        os.close(fd)
