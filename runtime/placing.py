"""The directory of a container, before there is a container: its ID, made and locked. Loads next to nothing: a container in
the foreground has its keeper forked right after this."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from core.locks import FileLock

DOOMED = "."  # what a directory's name begins with while it is being removed


def place(root: Path) -> tuple[str, FileLock]:
    """A new ID with its directory in the store at `root`, locked: until it is let go nobody sweeps it away."""
    while True:
        id = os.urandom(32).hex()
        directory = root / "containers" / id
        directory.mkdir(0o700)
        lock = FileLock(directory / "state")
        with contextlib.suppress(FileNotFoundError):  # a sweeper was faster than the lock
            lock.acquire()
            return id, lock


def give_up(root: Path, id: str, lock: FileLock) -> None:
    """Undo `place`."""
    remove_place(root / "containers", id)
    lock.release()


def remove_place(directory: Path, id: str) -> None:
    """Remove the container `id` below `directory` with all in it. Harmless to repeat."""
    # In one step: whoever waits for the lock must not find a directory to make a new lock file in.
    doomed = directory / f"{DOOMED}{id}"
    with contextlib.suppress(FileNotFoundError):
        os.rename(directory / id, doomed)
        remove_doomed(doomed)


def remove_doomed(path: Path) -> None:
    """Finish what `remove_place` began."""
    from core.removal import remove

    with contextlib.suppress(FileNotFoundError):  # a sweeper helps
        remove(path)
