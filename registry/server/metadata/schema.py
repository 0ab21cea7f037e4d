"""The tables of the registry's SQLite file. Digests and names are text that sorts by bytes; instants are nanoseconds."""

from __future__ import annotations

OWNER = "registry"

MIGRATIONS = (
    """
    CREATE TABLE repositories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL);
    CREATE TABLE blob_links (
        repository INTEGER NOT NULL REFERENCES repositories, digest TEXT NOT NULL, size INTEGER NOT NULL,
        created INTEGER NOT NULL, PRIMARY KEY (repository, digest)
    ) WITHOUT ROWID;
    CREATE INDEX blob_links_by_digest ON blob_links (digest);
    CREATE TABLE manifests (
        id INTEGER PRIMARY KEY, repository INTEGER NOT NULL REFERENCES repositories, digest TEXT NOT NULL,
        media_type TEXT NOT NULL, content BLOB NOT NULL, subject TEXT, artifact_type TEXT NOT NULL,
        annotations TEXT NOT NULL, created INTEGER NOT NULL, UNIQUE (repository, digest)
    );
    CREATE INDEX manifests_by_subject ON manifests (repository, subject, digest) WHERE subject IS NOT NULL;
    CREATE TABLE manifest_references (
        manifest INTEGER NOT NULL REFERENCES manifests ON DELETE CASCADE, digest TEXT NOT NULL, kind TEXT NOT NULL,
        PRIMARY KEY (manifest, digest)
    ) WITHOUT ROWID;
    CREATE INDEX manifest_references_by_digest ON manifest_references (digest);
    CREATE TABLE tags (
        repository INTEGER NOT NULL REFERENCES repositories, name TEXT NOT NULL, digest TEXT NOT NULL,
        updated INTEGER NOT NULL, PRIMARY KEY (repository, name)
    ) WITHOUT ROWID;
    CREATE INDEX tags_by_digest ON tags (repository, digest);
    """,
    # `kind`: 0 a blob of a repository, 1 a manifest of one, 2 a blob's bytes (whose repository is 0).
    """
    CREATE TABLE reviews (
        kind INTEGER NOT NULL, repository INTEGER NOT NULL, digest TEXT NOT NULL, since INTEGER NOT NULL,
        pushed INTEGER NOT NULL, PRIMARY KEY (kind, repository, digest)
    ) WITHOUT ROWID;
    CREATE INDEX reviews_by_age ON reviews (kind, pushed, since);
    ALTER TABLE manifest_references ADD COLUMN repository INTEGER NOT NULL DEFAULT 0;
    UPDATE manifest_references SET repository = (SELECT repository FROM manifests WHERE id = manifest);
    DROP INDEX manifest_references_by_digest;
    CREATE INDEX manifest_references_by_digest ON manifest_references (digest, repository);
    ALTER TABLE tags ADD COLUMN pulled INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE manifests ADD COLUMN pulled INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE repositories ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
    UPDATE repositories SET used = (SELECT coalesce(sum(size), 0) FROM blob_links WHERE repository = id)
        + (SELECT coalesce(sum(length(content)), 0) FROM manifests WHERE repository = repositories.id);
    CREATE TABLE total (used INTEGER NOT NULL);
    INSERT INTO total SELECT (SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT digest, size FROM blob_links))
        + (SELECT coalesce(sum(length(content)), 0) FROM manifests);
    INSERT INTO reviews SELECT 0, repository, digest, created, 1 FROM blob_links l WHERE NOT EXISTS
        (SELECT 1 FROM manifest_references m WHERE m.repository = l.repository AND m.digest = l.digest);
    INSERT INTO reviews SELECT 1, repository, digest, created, 1 FROM manifests m WHERE NOT EXISTS
        (SELECT 1 FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest);
    """,
)
