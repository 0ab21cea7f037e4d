"""Layers copied onto each other into one tree, for machines that cannot mount overlays. A layer is only ever read."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from core.removal import remove
from snapshot.attributes import copy_attributes, is_opaque, is_whiteout

_PIECE = 1 << 20
_NO_RANGES = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def merge(layer: str, target: str) -> None:
    """Copy the layer directory `layer` over the tree at `target`: its whiteouts and opaque directories take away what is
    there. Nobody else may be changing `target`; links in it are never followed."""
    copier = Copier()
    stack = [(layer, target, False)]
    while stack:
        source, goal, left = stack.pop()
        if left:
            copy_attributes(source, goal, os.stat(source))
            continue
        _enter(source, goal)
        stack.append((source, goal, True))
        with os.scandir(source) as entries:
            children = list(entries)
        for entry in children:
            below = os.path.join(goal, entry.name)
            if entry.is_dir(follow_symlinks=False):
                stack.append((entry.path, below, False))
                continue
            remove(Path(below))
            if not is_whiteout(entry.stat(follow_symlinks=False)):
                copier.copy(entry.path, below)


def _enter(source: str, goal: str) -> None:
    """Make sure that `goal` is a directory, empty if `source` is opaque."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.lstat(goal).st_mode) or is_opaque(source):
            remove(Path(goal))
    with contextlib.suppress(FileExistsError):
        os.mkdir(goal, 0o700)


class Copier:
    """Copies whatever is no directory; names of one inode become names of one copy."""

    def __init__(self) -> None:
        self._first: dict[int, str] = {}  # inode → the first copy

    def copy(self, source: str | bytes, target: str | bytes) -> None:
        """Make `target`, which is not there, like `source`."""
        source, target = os.fsdecode(source), os.fsdecode(target)
        status = os.lstat(source)
        if status.st_nlink > 1:
            if status.st_ino in self._first:
                os.link(self._first[status.st_ino], target, follow_symlinks=False)
                return
            self._first[status.st_ino] = target
        _copy(source, target, status)


def _copy(source: str, goal: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        _copy_file(source, goal, status)
    elif stat.S_ISLNK(status.st_mode):
        Path(goal).symlink_to(os.readlink(source))
        os.chown(goal, status.st_uid, status.st_gid, follow_symlinks=False)
        os.utime(goal, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)
    else:
        os.mknod(goal, status.st_mode, status.st_rdev)
        copy_attributes(source, goal, status)


def _copy_file(source: str, goal: str, status: os.stat_result) -> None:
    with open(source, "rb", buffering=0) as old, open(goal, "xb", buffering=0) as new:
        copy_content(old.fileno(), new.fileno(), status.st_size)
        copy_attributes(old.fileno(), new.fileno(), status)


def copy_content(old: int, new: int, size: int) -> None:
    """Fill the empty file `new` with the `size` bytes of `old`; holes stay holes, blocks are shared where that works."""
    for start, end in _data(old, size):
        _copy_range(old, new, start, end)
    os.truncate(new, size)


def _data(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the file has data: its holes stay holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(old: int, new: int, start: int, end: int) -> None:
    """By the kernel, which shares the blocks where the file system can; else by hand."""
    while start < end:
        try:
            count = os.copy_file_range(old, new, end - start, start, start)
        except OSError as error:
            if error.errno not in _NO_RANGES:
                raise
            count = os.pwrite(new, os.pread(old, min(_PIECE, end - start), start), start)
        if not count:
            return
        start += count
