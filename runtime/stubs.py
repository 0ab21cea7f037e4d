"""Mount points that a root file system lacks: made before a container starts, gone without trace when it ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from core.paths import resolve_in
from core.value import Value


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
        """Make what is missing of these container paths, and their missing parents. Links are followed in the root."""
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
        with _times_kept(os.path.dirname(point.path)):
            if point.directory:
                os.rmdir(point.path)
            elif os.lstat(point.path).st_size == 0:
                os.unlink(point.path)


@contextlib.contextmanager
def _times_kept(directory: str) -> Iterator[None]:
    before = os.stat(directory, follow_symlinks=False)
    yield
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)
