"""Room on the disk for the memory that the users of a SQLite file share, taken before it is written.

SQLite makes sure of each page of it (`-shm`, 4 KiB) by writing the page's last byte. Where blocks are smaller, as on small ext4
file systems, that takes one block of several; the others are taken when the memory is written, and a disk that is
full by then ends the process with SIGBUS.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

BYTES = 64 << 10  # for a log of 32 MiB


def look_for_room(database: Path) -> None:
    """Before the file is opened, which writes the memory anew where nobody else has it open. Raises OSError (ENOSPC)."""
    needed = BYTES
    with contextlib.suppress(FileNotFoundError):
        needed -= os.stat(f"{database}-shm").st_blocks * 512  # what the last user has left
    if needed > 0:  # file systems keep more back than they tell: only taking it shows
        try:
            fd = os.open(database.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
                raise
        else:
            _take(fd, needed)


def take_room(database: Path) -> None:
    """For as long as somebody has the file open. Harmless to repeat. Raises OSError (ENOSPC)."""
    _take(os.open(f"{database}-shm", os.O_RDWR | os.O_CLOEXEC), BYTES)


def _take(fd: int, size: int) -> None:
    from core.syscalls import allocate

    try:
        allocate(fd, size)
    finally:
        os.close(fd)
