"""A copy of a layer's directory, whiteouts and all: as fast as the file system lets it be, since a container waits for it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from layer.overlayfs import is_whiteout
from layer.walk import walk
from snapshot.attributes import NOT_CARRIED, OPAQUE
from snapshot.merging import copy_content

SMALL_BYTES = 128 << 10  # below it, sharing blocks costs more than writing them
_FICLONE = 0x40049409
_OPEN_LEVELS = 128
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def duplicate(source: Path, target: Path) -> None:
    """Make the missing directory `target` a copy of the overlay-format `source`: blocks are shared where that works,
    sockets left out. What vanishes from `source` meanwhile is not copied."""
    os.mkdir(target, 0o700)
    copier = _Copier(target)
    try:
        for fd, name, path, entry in walk(source, changing=True):
            if entry is None:
                copier.enter(path, fd)
            else:
                copier.copy(fd, name, path, entry.is_file(follow_symlinks=False))
        copier.leave(0)
    finally:
        copier.close()


class _Level:
    """A directory of the copy that is still being filled; its descriptor is closed while we are far below."""

    __slots__ = ("attributes", "fd", "path", "status")

    def __init__(self, path: bytes, fd: int, source: int) -> None:
        self.path = path
        self.fd: int | None = fd
        self.status = os.fstat(source)
        self.attributes = _attributes(source)


class _Copier:
    def __init__(self, target: Path) -> None:
        self._root = os.open(target, _DIRECTORY)
        self._ours = _owner(os.fstat(self._root))  # of whatever is made below it
        self._levels: list[_Level] = []
        self._first: dict[int, bytes] = {}  # inode → the first copy's path
        self._shares = True

    def enter(self, path: bytes, source: int) -> None:
        """The walk comes to the directory `path`."""
        if not path:
            self._levels.append(_Level(path, os.dup(self._root), source))
            return
        parent, _, name = path.rpartition(b"/")
        above = self._parent(parent)
        os.mkdir(name, 0o700, dir_fd=above)
        self._levels.append(_Level(path, os.open(name, _DIRECTORY, dir_fd=above), source))
        if len(self._levels) > _OPEN_LEVELS:
            far = self._levels[-_OPEN_LEVELS - 1]
            if far.fd is not None:
                os.close(far.fd)
                far.fd = None

    def copy(self, directory: int, name: bytes, path: bytes, regular: bool) -> None:
        """The walk comes to something else, `regular` for a plain file."""
        target = self._parent(path[: -len(name)].rstrip(b"/"))
        with contextlib.suppress(FileNotFoundError):
            if regular:
                self._file(directory, name, path, target)
                return
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            form = stat.S_IFMT(status.st_mode)
            if form in (stat.S_IFSOCK, stat.S_IFREG, stat.S_IFDIR) or self._linked(status, name, path, target):
                return  # the latter two have only just taken another's place
            _special(directory, name, status, target)

    def _parent(self, path: bytes) -> int:
        while self._levels[-1].path != path:
            self.leave(len(self._levels) - 1)
        fd = self._levels[-1].fd
        assert fd is not None
        return fd

    def _linked(self, status: os.stat_result, name: bytes, path: bytes, target: int) -> bool:
        """Make a name of a copy that is there already; else remember this one."""
        if status.st_nlink < 2 or is_whiteout(status):
            return False
        first = self._first.setdefault(status.st_ino, path)
        if first == path:
            return False
        os.link(first, name, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False)
        return True

    def _file(self, directory: int, name: bytes, path: bytes, target: int) -> None:
        source = _open(directory, name)
        try:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode) or self._linked(status, name, path, target):
                return
            copy = os.open(name, _CREATE, 0o600, dir_fd=target)
            try:
                self._content(source, copy, status.st_size)
                self._put(copy, status, _attributes(source))
            finally:
                os.close(copy)
        finally:
            os.close(source)

    def _content(self, source: int, copy: int, size: int) -> None:
        if size > SMALL_BYTES:
            if not (self._shares and self._share(source, copy)):
                copy_content(source, copy, size)
        elif size:
            data = os.read(source, size)
            if data and os.write(copy, data) < size:
                copy_content(source, copy, size)

    def _share(self, source: int, copy: int) -> bool:
        import fcntl

        try:
            fcntl.ioctl(copy, _FICLONE, source)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM):
                raise
            self._shares = False
        return self._shares

    def leave(self, count: int) -> None:
        """Finish all but the outer `count` directories: filling them changed their times."""
        while len(self._levels) > count:
            level = self._levels.pop()
            assert level.fd is not None
            if self._levels and self._levels[-1].fd is None:
                self._levels[-1].fd = os.open("..", _DIRECTORY, dir_fd=level.fd)
            self._put(level.fd, level.status, level.attributes)
            os.close(level.fd)

    def _put(self, fd: int, status: os.stat_result, attributes: dict[str, bytes]) -> None:
        """Give a new file or directory everything but its content."""
        if _owner(status) != self._ours:
            os.fchown(fd, status.st_uid, status.st_gid)
        for name, value in attributes.items():
            os.setxattr(fd, name, value)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))  # after chown, which takes the setuid bits
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))

    def close(self) -> None:
        for level in self._levels:
            if level.fd is not None:
                os.close(level.fd)
        os.close(self._root)


def _open(directory: int, name: bytes) -> int:
    try:
        return os.open(name, _READ, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link by now
            raise FileNotFoundError from error
        raise


def _attributes(fd: int) -> dict[str, bytes]:
    names = os.listxattr(fd)
    return {name: os.getxattr(fd, name) for name in names if name in OPAQUE or not name.startswith(NOT_CARRIED)}


def _owner(status: os.stat_result) -> tuple[int, int]:
    return status.st_uid, status.st_gid


def _special(directory: int, name: bytes, status: os.stat_result, target: int) -> None:
    link = stat.S_ISLNK(status.st_mode)
    if link:
        os.symlink(os.readlink(name, dir_fd=directory), name, dir_fd=target)
    else:
        os.mknod(name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=target)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if not link:
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
