"""Temporary files and directories in `<root>/tmp`, and the rule that makes them safe to sweep: whatever is there is flocked
by its maker, or its maker is dead.

A directory that is to become a layer stays claimed the same way: `tmp/NAME` stands for `layers/NAME` until the catalog has
a row for it. So after a kill the next sweep finds both, and never has to look through all layers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from core.errors import Conflict

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def short_name() -> str:
    """Eight random letters and digits (40 bits): short, so that many fit into one mount option string."""
    number = int.from_bytes(os.urandom(5), "big")
    return "".join(_LETTERS[number >> shift & 31] for shift in range(0, 40, 5))


def lock_directory(path: Path, *, wait: bool = True) -> int | None:
    """A descriptor of the file or directory at `path`, flocked; None where it is gone, or (unless `wait`) is locked."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(fd), os.lstat(path)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


class Temporaries:
    """The `tmp` directory of one store."""

    def __init__(self, root: Path) -> None:
        self.path = root / "tmp"

    def file(self) -> tuple[int, Path]:
        """A new empty file: a locked descriptor open for reading and writing, and its path."""
        while True:
            path = self.path / f"{short_name()}.blob"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd, path
            os.close(fd)  # a sweeper was faster than the lock

    def directory(self) -> tuple[int, Path]:
        """A new empty directory: a locked descriptor and its path."""
        while True:
            path = self.path / short_name()
            path.mkdir(0o700)
            fd = lock_directory(path)
            if fd is not None:
                return fd, path

    def dead(self) -> Iterator[tuple[int, Path]]:
        """Whatever was left by makers that are dead, each locked by us until the caller asks for the next."""
        for name in os.listdir(self.path):
            fd = lock_directory(self.path / name, wait=False)
            if fd is None:
                continue
            try:
                yield fd, self.path / name
            finally:
                os.close(fd)


class Claim:
    """A new layer directory's name, protected until `settle`. Made of a directory that is locked by `fd`, which it takes."""

    def __init__(self, root: Path, fd: int, home: Path) -> None:
        """`home` (below `root`) becomes the claim; what is in it goes when the claim is settled."""
        self.name = short_name()
        self.layer = root / "layers" / self.name
        self.home = root / "tmp" / self.name
        self._fd: int | None = fd
        os.rename(home, self.home)

    def place(self, directory: Path) -> str:
        """Move `directory`, which lies in `home`, to its place as a layer; nothing is copied. Returns its name."""
        if self.layer.exists():
            raise Conflict(f"layer directory {self.name} exists already", "try again")
        os.rename(directory, self.layer)
        return self.name

    def settle(self, *, keep: bool = True) -> None:
        """End the protection: the catalog has its row, or (`keep` off) the directory is not wanted. Harmless to repeat."""
        from core.removal import remove

        if self._fd is None:
            return
        if not keep:
            remove(self.layer)
        remove(self.home)
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd = None
