"""One health check of a container, from the question to what is kept of the answer: the same whoever looks at the clock.

Everything that decides is in files, so that a supervisor, a timer of the machine's and a user may take turns.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from core.errors import Conflict
from core.locks import FileLock
from runtime.container import Container
from runtime.directories import Directories
from runtime.enter import NotRunning
from runtime.health import Record, Result, read_record
from runtime.keeper import die_with_parent, fork
from runtime.status import Status
from runtime.streams import wait

LOCK = "health.lock"  # held while a result is written down


def check(directories: Directories, container: Container, state: Path) -> Record:
    """Ask the running `container` once, and keep what came of it: the record, whose last result that is.

    Raises NotRunning, also where it ended meanwhile, and Conflict where it is paused.
    """
    from runtime.probing import probe

    assert container.health
    status = directories.status(container)
    if status.paused:
        raise Conflict(f"Container {container.id} is paused", f"let it go on: lamella unpause {container.name}")
    result = probe(directories, container, state, container.health) if status.running else None
    if result is None:
        raise NotRunning(container, status.state)
    return _keep(directories, container, status, result)


def _keep(directories: Directories, container: Container, status: Status, result: Result) -> Record:
    """One after the other writes down what it was told, as long as it is about the run of now."""
    assert container.health
    directory = directories.directory(container)
    lock = FileLock(directory / LOCK)
    try:
        with lock.held():
            if directories.status(container).started != status.started:
                raise NotRunning(container)
            before = read_record(directory, status)
            after = before.after(result, container.health)
            after.write(directory)
    except FileNotFoundError as error:  # removed
        raise NotRunning(container) from error
    if after.status != before.status:
        directories.note(container, f"health_status: {after.status}")
    return after


class Checkup:
    """A supervisor's clock for one run of a container. Made when the run begins, or by a supervisor that takes over."""

    def __init__(self, directories: Directories, container: Container, status: Status, state: Path) -> None:
        self._directories = directories
        self._container = container
        self._status = status
        self._state = state
        self._due = self._next()

    def _next(self) -> float:
        assert self._container.health
        record = read_record(self._directories.directory(self._container), self._status)
        return time.monotonic() + self._container.health.pause(record.status, record.started, time.time_ns())

    def pause(self) -> float:
        """Seconds until the next check."""
        return max(0.0, self._due - time.monotonic())

    def check_when_due(self) -> None:
        """Check if it is time, in a child: this process is to stay small."""
        if time.monotonic() >= self._due:
            wait(fork(self._check))
            self._due = self._next()

    def _check(self, alive: int) -> int:
        from runtime.bundle import open_nothing

        die_with_parent(alive)
        os.dup2(open_nothing(), 0)  # it was the marker: nobody but the supervisor holds its lock
        try:
            check(self._directories, self._container, self._state)
        except Conflict:  # it is paused, or has ended
            return 1
        return 0
