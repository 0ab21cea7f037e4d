"""The supervisor of one container: watches its keeper, asks it how it is, and starts it again where its policy says so.

A process of its own beside a container with a health check or a restart policy, as small as Python can be: the catalog is not
opened here, and whatever takes more than a look is done by a child. Everything it must not forget is in files, so that another
one can take over when it is killed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from core.errors import NotFound
from runtime.container import Container
from runtime.directories import Directories
from runtime.starting import end_half_started, wait_for_former
from runtime.status import Status, last_status, read_status
from runtime.streams import spawn, wait
from runtime.supervision import Marker

LOOK_AGAIN = 0.05  # seconds between two looks at a container that somebody else is just doing something with


class Supervisor:
    """`again`: the command that starts the container once more, as its policy asks for."""

    def __init__(self, root: Path, id: str, state: Path, marker: Marker, again: Sequence[str]) -> None:
        self._directories = Directories(root)
        self._id = id
        self._state = state
        self._marker = marker
        self._again = again

    def run(self) -> None:
        """Until there is nothing more to see to, or nobody wants it any more."""
        while self._marker.named():
            container = self._directories.load(self._id)
            if container is None:
                return
            status = self._directories.status(container)
            if status.running:
                self._attend(container, status)
            elif not self._follow(container):
                return

    def _attend(self, container: Container, status: Status) -> None:
        """While it runs; also until somebody wants it looked at again."""
        with contextlib.suppress(ProcessLookupError):
            keeper = os.pidfd_open(status.keeper)
            try:
                if self._directories.status(container).keeper == status.keeper:
                    self._watch(container, status, keeper)
            finally:
                os.close(keeper)

    def _watch(self, container: Container, status: Status, keeper: int) -> None:
        if not (container.health and container.health.command):
            self._marker.wait(None, keeper)
            return
        from runtime.checkup import Checkup

        checkup = Checkup(self._directories, container, status, self._state)
        while self._marker.named():
            if keeper in self._marker.wait(checkup.pause(), keeper):
                return
            checkup.check_when_due()

    def _follow(self, container: Container) -> bool:
        """It does not run: start it again, after a while, if its policy says so; False where it is to stay as it is."""
        wait_for_former(self._directories.directory(container), container.id)
        try:
            lock = self._directories.lock(container)
        except NotFound:
            return False
        if lock is None:
            self._wait_for_others(container)
            return True
        try:
            delay = self._decide(container)
        finally:
            lock.release()
        if delay is None:
            return False
        if self._slept(delay):
            wait(spawn(self._again, silent=True))
        return True

    def _wait_for_others(self, container: Container) -> None:
        self._marker.wait(LOOK_AGAIN)
        end_half_started(self._directories.directory(container))

    def _decide(self, container: Container) -> float | None:
        """Under the container's lock: seconds until it is to be started again, None for never."""
        directory = self._directories.directory(container)
        if not self._marker.named():
            return None
        status = read_status(directory, locked_by_us=True)
        if last_status(directory).running:  # its keeper was killed
            self._directories.ended(container, status.exit_code, status.finished)
        if not last_status(directory).waiting:
            self._marker.remove()
            return None
        from runtime.restart import read_restarts

        return read_restarts(directory).delay / 1000

    def _slept(self, seconds: float) -> bool:
        """Whether the time has passed and a supervisor is still wanted."""
        end = time.monotonic() + seconds
        while self._marker.named() and (left := end - time.monotonic()) > 0:
            self._marker.wait(left)
        return self._marker.named()
