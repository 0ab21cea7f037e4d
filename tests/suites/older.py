"""A store as an older lamella has left it: the real content of today's, in the tables of then."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from core.database import Database
from store import catalog


def make_older(root: Path, version: int) -> None:
    """Turn the catalog of the store at `root`, which nobody has open, into one that has seen `version` migrations."""
    path, old = root / "catalog.db", root / "older.db"
    Database(old, catalog.OWNER, catalog.MIGRATIONS[:version]).close()
    connection = sqlite3.connect(old, isolation_level=None)
    connection.execute("ATTACH ? AS today", (os.fspath(path),))
    triggers = connection.execute("SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER main.{name}")
    tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table' AND name != 'migrations'")
    for (table,) in tables.fetchall():
        columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
        connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM today.{table}")
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    old.rename(path)
