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
)
