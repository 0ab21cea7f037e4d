"""What damage is, and the damage that the catalog shows by itself: rows that refer to nothing, numbers that do not add up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.value import Value

if TYPE_CHECKING:
    from store.store import Store

# The rows whose counterpart is gone: what they are to people, the query that lists them, what they miss.
_NO_IMAGE = "NOT EXISTS (SELECT 1 FROM images WHERE images.id = image)"
DANGLING = (
    ("tag", f"SELECT repository || ':' || tag, image FROM tags WHERE {_NO_IMAGE}", "image"),
    ("name", f"SELECT repository || '@' || digest, image FROM repository_digests WHERE {_NO_IMAGE}", "image"),
    ("catalog", f"SELECT DISTINCT 'image_layers', image FROM image_layers WHERE {_NO_IMAGE}", "image"),
    ("record", "SELECT key, diff_id FROM records WHERE diff_id NOT IN (SELECT diff_id FROM layers)", "layer"),
    (
        "catalog",
        "SELECT 'layer_blobs', diff_id FROM layer_blobs WHERE diff_id NOT IN (SELECT diff_id FROM layers)",
        "layer",
    ),
)
_COUNTS = """
    SELECT id FROM images WHERE tags != (SELECT count(*) FROM tags WHERE image = images.id)
    OR children != (SELECT count(*) FROM images AS child WHERE child.parent = images.id)
"""


class Damage(Value):
    """`kind` is config, manifest, layer, tag, name, record, volume or catalog; `needed_by` are names of images, containers or the
    cache."""

    kind: str
    name: str
    reason: str
    needed_by: tuple[str, ...]


def catalog_damages(store: Store) -> Iterator[Damage]:
    """SQLite's own checks of the file, rows that refer to nothing, and counters that are wrong."""
    with store.database.snapshot() as connection:
        lines = [row[0] for row in connection.execute("PRAGMA quick_check").fetchall()]
        dangling = [
            (kind, row[0], f"the {what} {row[1]} that it belongs to is not in the catalog")
            for kind, query, what in DANGLING
            for row in connection.execute(query).fetchall()
        ]
        holds = connection.execute(
            "SELECT DISTINCT diff_id, kind, coalesce(nullif(name, ''), id) FROM hold_layers JOIN holds USING (kind, id)"
            " WHERE diff_id NOT IN (SELECT diff_id FROM layers)"
            " AND diff_id NOT IN (SELECT diff_id FROM image_layers)"
        ).fetchall()  # fmt: skip
        counts = [row[0] for row in connection.execute(_COUNTS).fetchall()]
    yield from (Damage("catalog", str(store.database.path), line, ()) for line in lines if line != "ok")
    yield from (Damage(kind, name, reason, ()) for kind, name, reason in dangling)
    yield from (Damage("layer", row[0], "it is not in the catalog", (f"{row[1]} {row[2]}",)) for row in holds)
    yield from (Damage("catalog", id, "its numbers of tags and children do not add up", ()) for id in counts)


LOST, FOUND = (
    "its directory is gone, with what was in it",
    "its directory is here, with files in it, and it is not in the catalog",
)


def volume_damages(store: Store) -> Iterator[Damage]:
    """Volumes that have lost their directory, and directories that have lost their volume and are not empty."""
    known = store.database.read().execute("SELECT 1 FROM volumes").fetchone()
    if not known and not (store.root / "volumes").is_dir():
        return
    with store.transaction():  # nobody makes one meanwhile
        strays, lost = store.volumes.strays()
        strays = [name for name in strays if not store.volumes.is_empty(name)]
        users = {name: tuple(f"container {id[:12]}" for id in store.volumes.users(name)) for name in lost}
    yield from (Damage("volume", name, LOST, users[name]) for name in lost)
    yield from (Damage("volume", name, FOUND, ()) for name in strays)
