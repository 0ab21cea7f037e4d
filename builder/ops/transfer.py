"""Copying a tree, name by name through directory descriptors, into another: the fast path of COPY.

What is kept: bytes, mode, times to the nanosecond, xattrs (no security labels), links, hard links inside one copy,
devices and fifos. No path is built for a file unless it has several names, and no file is looked at twice.
"""

from __future__ import annotations

import os
import stat
import time

from builder.ops.contents import copy_data, copy_xattrs
from builder.ops.crew import Crew
from builder.ops.modes import ModeChange
from builder.ops.survey import Skip
from core.errors import InvalidInput
from core.files import umask
from layer.cloned import RACY_NANOSECONDS, Original, mark

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL = 0o7000


class Copier:
    """One COPY. `owner` replaces every owner, `mode` changes every mode; with `keep_owners` off, owners become 0:0.

    `clones`: what this process has cloned, by the clone's inode.
    """

    def __init__(
        self, *, owner: tuple[int, int] | None = None, mode: ModeChange | None = None, keep_owners: bool = False
    ) -> None:
        self._owner = owner
        self._keep_owners = keep_owners and owner is None
        self._mode = mode
        self._linked: dict[tuple[int, int], str] = {}
        self._unsure = _SPECIAL | umask()
        self.clones: dict[int, Original] = {}
        self.shared = False
        self.left = False

    def contents(self, source: int, target: int, skip: Skip | None = None) -> None:
        """Copy all that is in the directory `source` into the directory `target`, which keeps its own metadata, but for its
        time. Takes both descriptors. Raises InvalidInput where a file and a directory collide.
        """
        try:
            Crew(self, source, target, skip).run()
        finally:
            os.close(source)
            os.close(target)

    def entry(self, entry: os.DirEntry[str], source: int, target: int) -> None:
        """Copy an entry of the directory `source`, which is no directory, to the same name in `target`."""
        if entry.is_symlink():
            self._link(source, target, entry.name)
        elif entry.is_file(follow_symlinks=False):
            self._regular(source, target, entry.name, entry.name)
        else:
            self._special(source, target, entry.name, entry.name)

    def file(self, source: int, target: int, name: str, new: str) -> None:
        """Copy the entry `name`, which is no directory and no link, of the directory `source` to `new` in `target`."""
        if stat.S_ISREG(os.lstat(name, dir_fd=source).st_mode):
            self._regular(source, target, name, new)
        else:
            self._special(source, target, name, new)

    def _regular(self, source: int, target: int, name: str, new: str) -> None:
        """Whatever is no regular file is not opened: an image's device nodes are this machine's devices."""
        fd = os.open(name, _READ, dir_fd=source)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return self._special(source, target, name, new)
            if status.st_nlink > 1 and self._is_made(status, target, new):
                return None
            out = self._create(target, new, status)
            try:
                if copy_data(fd, out, status):
                    self._note_clone(fd, out, status)
                self.dress(fd, out, status)
            finally:
                os.close(out)
        finally:
            os.close(fd)

    def _note_clone(self, source: int, out: int, status: os.stat_result) -> None:
        """Remember where a clone's bytes are in memory, if it can be told later whether they have been changed."""
        found = mark(status)
        if max(found[-2:]) < time.time_ns() - RACY_NANOSECONDS and mark(os.fstat(source)) == found:
            path = os.readlink(f"/proc/self/fd/{source}")
            self.clones[os.fstat(out).st_ino] = Original(path, found)

    def _create(self, target: int, new: str, status: os.stat_result) -> int:
        mode = status.st_mode & 0o777
        try:
            return os.open(new, _CREATE, mode, dir_fd=target)
        except FileExistsError:
            _clear(target, new)
            return os.open(new, _CREATE, mode, dir_fd=target)

    def dress(self, source: int, out: int, status: os.stat_result, *, directory: bool = False) -> None:
        """Give `out` the owner, mode, xattrs and times that it is to have; owner first, for chown drops setuid."""
        owner = self._owner or ((status.st_uid, status.st_gid) if self._keep_owners else None)
        if owner and (directory or owner != (0, 0)):
            os.fchown(out, *owner)
        elif directory:
            os.fchown(out, 0, 0)
        if self._mode:
            os.fchmod(out, self._mode.of(status.st_mode, directory=directory))
        elif directory or status.st_mode & self._unsure:
            os.fchmod(out, stat.S_IMODE(status.st_mode))
        names = os.listxattr(source)
        if names:
            copy_xattrs(source, out, names)
        os.utime(out, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _is_made(self, status: os.stat_result, target: int, new: str) -> bool:
        """Whether nothing is left to do for a file of several names."""
        if self.shared:
            self.left = True
            return True
        return self._join(status, target, new)

    def _join(self, status: os.stat_result, target: int, new: str) -> bool:
        """Make `new` another name of a file that this copy has already made, if it has."""
        key = (status.st_dev, status.st_ino)
        first = self._linked.get(key)
        if first is None:
            # Its path, for there may be more such files than descriptors.
            self._linked[key] = f"{os.readlink(f'/proc/self/fd/{target}')}/{new}"
            return False
        try:
            os.link(first, new, dst_dir_fd=target, follow_symlinks=False)
        except FileExistsError:
            _clear(target, new)
            os.link(first, new, dst_dir_fd=target, follow_symlinks=False)
        return True

    def _link(self, source: int, target: int, name: str) -> None:
        status = os.lstat(name, dir_fd=source)
        text = os.readlink(name, dir_fd=source)
        try:
            os.symlink(text, name, dir_fd=target)
        except FileExistsError:
            _clear(target, name)
            os.symlink(text, name, dir_fd=target)
        self._dress_name(target, name, status)

    def _special(self, source: int, target: int, name: str, new: str) -> None:
        """A device or fifo as it is; a socket becomes an empty file, as BuildKit has it."""
        status = os.lstat(name, dir_fd=source)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFCHR and status.st_rdev == 0:  # as overlayfs itself refuses it
            raise InvalidInput(
                f"cannot copy {name}: a character device 0:0 is how overlay file systems mark what is deleted",
                "leave it out: list it in .dockerignore",
            )
        if kind == stat.S_IFSOCK:
            kind = stat.S_IFREG
        mode = self._mode.of(status.st_mode, directory=False) if self._mode else stat.S_IMODE(status.st_mode)
        try:
            os.mknod(new, kind | mode, status.st_rdev, dir_fd=target)
        except FileExistsError:
            _clear(target, new)
            os.mknod(new, kind | mode, status.st_rdev, dir_fd=target)
        self._dress_name(target, new, status)

    def _dress_name(self, target: int, new: str, status: os.stat_result) -> None:
        owner = self._owner or ((status.st_uid, status.st_gid) if self._keep_owners else (0, 0))
        if owner != (0, 0):
            os.chown(new, *owner, dir_fd=target, follow_symlinks=False)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(new, ns=times, dir_fd=target, follow_symlinks=False)


def _clear(target: int, name: str) -> None:
    """Remove what a file is to replace. Raises InvalidInput for a directory."""
    try:
        os.unlink(name, dir_fd=target)
    except IsADirectoryError:
        raise InvalidInput(
            f"cannot copy the file {name} over a directory", "remove the directory before the COPY"
        ) from None
