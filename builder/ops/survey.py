"""A look over a directory that is to be copied: makes the directories that it needs, and divides the rest into tasks."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from core.errors import InvalidInput

Skip = Callable[[str, bool], bool]
"""Whether the entry at this path below the source directory (and whether it is a directory) is left out."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST = 2048


class Surveyed:
    """A directory of the source: its path below it (with a slash at the end, the source itself: ""), its status, how many
    of its entries are no directories, and in how many parts these are copied."""

    __slots__ = ("names", "parts", "path", "status")

    def __init__(self, path: str, status: os.stat_result, names: int) -> None:
        self.path = path
        self.status = status
        self.names = names
        self.parts = 1


def survey(source: int, target: int, skip: Skip | None) -> list[Surveyed]:
    """All directories of `source` that are not left out, made in `target` where they are missing; each after the one that
    it is in. Raises InvalidInput where a file is in a directory's place."""
    found: list[Surveyed] = []
    pending = [""]
    while pending:
        path = pending.pop()
        here = open_below(source, path)
        try:
            directories, names = _look(here, path, skip)
            found.append(Surveyed(path, os.fstat(here), names))
        finally:
            os.close(here)
        if directories:
            _make_all(target, path, directories)
            pending += [f"{path}{name}/" for name in directories]
    return found


def top_names(source: int, skip: Skip | None) -> Iterator[tuple[str, bool]]:
    """What is copied out of `source` itself: each name, and whether it is a directory."""
    with os.scandir(source) as entries:
        for entry in entries:
            directory = entry.is_dir(follow_symlinks=False)
            if not (skip and skip(entry.name, directory)):
                yield entry.name, directory


def open_below(top: int, path: str) -> int:
    """The directory at `path` below the descriptor `top`. No link is followed: a context may be changing meanwhile."""
    from core.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

    how = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    if len(path) <= _LONGEST // 4:  # no path of so many characters has more bytes than the kernel takes
        return openat2(top, path or ".", _DIRECTORY, resolve=how)
    fd = os.open(".", _DIRECTORY, dir_fd=top)
    for name in path.rstrip("/").split("/"):
        try:
            below = os.open(name, _DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _look(here: int, path: str, skip: Skip | None) -> tuple[list[str], int]:
    """The directories in `here`, and how many other entries there are."""
    directories: list[str] = []
    names = 0
    with os.scandir(here) as entries:
        for entry in entries:
            directory = entry.is_dir(follow_symlinks=False)
            if skip and skip(path + entry.name, directory):
                continue
            if directory:
                directories.append(entry.name)
            else:
                names += 1
    return directories, names


def _make_all(target: int, path: str, names: list[str]) -> None:
    there = open_below(target, path)
    try:
        for name in names:
            try:
                os.mkdir(name, 0o700, dir_fd=there)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(name, dir_fd=there).st_mode):
                    raise InvalidInput(
                        f"cannot copy the directory {path}{name} over a file", "remove the file before the COPY"
                    ) from None
    finally:
        os.close(there)
