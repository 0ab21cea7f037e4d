"""A directory tree that names from outside cannot leave.

Every step is one `openat` with O_NOFOLLOW below a descriptor that is inside; links are read and followed by hand, with
the tree's root as `/`. Descriptors of directories are cached: files of one directory come in a row. Nobody else may be
changing the tree meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from core.errors import InvalidInput
from core.removal import remove_entry

MAX_LINKS = 40
_MAX_STEPS = 8192
_MAX_OPEN = 128
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Place = tuple[int, bytes]
"""An open directory and its real path below the root (no links, no slash at either end)."""


class Escape(InvalidInput):
    """A name from outside points out of its root."""


def parts(path: bytes) -> list[bytes]:
    """The names in `path`, `..` taken out by its text alone as Docker does. Raises Escape above the top."""
    found: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            if not found:
                raise Escape("the name leads out of its root")
            found.pop()
        elif part and part != b".":
            found.append(part)
    return found


def join(parent: bytes, name: bytes) -> bytes:
    return parent + b"/" + name if parent else name


class Tree:
    """Directories below `root`. Names are relative to `base`, a path inside; links are followed within `root`.

    `create(fd, real_path)` is called for each directory made on the way.
    """

    def __init__(self, root: str | os.PathLike[str], create: Callable[[int, bytes], None]) -> None:
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._create = create
        self._base = b""
        self._open: dict[bytes, int] = {}
        self._known: dict[bytes, Place] = {}

    def close(self) -> None:
        """Close every descriptor. To be called once."""
        self.forget()
        os.close(self.root)

    def enter(self, path: bytes) -> bytes:
        """Make `path` (inside the root, links followed, `..` stops at the top) the base; returns its real path."""
        self._base = self._walk(b"", [part for part in path.split(b"/") if part and part != b"."])
        self.forget()
        return self._base

    def directory(self, path: bytes) -> Place:
        """The directory `path` below the base, made (0755) where it is missing. Valid until the next call."""
        known = self._known.get(path)
        if known is None:
            real = self._walk(self._base, parts(path))
            if len(self._known) > 8 * _MAX_OPEN:
                self._known.clear()
            known = self._known[path] = (self.real(real), real)
        return known

    def real(self, path: bytes) -> int:
        """The directory at a real path, not following anything. Raises OSError when it is not there any more."""
        if not path:
            return self.root
        known = self._open.get(path)
        if known is not None:
            return known
        fd, at = self.root, len(path)
        while (at := path.rfind(b"/", 0, at)) > 0:  # the deepest ancestor that is open
            known = self._open.get(path[:at])
            if known is not None:
                fd = known
                break
        for name in path[at + 1 :].split(b"/"):
            at += 1 + len(name)
            fd = os.open(name, DIRECTORY, dir_fd=fd)
            self._remember(path[:at], fd)
        return fd

    def forget(self) -> None:
        """Close the cached descriptors: call it whenever a directory or a link has been removed."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        self._known.clear()

    def remove(self, fd: int, name: bytes) -> os.stat_result:
        """Remove the entry `name` of the directory `fd`, with all below it; returns what it was."""
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            remove_entry(fd, os.fsdecode(name))
        else:
            os.unlink(name, dir_fd=fd)
        return status

    def _walk(self, real: bytes, names: list[bytes]) -> bytes:
        """The real path of `names` seen from the directory at the path `real`."""
        todo = names[::-1]
        links = steps = 0
        while todo:
            steps += 1
            part = todo.pop()
            if part == b"..":
                real = real.rpartition(b"/")[0]
                continue
            target = self._step(real, part)
            if target is None:
                real = join(real, part)
                continue
            links += 1
            if links > MAX_LINKS or steps > _MAX_STEPS:
                raise InvalidInput("too many levels of symbolic links")
            if target.startswith(b"/"):
                real = b""
            todo.extend(p for p in reversed(target.split(b"/")) if p and p != b".")
        return real

    def _step(self, parent: bytes, part: bytes) -> bytes | None:
        """Open, or make, the directory `part` in `parent`; the target when it is a link instead."""
        real = join(parent, part)
        if real in self._open:
            return None
        fd = self.real(parent)
        try:
            child = os.open(part, DIRECTORY, dir_fd=fd)
        except FileNotFoundError:
            os.mkdir(part, 0o755, dir_fd=fd)
            child = os.open(part, DIRECTORY, dir_fd=fd)
            self._remember(real, child)
            self._create(child, real)
            return None
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            return self._target(fd, part, real)
        self._remember(real, child)
        return None

    def _target(self, fd: int, part: bytes, real: bytes) -> bytes:
        try:
            return os.readlink(part, dir_fd=fd)
        except OSError:
            raise InvalidInput(f"/{real.decode('utf-8', 'backslashreplace')} is no directory") from None

    def _remember(self, real: bytes, fd: int) -> None:
        if len(self._open) >= _MAX_OPEN:
            self.forget()
        self._open[real] = fd
