"""Getting at what a container has, whether it runs or not."""

from __future__ import annotations

import time
from collections.abc import Callable

from core.locks import FileLock
from runtime.container import Container
from runtime.containers import Containers
from runtime.enter import NotRunning
from runtime.inspect import first_process

PATIENCE_SECONDS = 5.0


def lock_or_enter(containers: Containers, container: Container, enter: Callable[[], int]) -> FileLock | int:
    """The lock of one that does not run, and cannot be started until it is released; or the descriptor that `enter` gives of
    one that does. Raises NotRunning if `enter` does so for PATIENCE_SECONDS, and what else it raises."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        lock = containers.lock(container)
        if lock:
            return lock
        try:
            return enter()
        except NotRunning:  # it has just ended, or is about to start
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def keeper_and_first(containers: Containers, container: Container) -> tuple[int, int]:
    """The pids of the keeper, and of the container's first process below it. Raises NotRunning."""
    keeper = containers.status(container).keeper
    first = first_process(keeper) if keeper else 0
    if not first:
        raise NotRunning(container)
    return keeper, first
