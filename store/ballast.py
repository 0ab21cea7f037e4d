"""A megabyte set aside for a disk without a free block: even removing needs some, for the catalog's log and for directories.

Whoever makes room spends it before opening the catalog, and sets it aside again when there is room.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NAME = "ballast"
BYTES = 1 << 20


def spend(root: Path) -> None:
    """Give the room back to the disk below `root` if that has less than as much left. Harmless to repeat."""
    with contextlib.suppress(OSError):
        if _free(root) < BYTES:
            os.unlink(root / NAME)


def set_aside(root: Path) -> None:
    """Take the room where there is plenty. Harmless to repeat."""
    path = root / NAME
    if path.exists():
        return
    with contextlib.suppress(OSError):
        if _free(root) > 4 * BYTES:
            _allocate(path)


def _allocate(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, BYTES)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(fd)


def _free(root: Path) -> int:
    disk = os.statvfs(root)
    return (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail) * disk.f_frsize
