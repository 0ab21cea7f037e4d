"""SQLite as lamella uses it: WAL, every commit durable, writers take turns from the first statement on.

Each folder that keeps tables registers its migrations, a list of scripts that is only ever appended to; how many of
them a file has seen is kept in the file itself, a row for each owner.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from _thread import _local, get_ident
from collections.abc import Iterator, Sequence
from pathlib import Path

from core import sqlite
from core.errors import Integrity, Unavailable, Unsupported

BUSY_MILLISECONDS = 60_000
FULL_BYTES = 256 << 10  # a disk with less room than a transaction may need


class Database:
    """One file, one connection a thread. Safe for several threads and several processes at once."""

    def __init__(self, path: Path, owner: str, migrations: Sequence[str], *, sync: bool = True) -> None:
        """Open `path`, creating it, and apply what it has not seen of `migrations` (harmless to repeat).

        Raises Unsupported where a newer lamella has migrated the file further, Integrity where it is no database.
        """
        self.path = path
        self._sync = sync
        self._local = _local()
        self._connections: list[tuple[int, sqlite.Connection]] = []
        self._make_private()
        self._migrate(owner, migrations)

    def _make_private(self) -> None:
        """A new file is its owner's alone, as are the ones that SQLite makes beside it: who may read them may lock them."""
        with contextlib.suppress(OSError):  # SQLite will say what is wrong with the place
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _connection(self) -> sqlite.Connection:
        connection: sqlite.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self.connect()
            self._local.connection = connection
            self._connections.append((get_ident(), connection))
        return connection

    def connect(self) -> sqlite.Connection:
        """One more connection, which the caller closes: for threads that take turns with it in `write`, so that each finds in
        its memory what the one before has read or written. Raises as opening does."""
        try:
            connection = sqlite.connect(
                self.path, timeout=BUSY_MILLISECONDS / 1000, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite.Row
            _use_wal(connection)
            connection.execute(f"PRAGMA synchronous={'FULL' if self._sync else 'OFF'}")
            connection.execute("PRAGMA foreign_keys=ON")
        except sqlite.OperationalError as error:
            raise self._refused("open", error, "check that the directory exists and is writable") from error
        except sqlite.DatabaseError as error:
            raise Integrity(
                f"{self.path} is not a database: {error}", "restore it from a backup, or move it away"
            ) from error
        return connection

    def _migrate(self, owner: str, migrations: Sequence[str]) -> None:
        with contextlib.suppress(sqlite.OperationalError):
            if self._version(owner) == len(migrations):
                return
        with self.write() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (owner TEXT PRIMARY KEY, version INTEGER NOT NULL)"
            )
            seen = self._version(owner)
            if seen > len(migrations):
                raise newer(self.path, seen, len(migrations))
            for script in migrations[seen:]:
                for statement in statements(script):
                    connection.execute(statement)
            connection.execute("INSERT OR REPLACE INTO migrations VALUES (?, ?)", (owner, len(migrations)))

    def _version(self, owner: str) -> int:
        row = self._connection().execute("SELECT version FROM migrations WHERE owner = ?", (owner,)).fetchone()
        return int(row[0]) if row else 0

    def read(self) -> sqlite.Connection:
        """This thread's connection, for single SELECTs; inside `write` they see what is being written."""
        return self._connection()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite.Connection]:
        """Several SELECTs that see one and the same state."""
        connection = self._connection()
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def write(self, *, durable: bool = True, by: sqlite.Connection | None = None) -> Iterator[sqlite.Connection]:
        """One transaction (BEGIN IMMEDIATE): durable when the block ends well, undone when it raises. Nests by joining. With
        this thread's connection, or the one that is named.

        With `durable` off a power loss may undo it, together with nothing that was durable before: for what means
        nothing after a restart (leases) or is no loss (when something was last used).
        Raises Unavailable when another process holds the file longer than a minute, or the disk is full.
        """
        connection = by or self._connection()
        if connection.in_transaction:
            yield connection
            return
        relaxed = self._sync and not durable
        try:
            if relaxed:
                connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite.OperationalError as error:
            raise self._refused("write", error, "free some space, or wait for the other process") from error
        finally:
            if relaxed:
                connection.execute("PRAGMA synchronous=FULL")

    def _refused(self, what: str, error: sqlite.OperationalError, hint: str) -> Unavailable:
        """SQLite has several names for a full disk, the less telling ones while it opens a file."""
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite.SQLITE_FULL or (code == sqlite.SQLITE_IOERR and self._disk_is_full()):
            return Unavailable(
                f"cannot {what} {self.path}: no space left on the disk ({error})",
                "free some space, for example with `lamella image prune`",
            )
        return Unavailable(f"cannot {what} {self.path}: {error}", hint)

    def _disk_is_full(self) -> bool:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize < FULL_BYTES

    def in_transaction(self) -> bool:
        """Whether this thread is inside a `write` or `snapshot` block."""
        connection: sqlite.Connection | None = getattr(self._local, "connection", None)
        return connection is not None and connection.in_transaction

    def close(self) -> None:
        """Close this thread's connection and those of threads that have ended. Harmless to repeat.

        SQLite crashes where a connection is closed while its thread uses it: a thread that Ctrl-C has left behind keeps
        its own.
        """
        living = sys._current_frames()
        while self._connections:
            thread, connection = self._connections.pop()
            if thread == get_ident() or thread not in living:
                connection.close()
        self._local = _local()


def newer(path: Path, version: int, known: int) -> Unsupported:
    """What is to be said of a file that a newer lamella has migrated."""
    return Unsupported(
        f"{path} was written by a newer lamella: its version is {version}, this one knows {known}",
        "upgrade lamella to use this store",
    )


def statements(script: str) -> Iterator[str]:
    """The statements of `script`, one by one; a trigger's body is part of its statement."""
    pending = ""
    for piece in script.split(";"):
        pending += piece + ";"
        if sqlite.complete_statement(pending):
            if pending.strip(" \n;"):
                yield pending
            pending = ""


def _use_wal(connection: sqlite.Connection) -> None:
    """Waits for others that open a new file too: for that switch alone SQLite does not wait itself.

    Raises sqlite.OperationalError.
    """
    end = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.002)
