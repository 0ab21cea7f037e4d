"""What files of build contexts hashed to, so that a build that changes nothing costs a stat a file.

Kept in a database of its own, `files.db`: losing it is harmless. A file is known by device, inode, size, mtime and ctime; one
that was changed within two seconds of being hashed is not remembered, since a later change could leave all five as they are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Self

from core import plain_json as json
from core.database import Database
from core.errors import Integrity
from image.digest import Digest

RACY_NANOSECONDS = 2 * 10**9
OWNER = "files"
_TABLE = """
CREATE TABLE files (
    device INTEGER, inode INTEGER, size INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,
    sha256 BLOB NOT NULL, PRIMARY KEY (device, inode)
) WITHOUT ROWID
"""
MIGRATIONS = (_TABLE,)
_SELECT = (
    "SELECT device, inode, size, mtime, ctime, sha256 FROM files"
    " WHERE device = ? AND inode IN (SELECT value FROM json_each(?))"
)


class FileKey(NamedTuple):
    """What a file is known by; `mtime` and `ctime` in nanoseconds."""

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        return cls(
            _signed(status.st_dev), _signed(status.st_ino), status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


class FileDigests:
    """Opened at first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._opened: Database | None = None

    @property
    def _database(self) -> Database:
        with self._guard:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Database:
        try:
            return Database(self._path, OWNER, MIGRATIONS, sync=False)
        except Integrity:  # torn by a power cut
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            return Database(self._path, OWNER, MIGRATIONS, sync=False)

    def get_many(self, keys: Iterable[FileKey]) -> dict[FileKey, Digest]:
        """The digests of those files that are remembered just as they are now; one query for each device."""
        wanted = set(keys)
        found: dict[FileKey, Digest] = {}
        for device, group in groupby(sorted(wanted), key=lambda key: key.device):
            inodes = json.dumps([key.inode for key in group])
            for row in self._database.read().execute(_SELECT, (device, inodes)):
                key = FileKey(*row[:5])
                if key in wanted:
                    found[key] = Digest(f"sha256:{row[5].hex()}")
        return found

    def put_many(self, digests: Mapping[FileKey, Digest], hashed: int) -> None:
        """Remember `digests`; `hashed` is when reading the first of the files began (nanoseconds since the epoch)."""
        rows = [
            (*key, bytes.fromhex(digest.hex))
            for key, digest in digests.items()
            if max(key.mtime, key.ctime) < hashed - RACY_NANOSECONDS
        ]
        if rows:
            with self._database.write() as connection:
                connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Harmless to repeat."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()
            self._opened = None


def _signed(number: int) -> int:
    """SQLite's integers have a sign; some file systems' inode numbers use all 64 bits."""
    return number - (1 << 64) if number >= 1 << 63 else number
