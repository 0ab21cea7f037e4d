"""Mount points that a root file system lacks: made before a container starts, gone without trace when it ended."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator

from core.errors import InvalidInput
from core.paths import resolve_in
from core.value import Value

KERNEL = ("/proc", "/dev", "/sys")
# What every container gets whatever its user asks for: no change of his, where nothing was put into it.
OWN = frozenset({b"proc", b"dev", b"sys", b"etc", b"etc/hosts", b"etc/hostname", b"etc/resolv.conf"})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Point(Value):
    """One name that was made: a directory or an empty file."""

    path: str
    directory: bool


class Stubs:
    """Makes missing mount points in a root. `undo` removes those that are still as they were made.

    The parent's times are put back both times, so a layer keeps no sign of them.
    """

    def __init__(self, rootfs: str) -> None:
        self._rootfs = rootfs
        self._made: list[Point] = []

    @contextlib.contextmanager
    def made(self, directories: Iterable[str], files: Iterable[str] = ()) -> Iterator[None]:
        """`make` for the block, then `undo`."""
        try:
            self.make(directories, files)
            yield
        finally:
            self.undo()

    def make(self, directories: Iterable[str], files: Iterable[str] = ()) -> None:
        """Make what is missing of these container paths, and their missing parents. Links are followed in the root.

        Raises InvalidInput where the kernel's own mount points are no directories.
        """
        _refuse_detours(self._rootfs)
        for path in directories:
            self._make(resolve_in(self._rootfs, path), directory=True)
        for path in files:
            self._make(resolve_in(self._rootfs, path), directory=False)

    def _make(self, path: str, *, directory: bool) -> None:
        if os.path.lexists(path):
            return
        parent = os.path.dirname(path)
        if not os.path.lexists(parent):
            self._make(parent, directory=True)
        with _times_kept(parent):
            if directory:
                os.mkdir(path, 0o755)
            else:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        self._made.append(Point(path, directory))

    def undo(self) -> None:
        """Remove what was made, inner first, unless something was put into it. Harmless to repeat."""
        while self._made:
            point = self._made.pop()
            with contextlib.suppress(OSError):
                self._remove(point)

    def _remove(self, point: Point) -> None:
        """The container may have put a link in the place of any directory on the way: none is followed."""
        parent, name = os.path.split(point.path)
        directory = _open_below(self._rootfs, parent)
        try:
            before = os.fstat(directory)
            if point.directory:
                os.rmdir(name, dir_fd=directory)
            elif os.lstat(name, dir_fd=directory).st_size == 0:
                os.unlink(name, dir_fd=directory)
            os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
        finally:
            os.close(directory)


def _refuse_detours(rootfs: str) -> None:
    """Runtimes follow a link at /dev out of the root when they make what belongs there (seen with crun 1.8)."""
    for path in KERNEL:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.lstat(rootfs + path).st_mode):
                raise InvalidInput(
                    f"{path} of the root file system is no directory",
                    f"nothing can run in such an image: make {path} an empty directory in it",
                )


def _open_below(rootfs: str, path: str) -> int:
    """A descriptor of the directory `path`, a real path below `rootfs`. Raises OSError where a link is on the way."""
    here = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in path[len(rootfs) :].split("/"):
        if name:
            try:
                below = os.open(name, _DIRECTORY, dir_fd=here)
            finally:
                os.close(here)
            here = below
    return here


@contextlib.contextmanager
def _times_kept(directory: str) -> Iterator[None]:
    before = os.stat(directory, follow_symlinks=False)
    yield
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)
