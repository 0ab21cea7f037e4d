"""Items written into a directory whose tree somebody hostile may be changing: nothing is ever written outside of `top`."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from collections.abc import Callable
from typing import IO

from core import syscalls
from core.errors import Conflict, InvalidInput, NotFound
from core.value import Value
from runtime.copy_items import Item, set_xattrs

CHUNK = 1 << 20
_SPECIAL = (stat.S_IFBLK, stat.S_IFCHR)


class Ownership(Value):
    """Who owns what is written: the given user and group, or (None) whom the item names. `special`: whether devices may be
    made and setuid bits kept, where the files do not leave the container's walls."""

    owner: tuple[int, int] | None
    special: bool


class Writer:
    """Writes items below `base`, a path that is resolved inside `top` (a descriptor) as `resolve` says (openat2(2)).

    `base` itself gets the item without a path. Call `finish` at the end. `left_out` are the items that could not be written.
    """

    def __init__(self, top: int, base: str, resolve: int, ownership: Ownership) -> None:
        self._top = top
        self._base = base
        self._resolve = resolve
        self._ownership = ownership
        self._parent: tuple[str, int] | None = None
        self._directories: list[tuple[str, Item]] = []
        self.left_out: list[str] = []
        self.bytes = 0

    def put(self, item: Item) -> None:
        """Write one item. What is there gives way, but no directory to a file nor a file to a directory (Conflict)."""
        path = posixpath.join(self._base, item.path) if item.path else self._base
        directory, name = self._place(path)
        there = self._look(directory, name)
        if stat.S_ISDIR(item.mode):
            self._directory(item, path, directory, name, there)
            return
        if there is not None and stat.S_ISDIR(there):
            raise Conflict(f'cannot overwrite directory "{path}" with non-directory "{item.path or path}"')
        if stat.S_IFMT(item.mode) in _SPECIAL and not self._ownership.special:
            self.left_out.append(path)
            return
        if there is not None:
            os.unlink(name, dir_fd=directory)
        self._create(item, directory, name)

    def _directory(self, item: Item, path: str, directory: int, name: str, there: int | None) -> None:
        if there is None:
            os.mkdir(name, 0o700, dir_fd=directory)
        elif not stat.S_ISDIR(there):
            raise Conflict(f'cannot overwrite non-directory "{path}" with directory "{item.path or path}"')
        self._directories.append((path, item))

    def _look(self, directory: int, name: str) -> int | None:
        try:
            return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None

    def _create(self, item: Item, directory: int, name: str) -> None:
        kind = stat.S_IFMT(item.mode)
        if item.hard:
            self._link(item, directory, name)
        elif kind == stat.S_IFLNK:
            os.symlink(item.link, name, dir_fd=directory)
            os.chown(name, *self._owner(item), dir_fd=directory, follow_symlinks=False)
            os.utime(name, ns=(item.mtime_ns, item.mtime_ns), dir_fd=directory, follow_symlinks=False)
        elif kind == stat.S_IFREG:
            fd = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory
            )
            with os.fdopen(fd, "wb", buffering=0) as file:
                self.bytes += _copy(item.content, file) if item.content else 0
                self._attributes(item, fd)
        elif kind in (*_SPECIAL, stat.S_IFIFO):
            os.mknod(name, item.mode, item.rdev, dir_fd=directory)
            os.chown(name, *self._owner(item), dir_fd=directory, follow_symlinks=False)

    def _link(self, item: Item, directory: int, name: str) -> None:
        kept = os.dup(directory)  # finding the other one's place may let go of it
        try:
            there, other = self._place(posixpath.join(self._base, item.link) if item.link else self._base)
            os.link(other, name, src_dir_fd=there, dst_dir_fd=kept, follow_symlinks=False)
        finally:
            os.close(kept)

    def _owner(self, item: Item) -> tuple[int, int]:
        return self._ownership.owner or (item.uid, item.gid)

    def _attributes(self, item: Item, fd: int) -> None:
        os.fchown(fd, *self._owner(item))
        os.fchmod(fd, stat.S_IMODE(item.mode) & (0o7777 if self._ownership.special else 0o1777))
        if self._ownership.special:
            set_xattrs(fd, item.xattrs)
        os.utime(fd, ns=(item.mtime_ns, item.mtime_ns))

    def _place(self, path: str) -> tuple[int, str]:
        """The descriptor of the directory that `path` is in, made where a tar leaves that out, and its name there."""
        parent, name = posixpath.split(path)
        if name in ("", ".", ".."):
            parent, name = path, "."
        if self._parent is None or self._parent[0] != parent:
            self._forget()
            self._parent = parent, self._open(parent)
        return self._parent[1], name

    def _open(self, path: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY
        try:
            return syscalls.openat2(self._top, path or ".", flags, resolve=self._resolve)
        except FileNotFoundError:
            if not path.startswith(self._base.rstrip("/") + "/"):
                raise NotFound(f"no such directory: {path}") from None
        above, name = posixpath.split(path)
        fd = self._open(above)
        try:
            os.mkdir(name, 0o755, dir_fd=fd)
            if self._ownership.owner:
                os.chown(name, *self._ownership.owner, dir_fd=fd, follow_symlinks=False)
        except FileExistsError as error:
            raise InvalidInput(f"{path}: not a directory") from error
        finally:
            os.close(fd)
        return syscalls.openat2(self._top, path, flags, resolve=self._resolve)

    def finish(self) -> None:
        """Give the directories what the items said of them, the innermost first."""
        for path, item in reversed(self._directories):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # somebody has taken it away
                fd = syscalls.openat2(self._top, path or ".", os.O_RDONLY | os.O_DIRECTORY, resolve=self._resolve)
                try:
                    self._attributes(item, fd)
                finally:
                    os.close(fd)
        self._forget()

    def _forget(self) -> None:
        if self._parent:
            os.close(self._parent[1])
            self._parent = None


def _copy(content: Callable[[], IO[bytes]], file: IO[bytes]) -> int:
    total = 0
    with content() as source:
        while data := source.read(CHUNK):
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            total += len(data)
    return total
