"""What an upper directory holds without saying anything: taken out before it becomes a layer."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from layer.changes import is_opaque, same, visible


def drop_unchanged(upper: Path, lowers: Sequence[Path]) -> None:
    """Remove empty directories of `upper` that are just what `lowers` (bottom first) have in their place: overlayfs copied
    them up for what has gone again, such as a mount point.

    Only where nothing else is on the way to them, so that this costs no walk. Harmless to repeat.
    """
    below = [os.fsencode(lower) for lower in reversed(lowers)]
    root = os.fsencode(upper)
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    with _times_kept(root):
        for name in names:
            _drop(root + b"/" + name, below, name)


def _drop(path: bytes, directories: list[bytes], name: bytes) -> bool:
    """Whether `path` was removed."""
    there, merged = visible(directories, name)
    own = os.lstat(path)
    with os.scandir(path) as entries:
        first, more = next(entries, None), next(entries, None)
    if there is None or more or is_opaque(path):
        return False
    if first:
        if not first.is_dir(follow_symlinks=False):
            return False
        with _times_kept(path):
            if not _drop(first.path, merged, first.name):
                return False
    if own.st_mtime_ns != there[1].st_mtime_ns or not same(path, own, *there):
        return False
    os.rmdir(path)
    return True


def drop_stubs(upper: Path, lowers: Sequence[Path], stubs: Iterable[bytes]) -> None:
    """Remove the mount points `stubs` (paths without slashes at the ends) that were made in `upper` because `lowers` lack
    them, and that nothing was put into. Harmless to repeat."""
    below = [os.fsencode(lower) for lower in reversed(lowers)]
    for stub in sorted(stubs, reverse=True):
        parent = _real_parent(os.fsencode(upper), stub)
        if parent is None or _is_below(below, stub):
            continue
        path = os.fsencode(upper) + b"/" + stub
        with contextlib.suppress(OSError), _times_kept(parent):
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(path)
            elif stat.S_ISREG(status.st_mode) and not status.st_size:
                os.unlink(path)


def _real_parent(root: bytes, path: bytes) -> bytes | None:
    """The directory that `path` is in; None where a link, which a container may have made, is on the way."""
    for name in path.split(b"/")[:-1]:
        root += b"/" + name
        if not os.path.isdir(root) or os.path.islink(root):
            return None
    return root


def _is_below(directories: list[bytes], path: bytes) -> bool:
    there = None
    for name in path.split(b"/"):
        there, directories = visible(directories, name)
    return there is not None


@contextlib.contextmanager
def _times_kept(directory: bytes) -> Iterator[None]:
    before = os.lstat(directory)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)
