"""What one transaction does to the tables: links, manifests, their reviews, and the bytes that count."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from image.digest import Digest
from registry.server.metadata.protocol import FREE, Allowance, ImmutableTag, ManifestRecord, QuotaExceeded
from registry.server.metadata.upkeep import TagRecord

BLOB, MANIFEST, BYTES = 0, 1, 2  # what a review is about
NO_REPOSITORY = 0
REPOSITORY = "(SELECT id FROM repositories WHERE name = ?)"
_STANDING = (  # of a blob: whether the repository has it, whether anybody has, whether a manifest of the repository refers to it
    "SELECT EXISTS (SELECT 1 FROM blob_links WHERE repository = :owner AND digest = :digest), "
    "EXISTS (SELECT 1 FROM blob_links WHERE digest = :digest), "
    "EXISTS (SELECT 1 FROM manifest_references WHERE digest = :digest AND repository = :owner)"
)


def find(db: sqlite3.Connection, name: str) -> int | None:
    """The number of the repository; None for one nobody has pushed to."""
    row = db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def ensure(db: sqlite3.Connection, name: str, now: int) -> int:
    """The number of the repository, which the first thing pushed to it creates."""
    number = find(db, name)
    if number is None:
        cursor = db.execute("INSERT INTO repositories (name, created) VALUES (?, ?)", (name, now))
        return int(cursor.lastrowid or 0)
    return number


def vanish(db: sqlite3.Connection, owner: int) -> None:
    """Forget a repository in which nothing is left."""
    parts = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} WHERE repository = :owner)" for table in ("blob_links", "manifests", "tags")
    )
    if db.execute(f"DELETE FROM repositories WHERE id = :owner AND {parts}", {"owner": owner}).rowcount:
        db.execute("DELETE FROM reviews WHERE kind IN (0, 1) AND repository = ?", (owner,))


def review(db: sqlite3.Connection, kind: int, owner: int, digest: str, now: int, *, pushed: bool = False) -> None:
    """Have it looked at after the delay, counted from `now` whatever was known before."""
    db.execute("INSERT OR REPLACE INTO reviews VALUES (?, ?, ?, ?, ?)", (kind, owner, digest, now, pushed))


def forget(db: sqlite3.Connection, kind: int, owner: int, digest: str) -> None:
    """End its review."""
    db.execute("DELETE FROM reviews WHERE kind = ? AND repository = ? AND digest = ?", (kind, owner, digest))


def referred(db: sqlite3.Connection, owner: int, digest: str) -> bool:
    """Whether a manifest of the repository refers to it, as a blob or as a child."""
    sql = "SELECT 1 FROM manifest_references WHERE digest = ? AND repository = ? LIMIT 1"
    return db.execute(sql, (digest, owner)).fetchone() is not None


def linked(db: sqlite3.Connection, digest: str) -> bool:
    """Whether any repository has the blob."""
    return db.execute("SELECT 1 FROM blob_links WHERE digest = ? LIMIT 1", (digest,)).fetchone() is not None


def link(db: sqlite3.Connection, owner: int, digest: str, size: int, now: int, allowance: Allowance = FREE) -> None:
    """Give the repository a blob. Raises QuotaExceeded."""
    here, anywhere, needed_here = db.execute(_STANDING, {"owner": owner, "digest": digest}).fetchone()
    if not here:
        grow(db, owner, size, 0 if anywhere else size, allowance)
        db.execute("INSERT INTO blob_links VALUES (?, ?, ?, ?)", (owner, digest, size, now))
    if not needed_here:
        review(db, BLOB, owner, digest, now, pushed=True)


def unlink(db: sqlite3.Connection, owner: int, digest: str, now: int) -> bool:
    """Take a blob from the repository; whoever takes the last one has the bytes reviewed. False where it had none."""
    sql = "DELETE FROM blob_links WHERE repository = ? AND digest = ? RETURNING size"
    row = db.execute(sql, (owner, digest)).fetchone()
    forget(db, BLOB, owner, digest)
    if row is None:
        return False
    last = not linked(db, digest)
    grow(db, owner, -row[0], -row[0] if last else 0)
    if last:
        review(db, BYTES, NO_REPOSITORY, digest, now)
    vanish(db, owner)
    return True


def grow(db: sqlite3.Connection, owner: int, more: int, in_all: int, allowance: Allowance = FREE) -> None:
    """Count bytes in, or out again. Raises QuotaExceeded: the caller's transaction must be undone then."""
    sql = "UPDATE repositories SET used = used + ? WHERE id = ? RETURNING used, name"
    used, name = db.execute(sql, (more, owner)).fetchone()
    if more > 0 and allowance.repository is not None and used > allowance.repository:
        raise QuotaExceeded(f"the repository {name}", used - more, more, allowance.repository)
    if not in_all:
        return
    total = db.execute("UPDATE total SET used = used + ? RETURNING used", (in_all,)).fetchone()[0]
    if in_all > 0 and allowance.registry is not None and total > allowance.registry:
        raise QuotaExceeded("the registry", total - in_all, in_all, allowance.registry)


def put(db: sqlite3.Connection, owner: int, manifest: ManifestRecord, now: int, allowance: Allowance = FREE) -> None:
    """Keep a manifest; what it refers to needs no review any more. Raises QuotaExceeded."""
    number = _number(db, owner, manifest.digest)
    if number is None:
        grow(db, owner, len(manifest.content), len(manifest.content), allowance)
        number = _insert(db, owner, manifest, now)
    else:
        db.execute("UPDATE manifests SET media_type = ? WHERE id = ?", (manifest.media_type, number))
    rows = [(number, d, "blob", owner) for d in manifest.blobs] + [
        (number, d, "manifest", owner) for d in manifest.children
    ]
    sql = "INSERT OR IGNORE INTO manifest_references (manifest, digest, kind, repository) VALUES (?, ?, ?, ?)"
    db.executemany(sql, rows)
    db.executemany(
        "DELETE FROM reviews WHERE kind = ? AND repository = ? AND digest = ?",
        [(BLOB, owner, d) for d in manifest.blobs] + [(MANIFEST, owner, d) for d in manifest.children],
    )
    db.execute(
        "DELETE FROM reviews WHERE kind = 1 AND repository = :owner AND digest IN "
        "(SELECT digest FROM manifests WHERE repository = :owner AND subject = :digest)",
        {"owner": owner, "digest": manifest.digest},
    )


def missing(db: sqlite3.Connection, owner: int, manifest: ManifestRecord) -> list[Digest]:
    """What a manifest refers to and the repository does not have."""
    return [
        digest
        for table, digests in (("blob_links", manifest.blobs), ("manifests", manifest.children))
        for digest in dict.fromkeys(digests)
        if not db.execute(f"SELECT 1 FROM {table} WHERE repository = ? AND digest = ?", (owner, digest)).fetchone()
    ]


def _number(db: sqlite3.Connection, owner: int, digest: str) -> int | None:
    row = db.execute("SELECT id FROM manifests WHERE repository = ? AND digest = ?", (owner, digest)).fetchone()
    return None if row is None else int(row[0])


def _insert(db: sqlite3.Connection, owner: int, manifest: ManifestRecord, now: int) -> int:
    cursor = db.execute(
        "INSERT INTO manifests (repository, digest, media_type, content, subject, artifact_type, annotations, created) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            owner, manifest.digest, manifest.media_type, manifest.content, manifest.subject, manifest.artifact_type,
            json.dumps(dict(manifest.annotations)), now,
        ),
    )  # fmt: skip
    return int(cursor.lastrowid or 0)


def point(db: sqlite3.Connection, owner: int, tag: str, digest: Digest, now: int, *, fixed: bool = False) -> None:
    """Point the tag to the manifest; the one that loses it is reviewed. Raises ImmutableTag where it is `fixed` elsewhere."""
    row = db.execute("SELECT digest FROM tags WHERE repository = ? AND name = ?", (owner, tag)).fetchone()
    if row is not None and row[0] != digest:
        if fixed:
            raise ImmutableTag(tag, Digest(row[0]))
        review(db, MANIFEST, owner, row[0], now)
    db.execute(
        "INSERT INTO tags (repository, name, digest, updated) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated",
        (owner, tag, digest, now),
    )


def untag(db: sqlite3.Connection, owner: int, tag: str, now: int, seen: TagRecord | None = None) -> bool:
    """Delete the tag, if it is as it was `seen` where that is given; its manifest is reviewed."""
    same = "" if seen is None else " AND digest = ? AND updated = ?"
    sql = f"DELETE FROM tags WHERE repository = ? AND name = ?{same} RETURNING digest"
    row = db.execute(sql, (owner, tag, *(() if seen is None else (seen.digest, seen.pushed)))).fetchone()
    if row is not None:
        review(db, MANIFEST, owner, row[0], now)
        vanish(db, owner)
    return row is not None


def delete(db: sqlite3.Connection, owner: int, digest: str, now: int) -> bool:
    """Delete a manifest with its tags; what it referred to, and what referred to it, is reviewed."""
    sql = "SELECT id, length(content) FROM manifests WHERE repository = ? AND digest = ?"
    row = db.execute(sql, (owner, digest)).fetchone()
    if row is None:
        return False
    db.execute("DELETE FROM tags WHERE repository = ? AND digest = ?", (owner, digest))
    db.execute(
        "INSERT OR REPLACE INTO reviews SELECT kind = 'manifest', ?, digest, ?, 0 FROM manifest_references WHERE manifest = ?",
        (owner, now, row[0]),
    )
    db.execute(
        "INSERT OR REPLACE INTO reviews SELECT 1, ?, digest, ?, 0 FROM manifests WHERE repository = ? AND subject = ?",
        (owner, now, owner, digest),
    )
    db.execute("DELETE FROM manifests WHERE id = ?", (row[0],))
    forget(db, MANIFEST, owner, digest)
    grow(db, owner, -row[1], -row[1])
    vanish(db, owner)
    return True


def needed(db: sqlite3.Connection, owner: int, digest: str) -> bool:
    """Whether a manifest has a tag, an index that lists it, or a subject."""
    if db.execute("SELECT 1 FROM tags WHERE repository = ? AND digest = ? LIMIT 1", (owner, digest)).fetchone():
        return True
    sql = (
        "SELECT 1 FROM manifests m JOIN manifests s ON s.repository = m.repository AND s.digest = m.subject "
        "WHERE m.repository = ? AND m.digest = ?"
    )
    return referred(db, owner, digest) or db.execute(sql, (owner, digest)).fetchone() is not None


def check_fixed(db: sqlite3.Connection, owner: int, digest: Digest, fixed: Callable[[str], bool]) -> None:
    """Raises ImmutableTag where a tag of the manifest may not go."""
    for row in db.execute("SELECT name FROM tags WHERE repository = ? AND digest = ?", (owner, digest)).fetchall():
        if fixed(row[0]):
            raise ImmutableTag(row[0], digest)
