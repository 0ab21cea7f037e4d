"""The layers that are here: which directory holds which DiffID, and the compressed forms a DiffID is known by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core import plain_json as json
from core import sqlite
from core.database import Database
from core.errors import Integrity, NotFound
from core.value import Value
from image.descriptor import Descriptor
from image.digest import DiffID, Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

Origin: TypeAlias = 'Literal["packed", "foreign"]'


class Layer(Value):
    """One layer on disk. `directory` is its name below `<root>/layers`, `size` the bytes of its tar.

    `packed`: its tar is packed again from the directory, by `pack_version`. `foreign`: somebody else wrote the tar; `blob`
    is kept as it came, or `recipe` is the blob that says how the tar is made of the directory again; and `listing` is the
    blob that says what the directory must contain. `damaged`: why it is in
    quarantine, None while nobody knows of any damage (see `store.quarantine`). `checksum`: the tar's CRC-32, where we have packed it.
    """

    diff_id: DiffID
    directory: str
    size: int
    origin: Origin
    pack_version: int
    blob: Descriptor | None = None
    listing: Digest | None = None
    damaged: str | None = None
    recipe: Digest | None = None
    checksum: int | None = None


class Quarantined(Integrity):
    """A layer is known to be damaged: it is neither run, built on, sent nor copied."""

    def __init__(self, diff_id: DiffID, reason: str) -> None:
        super().__init__(
            f"layer {diff_id} is damaged and in quarantine: {reason}",
            "repair it with `lamella fsck --repair`, or pull or build the image again",
        )


_COLUMNS = (
    "diff_id, directory, size, origin, pack_version, blob_type, blob_digest, blob_size, listing, recipe, checksum"
)
_SELECTED = f"{_COLUMNS}, damaged"
DAMAGED = "SELECT diff_id, damaged, damaged_since FROM layers WHERE damaged IS NOT NULL"


class LayerTable:
    """Every lookup is one look into an index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, diff_id: DiffID) -> Layer | None:
        """The layer, or None. To rely on it, lease it in the same transaction."""
        row = self._read(f"SELECT {_SELECTED} FROM layers WHERE diff_id = ?", (diff_id,)).fetchone()
        return _layer(row) if row else None

    def get_many(self, diff_ids: Iterable[DiffID]) -> dict[DiffID, Layer]:
        """Those of `diff_ids` that are here."""
        found = ((diff_id, self.get(diff_id)) for diff_id in dict.fromkeys(diff_ids))
        return {diff_id: layer for diff_id, layer in found if layer}

    def stack(self, diff_ids: Iterable[DiffID]) -> list[Layer]:
        """The layers of an image in the order given, to be used. Raises NotFound naming the one that is missing, and
        Quarantined."""
        wanted = list(diff_ids)
        found = self.get_many(wanted)
        for diff_id in wanted:
            if diff_id not in found:
                raise NotFound(f"layer {diff_id} is not in the store", "pull or build the image again")
            refuse_damaged(found[diff_id])
        return [found[diff_id] for diff_id in wanted]

    def refuse_image(self, id: Digest) -> None:
        """Raises Quarantined where one of the image's layers is damaged."""
        self._refuse("SELECT diff_id FROM image_layers WHERE image = ?", (id,))

    def refuse_hold(self, kind: str, id: str) -> None:
        """Raises Quarantined where one of the layers that the hold keeps is damaged."""
        self._refuse("SELECT diff_id FROM hold_layers WHERE kind = ? AND id = ?", (kind, id))

    def _refuse(self, of: str, values: tuple[str, ...]) -> None:
        row = self._read(f"{DAMAGED} AND diff_id IN ({of}) LIMIT 1", values).fetchone()
        if row:
            raise Quarantined(DiffID(row[0]), row[1])

    def sizes(self, diff_ids: Iterable[DiffID]) -> dict[DiffID, int]:
        """The bytes of the tars of those of `diff_ids` that are here, by one query."""
        chosen = "SELECT diff_id, size FROM layers WHERE diff_id IN (SELECT value FROM json_each(?))"
        return {DiffID(row[0]): row[1] for row in self._read(chosen, (json.dumps(list(diff_ids)),))}

    def add(self, layer: Layer) -> Layer:
        """Make `layer` known; where its DiffID has a row already, that one wins and is returned: the caller then removes
        its own directory. Harmless to repeat."""
        blob = layer.blob
        with self._database.write() as connection:
            connection.execute(
                f"INSERT INTO layers ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (diff_id) DO NOTHING",
                (
                    layer.diff_id, layer.directory, layer.size, layer.origin, layer.pack_version,
                    blob and blob.media_type, blob and blob.digest, blob and blob.size, layer.listing, layer.recipe,
                    layer.checksum,
                ),
            )  # fmt: skip
            if blob:
                _remember(connection, layer.diff_id, blob)
            winner = self.get(layer.diff_id)
        assert winner is not None
        return winner

    def set_blob(self, diff_id: DiffID, blob: Descriptor) -> None:
        """Remember `blob` as a compressed form of the layer, and keep it as its blob if it has none. A foreign layer's own
        source is never replaced. Nothing happens where the layer is gone."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE layers SET blob_type = ?, blob_digest = ?, blob_size = ? WHERE diff_id = ?"
                " AND (origin = 'packed' OR blob_digest IS NULL) AND recipe IS NULL",
                (blob.media_type, blob.digest, blob.size, diff_id),
            )
            if self.get(diff_id):
                _remember(connection, diff_id, blob)

    def known_blobs(self, diff_id: DiffID) -> list[Descriptor]:
        """Every compressed form that a push or pull has shown, whether its bytes are here or not."""
        rows = self._read(
            "SELECT media_type, digest, size FROM layer_blobs WHERE diff_id = ? ORDER BY digest", (diff_id,)
        )
        return [Descriptor(row[0], Digest(row[1]), row[2]) for row in rows]

    def by_blob(self, digest: Digest) -> DiffID | None:
        """The layer, present here, that `digest` is a compressed form of."""
        row = self._read("SELECT diff_id FROM layer_blobs WHERE digest = ? LIMIT 1", (digest,)).fetchone()
        return DiffID(row[0]) if row else None

    def by_directory(self, directory: str) -> DiffID | None:
        """The layer that lives in `directory` (a name below `<root>/layers`)."""
        row = self._read("SELECT diff_id FROM layers WHERE directory = ?", (directory,)).fetchone()
        return DiffID(row[0]) if row else None

    def all(self) -> Iterator[Layer]:
        """Every layer, by DiffID."""
        for row in self._read(f"SELECT {_SELECTED} FROM layers ORDER BY diff_id", ()):
            yield _layer(row)

    def delete(self, diff_id: DiffID) -> bool:
        """Forget the layer; `collect` removes its directory and blob. False where it was not known.

        Raises sqlite.IntegrityError while an image, record or container uses it: only `collect` and fsck decide that.
        """
        with self._database.write() as connection:
            return connection.execute("DELETE FROM layers WHERE diff_id = ?", (diff_id,)).rowcount > 0

    def _read(self, statement: str, values: tuple[object, ...]) -> sqlite.Cursor:
        return self._database.read().execute(statement, values)


def refuse_damaged(layer: Layer) -> None:
    """Raises Quarantined where the layer is known to be damaged."""
    if layer.damaged is not None:
        raise Quarantined(layer.diff_id, layer.damaged)


def _remember(connection: sqlite.Connection, diff_id: DiffID, blob: Descriptor) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO layer_blobs (diff_id, digest, media_type, size) VALUES (?, ?, ?, ?)",
        (diff_id, blob.digest, blob.media_type, blob.size),
    )


def _layer(row: sqlite.Row) -> Layer:
    blob = Descriptor(row[5], Digest(row[6]), row[7]) if row[6] else None
    listing, recipe = (Digest(value) if value else None for value in row[8:10])
    return Layer(DiffID(row[0]), row[1], row[2], row[3], row[4], blob, listing, row[11], recipe, row[10])
