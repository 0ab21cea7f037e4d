"""Who needs each thing that lies in the store, by the catalog alone: what `usage` then finds the bytes of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from core.value import Value

if TYPE_CHECKING:
    from store.store import Store

Owner = Literal["image", "container", "cache", "command"]

# Images that stay whatever is pruned: those of containers, those that running commands look at, and what they were built on.
_KEPT = """
    WITH RECURSIVE kept (id) AS (
        SELECT image FROM holds UNION SELECT value FROM leases WHERE kind = 'image'
        UNION SELECT parent FROM images JOIN kept USING (id) WHERE parent IS NOT NULL
    )
"""
_LAYERS = f"""{_KEPT}
    SELECT diff_id, directory,
        EXISTS (SELECT 1 FROM image_layers WHERE image_layers.diff_id = layers.diff_id),
        EXISTS (SELECT 1 FROM hold_layers WHERE hold_layers.diff_id = layers.diff_id),
        EXISTS (SELECT 1 FROM records WHERE records.diff_id = layers.diff_id),
        EXISTS (SELECT 1 FROM leases WHERE kind = 'layer' AND value = layers.diff_id),
        EXISTS (SELECT 1 FROM image_layers JOIN kept ON kept.id = image_layers.image WHERE diff_id = layers.diff_id)
    FROM layers
"""
_BLOBS = f"""{_KEPT}
    SELECT id, id IN kept FROM images UNION ALL SELECT manifest_digest, id IN kept FROM images
    UNION ALL SELECT target_digest, image IN kept FROM tags
    UNION ALL SELECT digest, image IN kept FROM repository_digests
    UNION ALL SELECT image, 1 FROM holds UNION ALL SELECT value, 1 FROM leases WHERE kind = 'blob'
"""
_LAYER_BLOBS = (
    "SELECT diff_id, blob_digest, listing, recipe FROM layers WHERE blob_digest IS NOT NULL OR listing IS NOT NULL"
)

_VOLUMES = "SELECT name, EXISTS (SELECT 1 FROM hold_volumes WHERE volume = name) FROM volumes WHERE driver = 'local'"


class LayerClaim(Value):
    """`owner`: whom the layer is counted with; `kept`: it stays whatever is pruned."""

    diff_id: str
    owner: Owner | None
    kept: bool


class Claims(Value):
    """`layers` by the name of their directory; `blobs` by digest: whether each stays whatever is pruned. `containers` by
    ID: whether each runs; `holders` are the IDs of all who hold an image; `volumes` by name: whether a container has each. Numbers of images and records: all, and those
    in use."""

    layers: dict[str, LayerClaim]
    blobs: dict[str, bool]
    containers: dict[str, bool]
    holders: frozenset[str]
    images: tuple[int, int]
    records: tuple[int, int]
    volumes: dict[str, bool]


def claims(store: Store) -> Claims:
    """What the catalog says now, as of one moment."""
    store.leases.sweep()
    with store.database.snapshot() as connection:
        layers = {row[1]: _layer(*row) for row in connection.execute(_LAYERS)}
        blobs: dict[str, bool] = {}
        for digest, kept in connection.execute(_BLOBS):
            blobs[digest] = blobs.get(digest, False) or bool(kept)
        stays = {claim.diff_id for claim in layers.values() if claim.kept}
        for diff_id, *digests in connection.execute(_LAYER_BLOBS):
            blobs |= {digest: blobs.get(digest, False) or diff_id in stays for digest in digests if digest}
        holds = connection.execute("SELECT id, running, kind FROM holds").fetchall()
        return Claims(
            layers, blobs, {row[0]: bool(row[1]) for row in holds if row[2] == "container"},
            frozenset(row[0] for row in holds),
            _pair(connection.execute(
                "SELECT count(*), (SELECT count(DISTINCT image) FROM holds JOIN images ON images.id = image) FROM images"
            ).fetchone()),
            _pair(connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE diff_id IN (SELECT value FROM leases WHERE kind = 'layer')) FROM records"
            ).fetchone()),
            {row[0]: bool(row[1]) for row in connection.execute(_VOLUMES)},
        )  # fmt: skip


def _pair(row: tuple[int, int]) -> tuple[int, int]:
    return row[0], row[1]


def _layer(
    diff_id: str, directory: str, imaged: int, held: int, recorded: int, leased: int, in_kept: int
) -> LayerClaim:
    owner: Owner | None = (
        "image" if imaged else "container" if held else "cache" if recorded else "command" if leased else None
    )
    return LayerClaim(diff_id, owner, bool(held or leased or in_kept))
