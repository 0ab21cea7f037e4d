"""The build cache: which step, on which inputs, gave which layer. What a record says is the builder's business."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from core import sqlite
from core.database import Database
from core.errors import NotFound
from core.value import Value
from image.digest import DiffID


class Record(Value):
    """`key` is the hex sha256 of a step and its inputs, `value` JSON that the builder owns; a record keeps its layer alive.
    `created` and `last_used` are nanoseconds since the epoch."""

    key: str
    diff_id: DiffID | None
    value: bytes
    created: int
    last_used: int
    uses: int = 0


class Records:
    """Every lookup is one look into an index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Record | None:
        """The record, or None; does not count as a use. To rely on its layer, lease that in the same transaction."""
        row = self._database.read().execute("SELECT * FROM records WHERE key = ?", (key,)).fetchone()
        return _record(row) if row else None

    def add(self, record: Record) -> None:
        """Write the record down in place of one with the same key. Raises NotFound where its layer is not in the store."""
        values = (record.key, record.diff_id, record.value, record.created, record.last_used, record.uses)
        with self._database.write() as connection:
            connection.execute("DELETE FROM records WHERE key = ?", (record.key,))
            try:
                connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", values)
            except sqlite.IntegrityError as error:
                raise NotFound(f"layer {record.diff_id} is not in the store", "build again") from error

    def touch(self, keys: Iterable[str]) -> None:
        """Count one more use, now, of each record; no loss if a power cut forgets it."""
        now = time.time_ns()
        with self._database.write(durable=False) as connection:
            connection.executemany(
                "UPDATE records SET last_used = ?, uses = uses + 1 WHERE key = ?", [(now, key) for key in keys]
            )

    def delete(self, key: str) -> bool:
        """Forget the record; False where there was none. `collect` frees a layer that it alone kept."""
        with self._database.write() as connection:
            return connection.execute("DELETE FROM records WHERE key = ?", (key,)).rowcount > 0

    def of_layer(self, diff_id: DiffID) -> list[Record]:
        """The records that keep the layer."""
        return list(map(_record, self._database.read().execute("SELECT * FROM records WHERE diff_id = ?", (diff_id,))))

    def all(self) -> Iterator[Record]:
        """Every record, by key."""
        for row in self._database.read().execute("SELECT * FROM records ORDER BY key"):
            yield _record(row)


def _record(row: sqlite.Row) -> Record:
    return Record(row[0], DiffID(row[1]) if row[1] else None, bytes(row[2]), row[3], row[4], row[5])
