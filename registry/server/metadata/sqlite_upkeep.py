"""The review queue and the tags' history in SQLite: what SqliteMetadata is built on."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from core.database import Database
from image.digest import Digest
from registry.server.metadata import rows
from registry.server.metadata.group_commit import GroupCommit
from registry.server.metadata.rows import BLOB, BYTES, MANIFEST, NO_REPOSITORY, REPOSITORY
from registry.server.metadata.schema import MIGRATIONS, OWNER
from registry.server.metadata.upkeep import Limits, Review, Standing, TagRecord

T = TypeVar("T")
_DUE = (
    "SELECT kind, repository, digest FROM reviews WHERE kind = ? AND pushed = ? AND since <= ? ORDER BY since LIMIT ?"
)
_NEEDED_BY = (
    "SELECT r.name, m.digest, coalesce((SELECT name FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest LIMIT 1), '') tag "
    "FROM manifest_references f JOIN manifests m ON m.id = f.manifest JOIN repositories r ON r.id = m.repository "
    "WHERE f.digest = ? AND EXISTS (SELECT 1 FROM blob_links l WHERE l.repository = f.repository AND l.digest = f.digest) ORDER BY tag = '' LIMIT 1"
)
_IDLE = (
    "SELECT r.name, v.since, v.pushed FROM blob_links l JOIN repositories r ON r.id = l.repository "
    "LEFT JOIN reviews v ON v.kind = 0 AND v.repository = l.repository AND v.digest = l.digest WHERE l.digest = ? "
    "ORDER BY v.since DESC LIMIT 1"
)


class SqliteUpkeep:
    """Reviews and Retention on a file."""

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        """Open or create the file. Raises what `core.database.Database` raises."""
        self._database = Database(path, OWNER, MIGRATIONS, sync=sync)
        self._writer = GroupCommit(self._database)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._writer.run(work)

    # --- reviews

    def doubted(self, repository: str, digest: Digest) -> Review | None:
        sql = f"SELECT since, pushed FROM reviews WHERE kind IN (0, 1) AND repository = {REPOSITORY} AND digest = ?"
        row = self._database.read().execute(sql, (repository, digest)).fetchone()
        return None if row is None else Review(repository, digest, row[0], bool(row[1]))

    def postpone(self, repository: str, digest: Digest) -> None:
        sql = f"UPDATE reviews SET since = ?, pushed = 1 WHERE kind IN (0, 1) AND repository = {REPOSITORY} AND digest = ?"
        self._write(lambda db: db.execute(sql, (time.time_ns(), repository, digest)))

    def review(self, limits: Limits, limit: int) -> tuple[int, int]:
        kinds = (MANIFEST, BLOB) if limits.untagged else (BLOB,)

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            due = _due(db, kinds, limits, limit)
            return len(due), sum(_decide(db, row[0], row[1], row[2]) for row in due)

        return self._write(work)

    def due_bytes(self, limits: Limits, limit: int) -> list[Digest]:
        return [Digest(row[2]) for row in _due(self._database.read(), (BYTES,), limits, limit)]

    def forget_bytes(self, digests: Sequence[Digest]) -> set[Digest]:
        def work(db: sqlite3.Connection) -> set[Digest]:
            db.executemany(
                "DELETE FROM reviews WHERE kind = 2 AND repository = 0 AND digest = ?", [(d,) for d in digests]
            )
            return {digest for digest in digests if not rows.linked(db, digest)}

        return self._write(work)

    def adopt(self, digests: Sequence[Digest]) -> int:
        def work(db: sqlite3.Connection) -> int:
            sql = "INSERT OR IGNORE INTO reviews VALUES (?, ?, ?, ?, 0)"
            now = time.time_ns()
            lost = [digest for digest in digests if not rows.linked(db, digest)]
            return sum(db.execute(sql, (BYTES, NO_REPOSITORY, digest, now)).rowcount for digest in lost)

        return self._write(work)

    def standing(self, digest: Digest) -> Standing:
        with self._database.snapshot() as db:
            needed = db.execute(_NEEDED_BY, (digest,)).fetchone() or ("", "", "")
            idle = db.execute(_IDLE, (digest,)).fetchone()
            if idle is None:
                row = db.execute(
                    "SELECT since, pushed FROM reviews WHERE kind = 2 AND digest = ?", (digest,)
                ).fetchone()
                idle = ("", *(row or (None, 0)))
        return Standing(needed[0], needed[1], needed[2], idle[0], idle[1], bool(idle[2]))

    # --- retention

    def tag_records(self, repository: str, after: str, limit: int) -> list[TagRecord]:
        sql = (
            "SELECT t.name, t.digest, t.updated, max(t.pulled, coalesce(m.pulled, 0)) FROM tags t "
            "LEFT JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest "
            f"WHERE t.repository = {REPOSITORY} AND t.name > ? ORDER BY t.name LIMIT ?"
        )
        found = self._database.read().execute(sql, (repository, after, limit))
        return [TagRecord(row[0], Digest(row[1]), row[2], row[3]) for row in found]

    def untag(self, repository: str, tags: Iterable[TagRecord]) -> list[str]:
        def work(db: sqlite3.Connection) -> list[str]:
            owner = rows.find(db, repository)
            if owner is None:
                return []
            now = time.time_ns()
            return [tag.name for tag in tags if rows.untag(db, owner, tag.name, now, tag)]

        return self._write(work)

    def note_pulls(self, pulls: Iterable[tuple[str, str]], instant: int) -> None:
        with self._database.write(durable=False) as db:
            for repository, reference in pulls:
                table, key = ("manifests", "digest") if ":" in reference else ("tags", "name")
                sql = f"UPDATE {table} SET pulled = ? WHERE repository = {REPOSITORY} AND {key} = ?"
                db.execute(sql, (instant, repository, reference))


def _due(db: sqlite3.Connection, kinds: Sequence[int], limits: Limits, limit: int) -> list[sqlite3.Row]:
    """At most `limit` reviews that are over, the oldest of each kind first."""
    found: list[sqlite3.Row] = []
    for kind in kinds:
        for pushed, before in ((0, limits.released), (1, limits.pushed)):
            found += db.execute(_DUE, (kind, pushed, before, limit - len(found))).fetchall()
    return found


def _decide(db: sqlite3.Connection, kind: int, owner: int, digest: str) -> bool:
    """End one review: whether what it was about is gone now."""
    now = time.time_ns()
    if kind == MANIFEST:
        gone = not rows.needed(db, owner, digest) and rows.delete(db, owner, digest, now)
    else:
        gone = not rows.referred(db, owner, digest) and rows.unlink(db, owner, digest, now)
    if not gone:
        rows.forget(db, MANIFEST if kind == MANIFEST else BLOB, owner, digest)
    return gone
