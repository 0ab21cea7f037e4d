"""Who uses an image beyond its names: containers, builds, mounts. A hold keeps the image's layers and config, even where the
image itself is removed by force."""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.database import Database
from core.value import Value
from image.digest import DiffID, Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

HoldKind: TypeAlias = 'Literal["container", "build", "mount", "mounted"]'


class Hold(Value):
    """`id` is the holder's own, also the key of its snapshot if it has one; `name` is what people call it. `mounted` is an
    image that a container has mounted: it goes with the container's hold."""

    kind: HoldKind
    id: str
    name: str
    image: Digest
    running: bool


class Holds:
    """Every lookup is one look into an index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, hold: Hold) -> None:
        """Write the hold down in place of one with the same kind and ID (also to change `running`), and keep the image's
        layers with it: the image was used now. Set it in the transaction that looked the image up."""
        values = (hold.kind, hold.id, hold.name, hold.image, int(hold.running))
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO holds VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET name = excluded.name,"
                " image = excluded.image, running = excluded.running",
                values,
            )
            connection.execute(
                "INSERT OR IGNORE INTO hold_layers SELECT diff_id, ?, ? FROM image_layers WHERE image = ?",
                (hold.kind, hold.id, hold.image),
            )
            connection.execute("UPDATE images SET last_used = ? WHERE id = ?", (time.time_ns(), hold.image))

    def keep(self, kind: HoldKind, id: str, diff_id: DiffID) -> None:
        """Let the hold keep a layer more, which is none of its image's. Harmless to repeat."""
        with self._database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO hold_layers VALUES (?, ?, ?)", (diff_id, kind, id))

    def release(self, kind: HoldKind, id: str, diff_id: DiffID) -> None:
        """Undo `keep`. Harmless to repeat."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM hold_layers WHERE diff_id = ? AND kind = ? AND id = ?", (diff_id, kind, id))

    def delete(self, kind: HoldKind, id: str) -> bool:
        """Let go; False where there was no such hold. `collect` frees what it alone kept."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM hold_layers WHERE kind = ? AND id = ?", (kind, id))
            return connection.execute("DELETE FROM holds WHERE kind = ? AND id = ?", (kind, id)).rowcount > 0

    def of_image(self, image: Digest) -> list[Hold]:
        """Who holds the image."""
        return list(self._select("WHERE image = ? ORDER BY kind, id", (image,)))

    def of_layer(self, diff_id: DiffID) -> list[Hold]:
        """Who keeps the layer other than by an image that has it: the container that has written it, or that runs on what is
        left of an image removed by force."""
        keeps = "EXISTS (SELECT 1 FROM hold_layers AS own WHERE own.diff_id = ? AND own.kind = holds.kind AND own.id = holds.id)"
        listed = "SELECT 1 FROM image_layers AS its WHERE its.diff_id = ? AND its.image = holds.image"
        return list(self._select(f"WHERE {keeps} AND NOT EXISTS ({listed}) ORDER BY kind, id", (diff_id, diff_id)))

    def all(self) -> Iterator[Hold]:
        """Every hold, by kind and ID."""
        return self._select("ORDER BY kind, id", ())

    def _select(self, rest: str, values: tuple[object, ...]) -> Iterator[Hold]:
        for row in self._database.read().execute(f"SELECT kind, id, name, image, running FROM holds {rest}", values):
            yield Hold(row[0], row[1], row[2], Digest(row[3]), bool(row[4]))
