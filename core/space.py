"""How much of the disk files take, as `du` counts it: blocks, and an inode with several names once."""

from __future__ import annotations

import os
import stat

BLOCK_BYTES = 512


class Space:
    """Adds up trees that may share inodes; what another file system holds is not counted."""

    def __init__(self, device: int) -> None:
        self.device = device
        self._seen: set[int] = set()

    def of(self, path: str | os.PathLike[str]) -> int:
        """Bytes of disk of the file or tree at `path`, without what was counted before; 0 where it is gone."""
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return 0
        return self.one(status) + (self._below(os.fspath(path)) if stat.S_ISDIR(status.st_mode) else 0)

    def one(self, status: os.stat_result) -> int:
        """Bytes of disk of one inode."""
        if status.st_dev != self.device:
            return 0
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in self._seen:
                return 0
            self._seen.add(status.st_ino)
        return status.st_blocks * BLOCK_BYTES

    def _below(self, path: str) -> int:
        total, pending = 0, [path]
        while pending:
            try:
                entries = os.scandir(pending.pop())
            except (FileNotFoundError, NotADirectoryError):  # it went meanwhile
                continue
            with entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    total += self.one(status)
                    if stat.S_ISDIR(status.st_mode) and status.st_dev == self.device:
                        pending.append(entry.path)
        return total


def occupied(path: str | os.PathLike[str]) -> int:
    """Bytes of disk of one tree; 0 where there is none."""
    try:
        return Space(os.lstat(path).st_dev).of(path)
    except FileNotFoundError:
        return 0
