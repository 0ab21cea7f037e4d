"""Doing something where a running container lives: its keeper's pid and mount namespaces."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import Conflict
from runtime.box import Box
from runtime.container import Container
from runtime.containers import Containers
from runtime.engine import Engine
from runtime.keeper import ENGINE_FAILED, report
from runtime.streams import spawn, wait

Inside = Callable[[Box, Engine], int]


class NotRunning(Conflict):
    """The verb needs a running container."""

    def __init__(self, container: Container) -> None:
        super().__init__(f"container {container.id} is not running", f"start it: lamella start {container.name}")


def inside(containers: Containers, container: Container, state: Path, work: Inside) -> int:
    """Run `work` in a child that has entered the container's keeper; returns its exit code.

    What the child spawns is in the keeper's pid namespace, and ends with it. Raises NotRunning.
    """
    from core import syscalls
    from runtime.probe import choose

    keeper = containers.status(container).keeper
    if not keeper:
        raise NotRunning(container)
    with _namespaces(keeper) as descriptors:
        # The pid could have been somebody else's by the time its namespaces were opened, unless it is still locked.
        if descriptors is None or containers.status(container).keeper != keeper:
            raise NotRunning(container)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            code = ENGINE_FAILED
            try:
                mounts, pids = descriptors
                syscalls.setns(pids, syscalls.CLONE_NEWPID)
                syscalls.setns(mounts, syscalls.CLONE_NEWNS)
                code = work(Box(state), choose(state))
            except BaseException as error:
                if getattr(error, "errno", 0) != errno.ENOMEM:  # which is what fork says where the keeper has just died
                    code = report(error)
            finally:
                os._exit(code)
    code = wait(pid)
    if code == ENGINE_FAILED and not containers.running(container.id):
        raise NotRunning(container)
    return code


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


def send_signal(containers: Containers, container: Container, state: Path, number: int) -> bool:
    """Send a signal to the container's first process; False where the runtime could not. Raises NotRunning."""

    def kill(box: Box, engine: Engine) -> int:
        return wait(spawn(engine.command(box.runtime_state, None, "kill", container.id, str(number)), silent=True))

    sent = inside(containers, container, state, kill) == 0
    if sent:
        containers.note(container, "kill", signal=str(number))
    return sent


def wait_until_ended(containers: Containers, container: Container, seconds: float | None = None) -> bool:
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
