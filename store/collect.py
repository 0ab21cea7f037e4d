"""Freeing what nobody needs any more: rows first, in a transaction, then bytes.

Layers go in one transaction: from its commit on nobody can find them. Blobs go in a second one, moved aside while it holds
the catalog: whoever looks a blob up leases it first, so he comes before (and it stays) or after (and it is gone). Only then
are bytes removed, from a directory in `tmp` that this process keeps locked. Whatever a kill leaves, rows of `garbage` or
unlocked things in `tmp`, the next collect takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from core.files import write_file
from core.removal import remove
from core.value import Value, field
from image.digest import DiffID, Digest
from store.catalog import needed
from store.disk import disk_errors
from store.lent import lent_layers
from store.store import Store
from store.temporary import lock_directory

SWEPT = "swept"  # below the root: since when nothing can have been lost that a collect would not know of


class Collected(Value):
    """What was freed: `bytes` is what the disk gave back."""

    bytes: int
    layers: list[DiffID] = field(default_factory=list)
    blobs: list[Digest] = field(default_factory=list)


def collect(store: Store, *, full: bool | None = False) -> Collected:
    """Free layers, blobs, snapshots and temporary files that no image, tag, record, hold or living lease needs.

    Costs grow with what was removed since the last time; `full` looks at everything that is on the disk as well (as only a
    power loss makes necessary), None does so the first time after the machine was started or the disk mounted elsewhere.
    Harmless to repeat, and beside other processes; not inside a transaction.
    """
    assert not store.database.in_transaction(), "collect decides in transactions of its own"
    with disk_errors(store.root):
        trash = Trash(store.root)
        mark = _mark(store.root)
        if full is None:
            full = _read(store.root / SWEPT) != mark
        if full:
            _note_strays(store)
        layers = _forget_layers(store)
        blobs = _move_blobs(store, trash)
        _move_directories(store, trash)
        _move_snapshots(store, trash)
        _move_volumes(store, trash, full)
        freed = trash.empty() + _sweep_temporaries(store)
        if full:
            write_file(store.root / SWEPT, mark, sync=False)
        return Collected(freed, layers, blobs)


def _mark(root: Path) -> bytes:
    """What changes where a power loss may lie between then and now: the machine's start, the disk's device."""
    return _read(Path("/proc/sys/kernel/random/boot_id")).strip() + b" %d\n" % os.stat(root).st_dev


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


class Trash:
    """A locked directory in `tmp` that what is to be removed is moved into: by one rename each, so one taker wins."""

    def __init__(self, root: Path) -> None:
        from store.temporary import Temporaries

        self._fd, self.path = Temporaries(root).directory()
        self._count = 0

    def take(self, path: Path) -> bool:
        """Move the file or tree at `path` here; False where it is gone already."""
        try:
            os.rename(path, self.path / str(self._count))
        except FileNotFoundError:
            return False
        self._count += 1
        return True

    def empty(self) -> int:
        """Remove everything, and itself; returns the bytes that the disk gave back."""
        freed = sum(remove(self.path / str(number)) for number in range(self._count))
        remove(self.path)
        os.close(self._fd)
        return freed


def _forget_layers(store: Store) -> list[DiffID]:
    with store.transaction() as connection:
        store.leases.sweep()
        rows = connection.execute(
            f"SELECT diff_id FROM layers WHERE diff_id IN (SELECT value FROM garbage WHERE kind = 'layer'"
            f" AND NOT {needed('layer')})"
        ).fetchall()
        connection.executemany("DELETE FROM layers WHERE diff_id = ?", rows)
        connection.execute("DELETE FROM garbage WHERE kind = 'layer'")
    return [DiffID(row[0]) for row in rows]


def _move_blobs(store: Store, trash: Trash) -> list[Digest]:
    with store.transaction() as connection:
        rows = connection.execute(f"SELECT value FROM garbage WHERE kind = 'blob' AND NOT {needed('blob')}").fetchall()
        blobs = [digest for row in rows if trash.take(store.blobs.path(digest := Digest(row[0])))]
        connection.execute("DELETE FROM garbage WHERE kind = 'blob'")
    return blobs


def _move_directories(store: Store, trash: Trash) -> None:
    rows = (
        store.database.read()
        .execute(f"SELECT value FROM garbage WHERE kind = 'directory' AND NOT {needed('directory')}")
        .fetchall()
    )
    for (name,) in rows:
        trash.take(store.layer_path(name))
    if rows:
        with store.database.write(durable=False) as connection:
            connection.executemany("DELETE FROM garbage WHERE kind = 'directory' AND value = ?", rows)


def _move_snapshots(store: Store, trash: Trash) -> None:
    """A snapshot belongs to the process that has it locked, or to the hold with its key as ID."""
    for key in os.listdir(store.root / "snapshots"):
        path = store.root / "snapshots" / key
        fd = lock_directory(path, wait=False)
        if fd is None:
            continue
        try:
            held = store.database.read().execute("SELECT 1 FROM holds WHERE id = ?", (key,)).fetchone()
            if not held:
                trash.take(path)
        finally:
            os.close(fd)


def _move_volumes(store: Store, trash: Trash, full: bool) -> None:
    """Without a look at the module where no volume has ever been removed."""
    if full and (store.root / "volumes").is_dir():
        store.volumes.note_strays()
    if store.database.read().execute("SELECT 1 FROM garbage WHERE kind = 'volume'").fetchone():
        store.volumes.move_garbage(trash.take)


def _sweep_temporaries(store: Store) -> int:
    """Remove what dead processes left, with the layer directory that it stands for unless that has got its row."""
    freed = 0
    for _, path in store.temporaries.dead():
        if path.is_dir() and store.layers.by_directory(path.name) is None:
            freed += remove(store.layer_path(path.name))
        freed += remove(path)
    return freed


def _note_strays(store: Store) -> None:
    """Look at all there is on the disk: blobs that nobody needs, directories that have neither a row nor a claim."""
    _note(store, "blob", store.blobs.walk())
    layers = set(os.listdir(store.root / "layers")) - lent_layers(store.root)
    _note(store, "directory", [name for name in layers if not (store.temporaries.path / name).exists()])
    _note(store, "layer", [layer.diff_id for layer in store.layers.all()])


def _note(store: Store, kind: str, values: Iterable[str]) -> None:
    with store.database.write(durable=False) as connection:
        connection.executemany(
            f"INSERT OR IGNORE INTO garbage SELECT '{kind}', @value WHERE NOT {needed(kind, '@value')}",
            ({"value": value} for value in values),
        )
