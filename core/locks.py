"""Locks that end with their holder: flock(2) on a file, never a PID, never a time-out."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class FileLock:
    """An flock on one file. The kernel lets go when the last descriptor closes, by whatever death."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = True) -> bool:
        """Take the lock; with `wait` off, False where somebody else has it. The file is created when missing."""
        flags = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, flags)
            except OSError as error:
                os.close(fd)
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    return False
                raise
            if self._still_named(fd):
                self._fd = fd
                return True
            os.close(fd)  # the file was removed between open and flock: its lock protects nothing

    def _still_named(self, fd: int) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(fd), os.stat(self.path))
        return False

    def fileno(self) -> int:
        """The locked descriptor, to be inherited by a child that is to go on holding the lock."""
        assert self._fd is not None, "not locked"
        return self._fd

    def release(self, *, remove: bool = False) -> None:
        """Let go, and remove the file first if asked. Harmless to repeat."""
        if self._fd is None:
            return
        if remove:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        os.close(self._fd)
        self._fd = None

    def release_all(self) -> None:
        """Let go, also of what other processes have inherited of it. Harmless to repeat."""
        if self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self.release()

    @contextlib.contextmanager
    def held(self, *, shared: bool = False) -> Iterator[None]:
        """Wait for the lock and hold it for the block."""
        self.acquire(shared=shared)
        try:
            yield
        finally:
            self.release()


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Whether somebody holds an flock on `path`; a missing file is not locked."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return True
        raise
    finally:
        os.close(fd)
    return False
