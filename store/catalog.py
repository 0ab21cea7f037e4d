"""The tables of `catalog.db`, and what it means that something in the store is needed.

Whatever may have lost its last user goes to `garbage`, by triggers, in the very transaction that took the user away:
`collect` looks at those rows alone, so its cost grows with what was removed and not with what is there.
"""

from __future__ import annotations

OWNER = "store"

_TABLES = """
CREATE TABLE layers (
    diff_id TEXT PRIMARY KEY, directory TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, origin TEXT NOT NULL,
    pack_version INTEGER NOT NULL, blob_type TEXT, blob_digest TEXT, blob_size INTEGER, listing TEXT
) WITHOUT ROWID;
CREATE INDEX layers_by_blob ON layers (blob_digest) WHERE blob_digest IS NOT NULL;
CREATE INDEX layers_by_listing ON layers (listing) WHERE listing IS NOT NULL;

CREATE TABLE layer_blobs (
    diff_id TEXT NOT NULL REFERENCES layers ON DELETE CASCADE, digest TEXT NOT NULL, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, PRIMARY KEY (diff_id, digest)
) WITHOUT ROWID;
CREATE INDEX layer_blobs_by_digest ON layer_blobs (digest);

CREATE TABLE images (
    id TEXT PRIMARY KEY, manifest_type TEXT NOT NULL, manifest_digest TEXT NOT NULL, manifest_size INTEGER NOT NULL,
    parent TEXT, created INTEGER NOT NULL, os TEXT NOT NULL, architecture TEXT NOT NULL, variant TEXT NOT NULL,
    os_version TEXT NOT NULL, size INTEGER NOT NULL, diff_ids TEXT NOT NULL, labels TEXT NOT NULL, last_used INTEGER,
    tags INTEGER NOT NULL DEFAULT 0, children INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX images_by_creation ON images (created DESC, id);
CREATE INDEX images_by_parent ON images (parent) WHERE parent IS NOT NULL;
CREATE INDEX images_by_manifest ON images (manifest_digest);
CREATE INDEX images_dangling ON images (created DESC, id) WHERE tags = 0 AND children = 0;

CREATE TABLE image_layers (
    diff_id TEXT NOT NULL REFERENCES layers, image TEXT NOT NULL REFERENCES images, PRIMARY KEY (diff_id, image)
) WITHOUT ROWID;
CREATE INDEX image_layers_by_image ON image_layers (image);

CREATE TABLE tags (
    repository TEXT NOT NULL, tag TEXT NOT NULL, image TEXT NOT NULL REFERENCES images, target_type TEXT NOT NULL,
    target_digest TEXT NOT NULL, target_size INTEGER NOT NULL, updated INTEGER NOT NULL, PRIMARY KEY (repository, tag)
) WITHOUT ROWID;
CREATE INDEX tags_by_image ON tags (image);
CREATE INDEX tags_by_target ON tags (target_digest);

CREATE TABLE repository_digests (
    repository TEXT NOT NULL, digest TEXT NOT NULL, image TEXT NOT NULL REFERENCES images,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX repository_digests_by_image ON repository_digests (image);
CREATE INDEX repository_digests_by_digest ON repository_digests (digest);

CREATE TABLE records (
    key TEXT PRIMARY KEY, diff_id TEXT REFERENCES layers, value BLOB NOT NULL, created INTEGER NOT NULL,
    last_used INTEGER NOT NULL, uses INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX records_by_layer ON records (diff_id) WHERE diff_id IS NOT NULL;

CREATE TABLE holds (
    kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, image TEXT NOT NULL, running INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX holds_by_image ON holds (image);
CREATE INDEX holds_by_id ON holds (id);
CREATE TABLE hold_layers (
    diff_id TEXT NOT NULL REFERENCES layers, kind TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (diff_id, kind, id)
) WITHOUT ROWID;
CREATE INDEX hold_layers_by_hold ON hold_layers (kind, id);

CREATE TABLE leases (
    kind TEXT NOT NULL, value TEXT NOT NULL, lease TEXT NOT NULL, PRIMARY KEY (kind, value, lease)
) WITHOUT ROWID;
CREATE INDEX leases_by_lease ON leases (lease);

CREATE TABLE garbage (kind TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, value)) WITHOUT ROWID;
"""

# How many tags and children an image has is kept with it, so that dangling images are an index and not a search.
_COUNTS = """
CREATE TRIGGER image_added AFTER INSERT ON images BEGIN
    UPDATE images SET children = children + 1 WHERE id = NEW.parent;
    UPDATE images SET children = (SELECT count(*) FROM images WHERE parent = NEW.id) WHERE id = NEW.id;
END;
CREATE TRIGGER image_deleted AFTER DELETE ON images BEGIN
    UPDATE images SET children = children - 1 WHERE id = OLD.parent;
    INSERT OR IGNORE INTO garbage VALUES ('blob', OLD.id), ('blob', OLD.manifest_digest);
END;
CREATE TRIGGER tag_added AFTER INSERT ON tags BEGIN
    UPDATE images SET tags = tags + 1 WHERE id = NEW.image;
END;
CREATE TRIGGER tag_moved AFTER UPDATE ON tags BEGIN
    UPDATE images SET tags = tags - 1 WHERE id = OLD.image;
    UPDATE images SET tags = tags + 1 WHERE id = NEW.image;
    INSERT OR IGNORE INTO garbage VALUES ('blob', OLD.target_digest);
END;
CREATE TRIGGER tag_deleted AFTER DELETE ON tags BEGIN
    UPDATE images SET tags = tags - 1 WHERE id = OLD.image;
    INSERT OR IGNORE INTO garbage VALUES ('blob', OLD.target_digest);
END;
"""

_GARBAGE = """
CREATE TRIGGER image_layer_deleted AFTER DELETE ON image_layers BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('layer', OLD.diff_id);
END;
CREATE TRIGGER repository_digest_deleted AFTER DELETE ON repository_digests BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('blob', OLD.digest);
END;
CREATE TRIGGER record_deleted AFTER DELETE ON records WHEN OLD.diff_id IS NOT NULL BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('layer', OLD.diff_id);
END;
CREATE TRIGGER hold_deleted AFTER DELETE ON holds BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('blob', OLD.image);
END;
CREATE TRIGGER hold_layer_deleted AFTER DELETE ON hold_layers BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('layer', OLD.diff_id);
END;
CREATE TRIGGER layer_deleted AFTER DELETE ON layers BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('directory', OLD.directory);
    INSERT OR IGNORE INTO garbage SELECT 'blob', OLD.blob_digest WHERE OLD.blob_digest IS NOT NULL;
    INSERT OR IGNORE INTO garbage SELECT 'blob', OLD.listing WHERE OLD.listing IS NOT NULL;
END;
CREATE TRIGGER layer_blob_changed AFTER UPDATE OF blob_digest ON layers WHEN OLD.blob_digest IS NOT NULL BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('blob', OLD.blob_digest);
END;
"""

# Why a layer must not be used is part of its row: who looks it up learns it for nothing.
_QUARANTINE = """
ALTER TABLE layers ADD COLUMN damaged TEXT;
ALTER TABLE layers ADD COLUMN damaged_since INTEGER;
CREATE INDEX layers_damaged ON layers (diff_id) WHERE damaged IS NOT NULL;
CREATE TRIGGER layer_listing_changed AFTER UPDATE OF listing ON layers WHEN OLD.listing IS NOT NULL BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('blob', OLD.listing);
END;
"""

# How a foreign layer's tar is made again of its directory, where its bytes are not kept.
_RECIPES = """
ALTER TABLE layers ADD COLUMN recipe TEXT;
CREATE INDEX layers_by_recipe ON layers (recipe) WHERE recipe IS NOT NULL;
CREATE TRIGGER layer_recipe_deleted AFTER DELETE ON layers WHEN OLD.recipe IS NOT NULL BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('blob', OLD.recipe);
END;
CREATE TRIGGER layer_recipe_changed AFTER UPDATE OF recipe ON layers WHEN OLD.recipe IS NOT NULL BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('blob', OLD.recipe);
END;
"""

# A holder's volumes and the images mounted into it (kind `mounted`, its ID and a number) are let go with its hold.
# `own`: an anonymous volume that was made for the holder.
_VOLUMES = """
CREATE TABLE volumes (
    name TEXT PRIMARY KEY, driver TEXT NOT NULL, labels TEXT NOT NULL, options TEXT NOT NULL, created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE hold_volumes (
    kind TEXT NOT NULL, id TEXT NOT NULL, volume TEXT NOT NULL REFERENCES volumes, own INTEGER NOT NULL,
    PRIMARY KEY (kind, id, volume)
) WITHOUT ROWID;
CREATE INDEX hold_volumes_by_volume ON hold_volumes (volume);
CREATE TRIGGER holder_deleted AFTER DELETE ON holds WHEN OLD.kind = 'container' BEGIN
    DELETE FROM hold_volumes WHERE kind = OLD.kind AND id = OLD.id;
    DELETE FROM hold_layers WHERE kind = 'mounted' AND id > OLD.id || '.' AND id < OLD.id || '/';
    DELETE FROM holds WHERE kind = 'mounted' AND id > OLD.id || '.' AND id < OLD.id || '/';
END;
CREATE TRIGGER holder_changed AFTER UPDATE OF running, name ON holds WHEN NEW.kind = 'container' BEGIN
    UPDATE holds SET running = NEW.running, name = NEW.name
    WHERE kind = 'mounted' AND id > OLD.id || '.' AND id < OLD.id || '/';
END;
CREATE TRIGGER volume_deleted AFTER DELETE ON volumes BEGIN
    INSERT OR IGNORE INTO garbage VALUES ('volume', OLD.name);
END;
"""

# By which a layer of our own packing is told from a damaged one whenever it is sent, without hashing it again.
_CHECKSUMS = "ALTER TABLE layers ADD COLUMN checksum INTEGER;"

MIGRATIONS = (_TABLES + _COUNTS + _GARBAGE, _QUARANTINE, _RECIPES, _VOLUMES, _CHECKSUMS)

_USERS = {
    "layer": (
        "image_layers WHERE diff_id = {0}", "records WHERE diff_id = {0}", "hold_layers WHERE diff_id = {0}",
        "leases WHERE kind = 'layer' AND value = {0}",
    ),
    "blob": (
        "images WHERE id = {0}", "images WHERE manifest_digest = {0}", "tags WHERE target_digest = {0}",
        "repository_digests WHERE digest = {0}", "layers WHERE blob_digest = {0}", "layers WHERE listing = {0}",
        "layers WHERE recipe = {0}", "holds WHERE image = {0}", "leases WHERE kind = 'blob' AND value = {0}",
    ),
    "directory": ("layers WHERE directory = {0}", "leases WHERE kind = 'directory' AND value = {0}"),
}  # fmt: skip


def needed(kind: str, value: str = "garbage.value") -> str:
    """SQL that is true while somebody uses the layer, blob or directory that the expression `value` names.

    Every part is one look into an index. Rows of leases whose holder died count until `Leases.sweep` took them.
    """
    return "(" + " OR ".join(f"EXISTS (SELECT 1 FROM {user.format(value)})" for user in _USERS[kind]) + ")"
