"""Walks a layer's directory in the order of its tar: a directory before what is in it, names sorted as bytes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator

from core.errors import InvalidInput

MAX_PATH = 4095
_OPEN_LEVELS = 128
_NAMES = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Found = tuple[int, bytes, bytes, "os.DirEntry[str] | None"]
"""A directory itself: (its descriptor, b"", its path, None). Anything else: (parent's descriptor, name, path, entry).
Paths are relative to the root, without slashes at the ends. Descriptors are valid until the next step."""


class _Level:
    """A directory on the way down. Its descriptor is closed while the walk is far below it."""

    __slots__ = ("children", "fd", "prefix")

    def __init__(self, fd: int, path: bytes) -> None:
        self.fd: int | None = fd
        self.prefix = path + b"/" if path else b""
        self.children = iter(_sorted(fd))


def _sorted(fd: int) -> list[tuple[bytes, os.DirEntry[str]]]:
    encoding, errors = _NAMES
    try:
        with os.scandir(fd) as found:
            return sorted((entry.name.encode(encoding, errors), entry) for entry in found)
    except OSError:
        os.close(fd)
        raise


def walk(directory: str | os.PathLike[str], *, changing: bool = False) -> Iterator[Found]:
    """Everything at and below `directory`, links not followed. Nobody may be changing it meanwhile, unless `changing`:
    then directories that vanish are passed over.

    Raises OSError, and InvalidInput for paths longer than the kernel takes.
    """
    fd = os.open(directory, _DIRECTORY)
    levels = [_Level(fd, b"")]
    try:
        yield fd, b"", b"", None
        while levels:
            level = levels[-1]
            below = None
            for name, entry in level.children:
                if entry.is_dir(follow_symlinks=False):
                    below = name
                    break
                yield level.fd or 0, name, level.prefix + name, entry
            if below is None:
                _leave(levels)
                continue
            path = level.prefix + below
            if len(path) > MAX_PATH:
                raise InvalidInput(f"path too long for a layer: /{path[:200].decode('utf-8', 'backslashreplace')}…")
            try:
                fd = os.open(below, _DIRECTORY, dir_fd=level.fd)
            except OSError as error:
                if changing and error.errno in _VANISHED:
                    continue
                raise
            levels.append(_Level(fd, path))
            _spare(levels)
            yield fd, b"", path, None
    finally:
        for level in levels:
            if level.fd is not None:
                os.close(level.fd)


def _spare(levels: list[_Level]) -> None:
    """Close the descriptor of the level that is now too far above."""
    if len(levels) > _OPEN_LEVELS:
        level = levels[-_OPEN_LEVELS - 1]
        if level.fd is not None:
            os.close(level.fd)
            level.fd = None


def _leave(levels: list[_Level]) -> None:
    level = levels[-1]
    if len(levels) > 1 and levels[-2].fd is None:
        levels[-2].fd = os.open("..", _DIRECTORY, dir_fd=level.fd)
    levels.pop()
    if level.fd is not None:
        os.close(level.fd)
