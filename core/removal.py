"""Removing trees of any depth, counting what the disk gives back. Links are never followed, mounts never entered."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from core.space import BLOCK_BYTES, shared_bytes


def remove(path: Path) -> int:
    """Remove the file or tree at `path`; returns the bytes of disk that were freed. Missing is fine."""
    try:
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return remove_entry(parent, path.name)
    finally:
        os.close(parent)


def remove_entry(parent: int, name: str) -> int:
    """The same for the entry `name` of the directory behind the descriptor `parent`."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    if not stat.S_ISDIR(status.st_mode):
        return _unlink(parent, name, status)
    freed = _empty(parent, name, status.st_dev)
    os.rmdir(name, dir_fd=parent)
    return freed + status.st_blocks * BLOCK_BYTES


def _unlink(directory: int, name: str, status: os.stat_result) -> int:
    shared = shared_bytes(status, name, directory)
    os.unlink(name, dir_fd=directory)
    return status.st_blocks * BLOCK_BYTES - shared if status.st_nlink == 1 else 0


def _open(parent: int, name: str) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _empty(parent: int, name: str, device: int) -> int:
    """Empty the directory with one level open at a time: an image may nest deeper than a process has descriptors."""
    here = _open(parent, name)
    try:
        freed, below = _unlink_files(here, device)
        stack = [below]  # for each level, the directories that are still to go
        while stack:
            if stack[-1]:
                here = _replace(here, _open(here, stack[-1][-1]))
                bytes_, below = _unlink_files(here, device)
                stack.append(below)
                freed += bytes_ + os.fstat(here).st_blocks * BLOCK_BYTES
                continue
            stack.pop()
            if stack:
                here = _replace(here, _open(here, ".."))
                os.rmdir(stack[-1].pop(), dir_fd=here)
    finally:
        os.close(here)
    return freed


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new


def _unlink_files(here: int, device: int) -> tuple[int, list[str]]:
    """Unlink what is no directory; returns the bytes freed and the names of the directories."""
    freed, directories = 0, []
    with os.scandir(here) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        status = os.stat(name, dir_fd=here, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            freed += _unlink(here, name, status)
        elif status.st_dev != device:
            raise OSError(errno.EXDEV, "something is mounted here", name)
        else:
            directories.append(name)
    return freed, directories
