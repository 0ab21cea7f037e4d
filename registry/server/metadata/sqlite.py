"""The metadata in one SQLite file: the embedded default."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence

from image.digest import Digest
from registry.server.metadata import rows
from registry.server.metadata.protocol import FREE, Allowance, ManifestRecord, Referrer, Stored, never
from registry.server.metadata.rows import REPOSITORY as _REPOSITORY
from registry.server.metadata.sqlite_upkeep import SqliteUpkeep

_BY_DIGEST = f"SELECT digest, media_type, content FROM manifests WHERE repository = {_REPOSITORY} AND digest = ?"
_BY_TAG = (
    "SELECT m.digest, m.media_type, m.content FROM tags t JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest "
    f"WHERE t.repository = {_REPOSITORY} AND t.name = ?"
)


class SqliteMetadata(SqliteUpkeep):
    """MetadataStore on a file. Writers of one process share transactions (and thereby the wait for the disk)."""

    def version(self) -> int:
        return int(self._database.read().execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        self._writer.close()
        self._database.close()

    # --- blobs

    def link_blob(self, repository: str, digest: Digest, size: int, allowance: Allowance = FREE) -> None:
        now = time.time_ns()
        self._write(lambda db: rows.link(db, rows.ensure(db, repository, now), digest, size, now, allowance))

    def mount_blob(self, repository: str, digest: Digest, source: str | None, allowance: Allowance = FREE) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            where, values = ("", ()) if source is None else (f" AND repository = {_REPOSITORY}", (source,))
            row = db.execute(
                f"SELECT size FROM blob_links WHERE digest = ?{where} LIMIT 1", (digest, *values)
            ).fetchone()
            if row is not None:
                rows.link(db, rows.ensure(db, repository, now), digest, row[0], now, allowance)
            return row is not None

        now = time.time_ns()
        return self._write(work)

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        sql = f"SELECT size FROM blob_links WHERE repository = {_REPOSITORY} AND digest = ?"
        row = self._database.read().execute(sql, (repository, digest)).fetchone()
        return None if row is None else int(row[0])

    def unlink_blob(self, repository: str, digest: Digest) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            owner = rows.find(db, repository)
            return owner is not None and rows.unlink(db, owner, digest, time.time_ns())

        return self._write(work)

    def used(self, repository: str | None) -> int:
        where, values = ("total", ()) if repository is None else ("repositories WHERE name = ?", (repository,))
        row = self._database.read().execute(f"SELECT used FROM {where}", values).fetchone()
        return 0 if row is None else int(row[0])

    # --- manifests and tags

    def put_manifest(
        self, repository: str, manifest: ManifestRecord, tags: Sequence[str], *, fixed: Collection[str] = (),
        allowance: Allowance = FREE,
    ) -> list[Digest]:  # fmt: skip
        def work(db: sqlite3.Connection) -> list[Digest]:
            now = time.time_ns()
            owner = rows.ensure(db, repository, now)
            rows.put(db, owner, manifest, now, allowance)
            for tag in tags:
                rows.point(db, owner, tag, manifest.digest, now, fixed=tag in fixed)
            if tags or rows.needed(db, owner, manifest.digest):
                rows.forget(db, rows.MANIFEST, owner, manifest.digest)
            else:
                rows.review(db, rows.MANIFEST, owner, manifest.digest, now, pushed=True)
            return rows.missing(db, owner, manifest)

        return self._write(work)

    def manifest(self, repository: str, reference: str) -> Stored | None:
        sql = _BY_DIGEST if ":" in reference else _BY_TAG
        row = self._database.read().execute(sql, (repository, reference)).fetchone()
        return None if row is None else Stored(Digest(row[0]), row[1], row[2])

    def delete_manifest(self, repository: str, digest: Digest, fixed: Callable[[str], bool] = never) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            owner = rows.find(db, repository)
            if owner is None:
                return False
            rows.check_fixed(db, owner, digest, fixed)
            return rows.delete(db, owner, digest, time.time_ns())

        return self._write(work)

    def delete_tag(self, repository: str, tag: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            owner = rows.find(db, repository)
            return owner is not None and rows.untag(db, owner, tag, time.time_ns())

        return self._write(work)

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
