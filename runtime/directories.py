"""Containers as their directories tell of them: what can be known and locked without opening the catalog."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from core.errors import NotFound
from core.locks import FileLock, is_locked
from runtime.container import Container
from runtime.status import SUPERVISED, Status, last_status, note_exited, read_status


class NoSuchContainer(NotFound):
    """Nothing has this ID or name."""

    def __init__(self, text: str) -> None:
        super().__init__(f"No such container: {text}", "`lamella ps -a` lists what is here")


class Directories:
    """A directory each below `<root>/containers`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = root / "containers"

    def directory(self, container: Container | str) -> Path:
        """Where the container's files are."""
        return self._root / (container if isinstance(container, str) else container.id)

    def load(self, id: str) -> Container | None:
        """The container with exactly this ID; None where it is not, or not yet, whole."""
        path = f"{self._root}/{id}/config.json"
        try:
            with open(path, "rb", 0) as file:
                return Container.decode(file.read(), path)
        except FileNotFoundError:
            return None

    def status(self, container: Container) -> Status:
        """What it does right now."""
        return read_status(f"{self._root}/{container.id}")

    def running(self, id: str) -> bool:
        """Whether the container with this ID runs; False once it is removed."""
        return read_status(f"{self._root}/{id}").running

    def lock(self, container: Container, *, wait: bool = False) -> FileLock | None:
        """The lock that starting and removing need; None while the container runs, unless told to `wait` for its end."""
        lock = FileLock(self.directory(container) / "state")
        try:
            return lock if lock.acquire(wait=wait) else None
        except FileNotFoundError as error:
            raise NoSuchContainer(container.name) from error

    def lock_to_start(self, container: Container) -> FileLock | None:
        """The same, waiting for whoever only looks into a container that does not run."""
        lock = self.lock(container)
        while lock is None and not self.status(container).running:
            lock = self.lock(container, wait=True)
        return lock

    def note(self, container: Container, action: str, **attributes: str) -> None:
        """Tell the store's log of events. Never fails."""
        from store.events import note

        known = {**container.labels, "image": container.image_name, "name": container.name, **attributes}
        note(self.root, "container", action, container.id, known)

    def ended(self, container: Container, code: int, finished: int = 0) -> None:
        """Write down that its processes have ended with `code`, at `finished` (ns since the epoch) or now, and whether it will
        be started again. Harmless to repeat.

        For who has its lock, or is below the keeper that has it.
        """
        directory = self.directory(container)
        before, end = last_status(directory), finished or time.time_ns()
        if before.state == "exited" and end == before.finished:
            return
        ran = max(0, end - before.started) if before.running else 0
        note_exited(directory, code, end, again=self._again(container, code, ran) if container.restart else 0)
        if before.running:
            self.note(container, "die", execDuration=str(ran // 10**9), exitCode=str(code))

    def _again(self, container: Container, code: int, ran: int) -> int:
        """The how manieth restart is to follow; 0 for none."""
        from runtime.restart import following

        directory = self.directory(container)
        wanted = container.restart and os.path.exists(directory / SUPERVISED)
        return following(directory, container.restart, code, ran / 10**9) if container.restart and wanted else 0

    def neglected(self) -> list[Path]:
        """The directories of containers that are to have a supervisor, and may have lost it."""
        with contextlib.suppress(FileNotFoundError):
            found = [
                self._root / id for id in os.listdir(self._root) if os.path.exists(f"{self._root}/{id}/{SUPERVISED}")
            ]
            return [directory for directory in found if not is_locked(directory / SUPERVISED)]
        return []
