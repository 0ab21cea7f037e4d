"""Where COPY and ADD put things: the destination inside a stage's root, made as the Dockerfile reference says.

Links in the destination are followed inside the root only. Directories that had to be made are 0755 and root's, or as
--chown and --chmod say; a directory that was there keeps all it had, its time included.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from builder.ops.modes import ModeChange
from core.errors import InvalidInput
from core.paths import resolve_in

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Placement:
    """One step's destination: `path` in the root, `directory` when it was written as one. Use as a context manager:
    leaving it gives the directories that were there their old times back."""

    def __init__(
        self, root: Path, path: str, directory: bool, instant: int, owner: tuple[int, int] | None = None,
        mode: ModeChange | None = None,
    ) -> None:  # fmt: skip
        self.root = root
        self.path = path
        self.directory = directory
        self.instant = instant
        self.owner = owner
        self.mode = mode
        self._times: dict[str, int] = {}
        self._new: set[str] = set()

    def __enter__(self) -> Placement:
        return self

    def __exit__(self, *_: object) -> None:
        for path, nanoseconds in self._times.items():
            os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)

    def host_path(self) -> str:
        """The destination on this host, links followed."""
        return resolve_in(self.root, self.path)

    def open_directory(self, *, plain: bool = False) -> int:
        """A descriptor of the destination as a directory, which is made when missing, `plain` without regard to --chmod.
        The caller closes it."""
        return self._open(self.host_path(), None if plain else self.mode)

    def open_for_file(self, name: str) -> tuple[int, str]:
        """A descriptor of the directory that a source file goes into, and the name it gets there: its own, where the
        destination is a directory or was written as one."""
        host = self.host_path()
        if self.directory or os.path.isdir(host):
            return self._open(host, self.mode), name
        parent, _, last = host.rpartition("/")
        return self._open(parent, self.mode), last

    def dated(self, directory: int, source: str) -> None:
        """Let `directory`, a descriptor, have the time of the directory `source`, if it was made here: BuildKit does so."""
        path = os.readlink(f"/proc/self/fd/{directory}")
        if path in self._new:
            self._times[path] = os.stat(source).st_mtime_ns

    def _open(self, host: str, change: ModeChange | None) -> int:
        missing: list[str] = []
        top = os.fspath(self.root).rstrip("/")
        current = host
        while (kind := _kind(current)) is None:
            current, _, name = current.rpartition("/")
            missing.append(name)
        if not stat.S_ISDIR(kind):
            raise InvalidInput(
                f"the destination {current[len(top) :] or '/'} is not a directory", "choose another, or remove it first"
            )
        fd = os.open(current, _DIRECTORY)
        self._times.setdefault(current, os.fstat(fd).st_mtime_ns)
        for name in reversed(missing):
            fd = self._make(fd, name, change)
        return fd

    def _make(self, parent: int, name: str, change: ModeChange | None) -> int:
        try:
            mode = change.of(0o755, directory=True) if change else 0o755
            os.mkdir(name, mode, dir_fd=parent)
            fd = os.open(name, _DIRECTORY, dir_fd=parent)
            if self.owner:
                os.fchown(fd, *self.owner)
            os.fchmod(fd, mode)
            self._made(fd)
            return fd
        finally:
            os.close(parent)

    def _made(self, fd: int) -> None:
        # Its time is set at the end, like that of those which were there: what is put into it would change it.
        path = os.readlink(f"/proc/self/fd/{fd}")
        self._times[path] = self.instant
        self._new.add(path)


def _kind(path: str) -> int | None:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None
