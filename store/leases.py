"""Leases: what a living process is about to use is not collected. Rows say what, a held flock says that somebody still
lives: never a PID, never a time-out.

Looking something up and leasing it is one transaction (`store.transaction()`); then it stays until the lease ends.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from pathlib import Path
from types import TracebackType

from core.database import Database
from core.files import make_directories
from core.locks import FileLock, is_locked
from core.value import Value
from image.digest import DiffID, Digest
from store.catalog import needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class Held(Value):
    """`kind` is `blob`, `layer` or `image`, `value` its digest; or `directory`, which a good one has replaced under a
    holder of its layer (see `store.quarantine`)."""

    kind: str
    value: str


class Lease:
    """One holder. Usable from several threads; as a context manager it is released at the end."""

    def __init__(self, database: Database, path: Path) -> None:
        self.name = path.name
        self._database = database
        self._used = False
        self._lock = FileLock(path)
        try:
            self._lock.acquire()
        except FileNotFoundError:
            make_directories(path.parent, 0o700)
            self._lock.acquire()

    def hold_blob(self, digest: Digest) -> None:
        """Keep the blob, which may only be about to come. Harmless to repeat, as are the other two."""
        self._hold("SELECT 'blob', @value", digest)

    def hold_layer(self, diff_id: DiffID) -> None:
        """Keep the layer, its directory and its blob."""
        self._hold("SELECT 'layer', @value", diff_id)

    def hold_image(self, id: Digest) -> None:
        """Keep the image with its config, manifest and layers: prune passes it by, and what rmi takes stays readable."""
        self._hold(
            "SELECT 'image', @value UNION ALL SELECT 'blob', @value UNION ALL SELECT 'blob', manifest_digest FROM images WHERE id = @value"
            " UNION ALL SELECT 'layer', diff_id FROM image_layers WHERE image = @value",
            id,
        )

    def _hold(self, what: str, value: str) -> None:
        self._used = True
        with self._database.write(durable=False) as connection:
            connection.execute(
                f"INSERT OR IGNORE INTO leases SELECT *, @lease FROM ({what})", {"value": value, "lease": self.name}
            )

    def release(self) -> None:
        """Let go of everything. Harmless to repeat."""
        if self._used:
            forget(self._database, self.name)
            self._used = False
        self._lock.release(remove=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Leases:
    """All leases of one store."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._directory = root / "locks"
        self._guard = allocate_lock()
        self._session: Lease | None = None

    def take(self, kind: str) -> Lease:
        """A new lease; `kind` (such as `build` or `pull`) tells people who looks into `locks` what it is for."""
        return Lease(self._database, self._directory / f"{kind}-{os.urandom(8).hex()}")

    @property
    def session(self) -> Lease:
        """The lease of this process, from first use until `close`: it holds whatever the process writes or looks up."""
        with self._guard:
            if self._session is None:
                self._session = self.take("session")
            return self._session

    def live(self) -> set[Held]:
        """What living holders hold."""
        alive = {name for name in self._names() if is_locked(self._directory / name)}
        rows = self._database.read().execute("SELECT kind, value, lease FROM leases")
        return {Held(row[0], row[1]) for row in rows if row[2] in alive}

    def holds_image(self, id: Digest) -> bool:
        """Whether a living holder holds the image."""
        rows = self._database.read().execute("SELECT lease FROM leases WHERE kind = 'image' AND value = ?", (id,))
        return any(is_locked(self._directory / row[0]) for row in rows.fetchall())

    def sweep(self) -> None:
        """Remove the rows and lock files of dead holders; what they alone kept is noted for `collect`."""
        names = set(self._names()) | set(_files(self._directory))
        for name in names:
            path = self._directory / name
            if name.startswith(".") or is_locked(path):
                continue
            lock = FileLock(path)
            if lock.acquire(wait=False):
                forget(self._database, name)
                lock.release(remove=True)

    def _names(self) -> list[str]:
        return [row[0] for row in self._database.read().execute("SELECT DISTINCT lease FROM leases")]

    def close(self) -> None:
        """End this process's lease. Harmless to repeat."""
        with self._guard:
            if self._session is not None:
                self._session.release()
            self._session = None


def forget(database: Database, lease: str) -> None:
    """Remove the rows of `lease`, and note as garbage what nobody else needs."""
    with database.write(durable=False) as connection:
        rows = connection.execute("DELETE FROM leases WHERE lease = ? RETURNING kind, value", (lease,)).fetchall()
        for kind in ("blob", "layer"):
            connection.executemany(
                f"INSERT OR IGNORE INTO garbage SELECT '{kind}', @value WHERE NOT {needed(kind, '@value')}",
                [{"value": row[1]} for row in rows if row[0] == kind],
            )


def _files(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
