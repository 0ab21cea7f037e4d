"""What changed in a tree since it was noted: by inode and ctime, which nobody can set back.

Notes and walk come in the same order (a directory before what is in it, names sorted), so both are read as streams and
memory does not grow with the tree.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from snapshot.attributes import copy_attributes, is_whiteout, make_opaque

# Longer than the clock that stamps ctime takes for a step: whatever changes from then on gets another ctime.
CLOCK_SECONDS = 0.011
_READ = 1 << 16


class Entry(NamedTuple):
    """`path` relative to the root, in parts; `stamp` is inode and ctime; `status` is missing for what was only noted."""

    path: tuple[bytes, ...]
    stamp: bytes
    status: os.stat_result | None = None


def note(root: Path, notes: Path) -> None:
    """Write down, durably, what the tree at `root` is now. What is changed after this returns will be noticed."""
    with notes.open("wb") as file:
        for entry in _walk(os.fsencode(root)):
            file.write(b"/".join(entry.path) + b"\0" + entry.stamp + b"\0")
        file.flush()
        os.fsync(file.fileno())
    time.sleep(CLOCK_SECONDS)


def _walk(root: bytes) -> Iterator[Entry]:
    stack: list[tuple[bytes, ...]] = [()]
    while stack:
        path = stack.pop()
        full = os.path.join(root, *path)
        status = os.lstat(full)
        yield Entry(path, b"%d %d" % (status.st_ino, status.st_ctime_ns), status)
        if stat.S_ISDIR(status.st_mode):
            stack.extend((*path, name) for name in sorted(os.listdir(full), reverse=True))


def _notes(file: IO[bytes]) -> Iterator[Entry]:
    rest: list[bytes] = [b""]
    while data := file.read(_READ):
        rest = (rest[-1] + data).split(b"\0") if len(rest) == 1 else [*rest[:-1], *(rest[-1] + data).split(b"\0")]
        while len(rest) > 2:
            path, stamp, *rest = rest
            yield Entry(tuple(path.split(b"/")) if path else (), stamp)


def _joined(old: Iterator[Entry], new: Iterator[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    before, after = next(old, None), next(new, None)
    while before or after:
        if after is None or (before and before.path < after.path):
            yield before, None
            before = next(old, None)
        elif before is None or after.path < before.path:
            yield None, after
            after = next(new, None)
        else:
            yield before, after
            before, after = next(old, None), next(new, None)


class Difference:
    """Moves what changed in `root` into `upper`, a directory in overlay's format; `root` is of no use afterwards, unless
    `place` copies instead."""

    def __init__(self, root: Path, upper: Path, place: Callable[[bytes, bytes], object] = os.rename) -> None:
        self._place = place
        self._root = os.fsencode(root)
        self._upper = os.fsencode(upper)
        self._open: list[tuple[Entry, bool]] = []  # the directories we are in, and whether they are in `upper` yet
        self._replaced: tuple[bytes, ...] | None = None  # below it nothing of the old tree shows

    def run(self, notes: Path) -> None:
        """Compare with what `note` wrote. Harmless to repeat only where `place` copies."""
        with notes.open("rb") as file:
            for before, after in _joined(_notes(file), _walk(self._root)):
                path = (after or before or Entry((), b"")).path
                self._leave(path)
                below_replaced = self._replaced is not None and path[: len(self._replaced)] == self._replaced
                if after is None:
                    if not below_replaced:
                        self._gone(path)
                else:
                    self._present(before, after, below_replaced)
        self._leave(None)

    def _present(self, before: Entry | None, after: Entry, below_replaced: bool) -> None:
        assert after.status is not None
        changed = below_replaced or before is None or before.stamp != after.stamp
        if stat.S_ISDIR(after.status.st_mode):
            self._open.append((after, False))
            # Another inode where something was: the new directory hides the old one, it does not merge with it.
            new = before is not None and before.stamp.split()[0] != after.stamp.split()[0]
            if changed or not after.path:
                self._make_directories()
            if new and not below_replaced:
                make_opaque(os.fsdecode(self._at(self._upper, after.path)))
                self._replaced = after.path
        elif changed and not is_whiteout(after.status):
            self._make_directories()
            self._place(self._at(self._root, after.path), self._at(self._upper, after.path))
            if before is not None and not below_replaced:
                self._replaced = after.path

    def _gone(self, path: tuple[bytes, ...]) -> None:
        self._make_directories()
        os.mknod(self._at(self._upper, path), stat.S_IFCHR, os.makedev(0, 0))
        self._replaced = path

    def _make_directories(self) -> None:
        for number, (entry, made) in enumerate(self._open):
            if not made:
                target = self._at(self._upper, entry.path)
                os.mkdir(target, 0o700)
                assert entry.status is not None
                copy_attributes(
                    os.fsdecode(self._at(self._root, entry.path)), os.fsdecode(target), entry.status
                )  # fmt: skip
                self._open[number] = (entry, True)

    def _leave(self, path: tuple[bytes, ...] | None) -> None:
        """Close the directories that `path` is not in; their times are set last, as filling them changes them."""
        while self._open and (path is None or path[: len(self._open[-1][0].path)] != self._open[-1][0].path):
            entry, made = self._open.pop()
            if made and entry.status is not None:
                os.utime(
                    self._at(self._upper, entry.path), ns=(entry.status.st_mtime_ns, entry.status.st_mtime_ns)
                )  # fmt: skip

    @staticmethod
    def _at(root: bytes, path: tuple[bytes, ...]) -> bytes:
        return os.path.join(root, *path)
