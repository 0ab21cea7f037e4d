"""Which version of its schema a database has, without changing it; and moving it to the newest, with a copy of before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from core import sqlite
from core.database import Database, newer
from core.errors import Integrity, Unavailable
from core.files import fsync_directory
from core.value import Value


class Schema(Value):
    """`version`: how many of its `migrations` the file at `path` has seen for `owner`; None where there is no file."""

    path: Path
    owner: str
    migrations: Sequence[str]
    version: int | None

    @property
    def newest(self) -> int:
        """The version that this lamella works with."""
        return len(self.migrations)

    @property
    def behind(self) -> bool:
        """Whether there is something to migrate."""
        return self.version is not None and self.version < self.newest


def look(path: Path, owner: str, migrations: Sequence[str]) -> Schema:
    """The file's schema as it is. Raises Unsupported where a newer lamella has migrated it further, Integrity where it is no
    database."""
    version = _version(path, owner) if path.exists() else None
    if version is not None and version > len(migrations):
        raise newer(path, version, len(migrations))
    return Schema(path, owner, migrations, version)


def _version(path: Path, owner: str) -> int:
    try:
        with closing(sqlite.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone():
                return 0
            row = connection.execute("SELECT version FROM migrations WHERE owner = ?", (owner,)).fetchone()
    except sqlite.DatabaseError as error:
        raise Integrity(f"{path} is not a database: {error}", "restore it from a backup, or move it away") from error
    return int(row[0]) if row else 0


def migrate(schema: Schema, *, copy: bool = True) -> Path | None:
    """Bring the database to the newest version, in one transaction; returns where the copy of before is, if it made one.

    Harmless to repeat, and beside other processes. Raises as `Database`.
    """
    if not schema.behind:
        return None
    kept = _copy(schema) if copy else None
    Database(schema.path, schema.owner, schema.migrations).close()
    return kept


def _copy(schema: Schema) -> Path:
    """A whole copy beside the database, whoever writes to that meanwhile; it is complete, or not there."""
    path = schema.path
    target = path.with_name(f"{path.name}.version-{schema.version}")
    temporary = path.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
    os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(sqlite.connect(path, isolation_level=None)) as connection:
            connection.execute("VACUUM INTO ?", (os.fspath(temporary),))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.rename(temporary, target)
    except sqlite.OperationalError as error:
        raise Unavailable(f"cannot copy {path}: {error}", "free some space") from error
    finally:
        temporary.unlink(missing_ok=True)
    fsync_directory(path.parent)
    return target
