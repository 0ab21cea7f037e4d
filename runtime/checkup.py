"""The health checks of one run of a container: when the next one is due, and what is kept of them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from runtime.container import Container
from runtime.directories import Directories
from runtime.health import Result, read_record
from runtime.keeper import die_with_parent, fork
from runtime.status import Status
from runtime.streams import wait


class Checkup:
    """Made when a run begins, or by a supervisor that takes over."""

    def __init__(self, directories: Directories, container: Container, status: Status, state: Path) -> None:
        assert container.health
        self._directories = directories
        self._container = container
        self._health = container.health
        self._state = state
        self._directory = directories.directory(container)
        self._record = read_record(self._directory, status)
        self._record.write(self._directory)
        self._due = self._next()

    def _next(self) -> float:
        return time.monotonic() + self._health.pause(self._record.status, self._record.started, time.time_ns())

    def pause(self) -> float:
        """Seconds until the next check."""
        return max(0.0, self._due - time.monotonic())

    def check_when_due(self) -> None:
        """Check, and keep what came of it, if it is time."""
        if time.monotonic() < self._due:
            return
        result = None if self._directories.status(self._container).paused else self._ask()
        if result is not None:
            before = self._record.status
            self._record = self._record.after(result, self._health)
            self._record.write(self._directory)
            if self._record.status != before:
                self._directories.note(self._container, f"health_status: {self._record.status}")
        self._due = self._next()

    def _ask(self) -> Result | None:
        """In a child, for this process is to stay small."""
        answers, answer = os.pipe()
        child = fork(lambda alive: self._answer(alive, answer))
        os.close(answer)
        with os.fdopen(answers, "rb") as pipe:
            data = pipe.read()
        wait(child)
        return Result(**json.loads(data)) if data else None

    def _answer(self, alive: int, answer: int) -> int:
        from runtime.bundle import open_nothing
        from runtime.probing import probe

        die_with_parent(alive)
        os.dup2(open_nothing(), 0)  # it was the marker: nobody but the supervisor holds its lock
        result = probe(self._directories, self._container, self._state, self._health)
        if result is not None:
            os.write(answer, json.dumps(vars(result)).encode())
        return 0
