"""The metadata in one SQLite file: the embedded default."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from core.database import Database
from image.digest import Digest
from registry.server.metadata.group_commit import GroupCommit
from registry.server.metadata.protocol import ManifestRecord, Referrer, Stored
from registry.server.metadata.schema import MIGRATIONS, OWNER

T = TypeVar("T")

_REPOSITORY = "(SELECT id FROM repositories WHERE name = ?)"
_BY_DIGEST = f"SELECT digest, media_type, content FROM manifests WHERE repository = {_REPOSITORY} AND digest = ?"
_BY_TAG = (
    "SELECT m.digest, m.media_type, m.content FROM tags t JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest "
    f"WHERE t.repository = {_REPOSITORY} AND t.name = ?"
)


class SqliteMetadata:
    """MetadataStore on a file. Writers of one process share transactions (and thereby the wait for the disk)."""

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        """Open or create the file. Raises what `core.database.Database` raises."""
        self._database = Database(path, OWNER, MIGRATIONS, sync=sync)
        self._writer = GroupCommit(self._database)

    def version(self) -> int:
        return int(self._database.read().execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        self._database.close()

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._writer.run(work)

    # --- blobs

    def link_blob(self, repository: str, digest: Digest, size: int) -> None:
        self._write(lambda db: _link(db, _ensure(db, repository), digest, size))

    def mount_blob(self, repository: str, digest: Digest, source: str | None) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            where, values = ("", ()) if source is None else (f" AND repository = {_REPOSITORY}", (source,))
            row = db.execute(
                f"SELECT size FROM blob_links WHERE digest = ?{where} LIMIT 1", (digest, *values)
            ).fetchone()
            if row is not None:
                _link(db, _ensure(db, repository), digest, row[0])
            return row is not None

        return self._write(work)

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        sql = f"SELECT size FROM blob_links WHERE repository = {_REPOSITORY} AND digest = ?"
        row = self._database.read().execute(sql, (repository, digest)).fetchone()
        return None if row is None else int(row[0])

    def unlink_blob(self, repository: str, digest: Digest) -> bool:
        sql = f"DELETE FROM blob_links WHERE repository = {_REPOSITORY} AND digest = ?"
        return self._write(lambda db: db.execute(sql, (repository, digest)).rowcount > 0)

    def missing(self, repository: str, blobs: Iterable[Digest], children: Iterable[Digest]) -> list[Digest]:
        with self._database.snapshot() as db:
            return [
                digest
                for table, digests in (("blob_links", blobs), ("manifests", children))
                for digest in dict.fromkeys(digests)
                if not db.execute(
                    f"SELECT 1 FROM {table} WHERE repository = {_REPOSITORY} AND digest = ?", (repository, digest)
                ).fetchone()
            ]

    # --- manifests and tags

    def put_manifest(self, repository: str, manifest: ManifestRecord, tags: Sequence[str]) -> None:
        def work(db: sqlite3.Connection) -> None:
            owner, now = _ensure(db, repository), time.time_ns()
            _put(db, owner, manifest, now)
            db.executemany(
                "INSERT INTO tags VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated",
                [(owner, tag, manifest.digest, now) for tag in tags],
            )

        self._write(work)

    def manifest(self, repository: str, reference: str) -> Stored | None:
        sql = _BY_DIGEST if ":" in reference else _BY_TAG
        row = self._database.read().execute(sql, (repository, reference)).fetchone()
        return None if row is None else Stored(Digest(row[0]), row[1], row[2])

    def delete_manifest(self, repository: str, digest: Digest) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            where = f"WHERE repository = {_REPOSITORY} AND digest = ?"
            db.execute(f"DELETE FROM tags {where}", (repository, digest))
            return db.execute(f"DELETE FROM manifests {where}", (repository, digest)).rowcount > 0

        return self._write(work)

    def delete_tag(self, repository: str, tag: str) -> bool:
        sql = f"DELETE FROM tags WHERE repository = {_REPOSITORY} AND name = ?"
        return self._write(lambda db: db.execute(sql, (repository, tag)).rowcount > 0)

    def tags(self, repository: str, after: str, limit: int) -> list[str] | None:
        with self._database.snapshot() as db:
            if not db.execute("SELECT 1 FROM repositories WHERE name = ?", (repository,)).fetchone():
                return None
            sql = f"SELECT name FROM tags WHERE repository = {_REPOSITORY} AND name > ? ORDER BY name LIMIT ?"
            return [row[0] for row in db.execute(sql, (repository, after, limit))]

    def referrers(self, repository: str, subject: Digest, artifact_type: str, after: str, limit: int) -> list[Referrer]:
        sql = (
            "SELECT digest, media_type, length(content), artifact_type, annotations FROM manifests "
            f"WHERE repository = {_REPOSITORY} AND subject = ? AND (? = '' OR artifact_type = ?) AND digest > ? ORDER BY digest LIMIT ?"
        )
        rows = self._database.read().execute(sql, (repository, subject, artifact_type, artifact_type, after, limit))
        return [Referrer(Digest(row[0]), row[1], row[2], row[3], json.loads(row[4])) for row in rows]

    def repositories(self, after: str, limit: int) -> list[str]:
        sql = (
            "SELECT name FROM repositories r WHERE name > ? AND EXISTS (SELECT 1 FROM manifests WHERE repository = r.id) "
            "ORDER BY name LIMIT ?"
        )
        return [row[0] for row in self._database.read().execute(sql, (after, limit))]


def _ensure(db: sqlite3.Connection, name: str) -> int:
    """The number of the repository, which the first thing pushed to it creates."""
    row = db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
    if row is None:
        cursor = db.execute("INSERT INTO repositories (name, created) VALUES (?, ?)", (name, time.time_ns()))
        return int(cursor.lastrowid or 0)
    return int(row[0])


def _link(db: sqlite3.Connection, owner: int, digest: Digest, size: int) -> None:
    db.execute("INSERT OR IGNORE INTO blob_links VALUES (?, ?, ?, ?)", (owner, digest, size, time.time_ns()))


def _put(db: sqlite3.Connection, owner: int, manifest: ManifestRecord, now: int) -> None:
    number = db.execute(
        "INSERT INTO manifests (repository, digest, media_type, content, subject, artifact_type, annotations, created) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type RETURNING id",
        (
            owner, manifest.digest, manifest.media_type, manifest.content, manifest.subject, manifest.artifact_type,
            json.dumps(dict(manifest.annotations)), now,
        ),
    ).fetchone()[0]  # fmt: skip
    rows = [(number, d, "blob") for d in manifest.blobs] + [(number, d, "manifest") for d in manifest.children]
    db.executemany("INSERT OR IGNORE INTO manifest_references VALUES (?, ?, ?)", rows)
