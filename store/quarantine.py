"""Layers that are known to be damaged: whoever finds the damage writes it into the layer's row, and from then on nobody runs,
builds on, sends or copies it, until a good one has taken its place.

The good one takes the old directory's very name, so that the containers and builds that know it go on. What was there
takes the name that the good one came with, and stays as long as a process lives that may have it mounted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.database import Database
from core.errors import Conflict
from core.value import Value
from image.digest import DiffID, Digest
from store.layers import DAMAGED, Layer


class LayerInUse(Conflict):
    """A damaged layer cannot be replaced below something that runs on it."""

    def __init__(self, diff_id: DiffID, kind: str, name: str) -> None:
        way = "unmount it" if kind == "mount" else "stop it"
        super().__init__(f"layer {diff_id} is damaged, but {kind} {name} is using it", f"{way} first, then try again")


class Damaged(Value):
    """A layer in quarantine; `since` is in nanoseconds since the epoch."""

    diff_id: DiffID
    reason: str
    since: int


class Quarantine:
    """What is known to be damaged in one store. Usable from several threads and processes; looking costs what is damaged, not
    what there is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, layer: Layer, reason: str) -> None:
        """Keep everybody from using `layer`, which was read and found to be damaged. Harmless to repeat, and where it was
        replaced meanwhile nothing happens."""
        if layer.damaged is None:
            self._set(reason, "diff_id = ? AND directory = ?", (layer.diff_id, layer.directory))

    def add_directory(self, directory: str, reason: str) -> None:
        """As `add`, for the layer that lives in `directory`."""
        self._set(reason, "directory = ?", (directory,))

    def add_blob(self, digest: Digest, reason: str) -> None:
        """As `add`, for the layers whose only source is the kept blob."""
        self._set(reason, "origin = 'foreign' AND recipe IS NULL AND blob_digest = ?", (digest,))

    def _set(self, reason: str, chosen: str, values: tuple[str, ...]) -> None:
        with self._database.write() as connection:
            connection.execute(
                f"UPDATE layers SET damaged = ?, damaged_since = ? WHERE {chosen} AND damaged IS NULL",
                (reason, time.time_ns(), *values),
            )

    def lift(self, layer: Layer) -> bool:
        """`layer` was read and is whole: let it be used. False where it was in no quarantine, or is by other damage now."""
        if layer.damaged is None:
            return False
        with self._database.write() as connection:
            return connection.execute(
                "UPDATE layers SET damaged = NULL, damaged_since = NULL"
                " WHERE diff_id = ? AND directory = ? AND damaged = ?",
                (layer.diff_id, layer.directory, layer.damaged),
            ).rowcount > 0  # fmt: skip

    def all(self) -> Iterator[Damaged]:
        """Every layer in quarantine, by DiffID."""
        for row in self._database.read().execute(f"{DAMAGED} ORDER BY diff_id"):
            yield Damaged(DiffID(row[0]), row[1], row[2])

    def refuse_running(self, diff_id: DiffID) -> None:
        """Raises LayerInUse where a container runs on the layer, or an image is mounted with it."""
        row = self._database.read().execute(
            "SELECT kind, id, name FROM hold_layers JOIN holds USING (kind, id)"
            " WHERE diff_id = ? AND running AND kind IN ('container', 'mount') LIMIT 1",
            (diff_id,),
        ).fetchone()  # fmt: skip
        if row:
            raise LayerInUse(diff_id, row[0], row[2] or row[1][:12])

    def replace(self, layer: Layer) -> None:
        """`layer`, whose directory has changed its name with that of the damaged one, takes its row. To be called in the
        transaction that saw the damage. What has the name `layer.directory` now is garbage, once nobody holds it."""
        blob = layer.blob
        with self._database.write() as connection:
            connection.execute(
                "UPDATE layers SET size = ?, origin = ?, pack_version = ?, blob_type = ?, blob_digest = ?, blob_size = ?,"
                " listing = ?, recipe = ?, checksum = ?, damaged = NULL, damaged_since = NULL WHERE diff_id = ?",
                (
                    layer.size, layer.origin, layer.pack_version, blob and blob.media_type, blob and blob.digest,
                    blob and blob.size, layer.listing, layer.recipe, layer.checksum, layer.diff_id,
                ),
            )  # fmt: skip
            connection.execute(
                "INSERT OR IGNORE INTO leases SELECT 'directory', ?, lease FROM leases WHERE kind = 'layer' AND value = ?",
                (layer.directory, layer.diff_id),
            )
            connection.execute("INSERT OR IGNORE INTO garbage VALUES ('directory', ?)", (layer.directory,))
