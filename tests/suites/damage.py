"""Ways to damage a store, each as bad luck does it: behind the back of whoever keeps it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from image.digest import Digest
from image.reference import Reference
from store.images import Image
from store.layers import Layer
from store.store import Store

Damage = Callable[[Store, Image], object]


def spoil(path: Path) -> None:
    """Turn one bit over, and leave size and times as they are."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(before.st_mode | 0o200)
    path.write_bytes(data)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def bottom(store: Store, image: Image) -> Layer:
    """The image's lowest layer."""
    layer = store.layers.get(image.diff_ids[0])
    assert layer
    return layer


def directory(store: Store, image: Image) -> Path:
    return store.layer_path(bottom(store, image).directory)


def some_file(store: Store, image: Image) -> Path:
    return next(path for path in sorted(directory(store, image).rglob("*")) if path.is_file() and path.stat().st_size)


def kept_blob(store: Store, image: Image) -> Path:
    blob = bottom(store, image).blob
    assert blob
    return store.blobs.path(blob.digest)


def behind_its_back(store: Store, statement: str, *values: str) -> None:
    """Change the catalog as nobody may: without foreign keys, and without the triggers that would note it."""
    connection = sqlite3.connect(store.root / "catalog.db", isolation_level=None)
    connection.execute("PRAGMA foreign_keys=OFF")
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement, values)
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def lose_listing(store: Store, image: Image) -> None:
    listing = bottom(store, image).listing
    assert listing
    store.blobs.path(listing).unlink()


def lose_directory_and_blob(store: Store, image: Image) -> None:
    kept_blob(store, image).unlink()
    shutil.rmtree(directory(store, image))


def lose_layer_row(store: Store, image: Image) -> None:
    behind_its_back(store, "DELETE FROM layers WHERE diff_id = ?", image.diff_ids[0])


def lose_layer_row_and_blob(store: Store, image: Image) -> None:
    kept_blob(store, image).unlink()
    lose_layer_row(store, image)


def lose_everything(store: Store, image: Image) -> None:
    for name in ("blobs", "layers"):
        shutil.rmtree(store.root / name)
        (store.root / name).mkdir(0o700)


# For any image
DAMAGES: dict[str, Damage] = {
    "a flipped bit in a file": lambda s, i: spoil(some_file(s, i)),
    "a missing directory": lambda s, i: shutil.rmtree(directory(s, i)),
    "a missing file": lambda s, i: some_file(s, i).unlink(),
    "a changed mode": lambda s, i: some_file(s, i).chmod(0o7777),
    "a missing config": lambda s, i: s.blobs.path(i.id).unlink(),
    "a changed config": lambda s, i: spoil(s.blobs.path(i.id)),
    "a missing manifest": lambda s, i: s.blobs.path(i.manifest.digest).unlink(),
    "a changed manifest": lambda s, i: spoil(s.blobs.path(i.manifest.digest)),
    "a lost layer row": lose_layer_row,
    "a lost image row": lambda s, i: behind_its_back(s, "DELETE FROM images WHERE id = ?", i.id),
    "a wrong number of tags": lambda s, i: behind_its_back(s, "UPDATE images SET tags = 7 WHERE id = ?", i.id),
    "a tag that points to a manifest that is not here": lambda s, i: behind_its_back(
        s, "UPDATE tags SET target_digest = ? WHERE image = ?", Digest.of(b"lost"), i.id
    ),
    "every file gone": lose_everything,
}
# For an image that was pulled, whose layers have a kept blob and a listing
PULLED: dict[str, Damage] = {
    "a truncated blob": lambda s, i: truncate(kept_blob(s, i)),
    "a flipped bit in a blob": lambda s, i: spoil(kept_blob(s, i)),
    "a missing blob": lambda s, i: kept_blob(s, i).unlink(),
    "a missing listing": lose_listing,
    "directory and blob missing": lose_directory_and_blob,
    "layer row and blob lost": lose_layer_row_and_blob,
}


def found(store: Store, name: str) -> Image:
    """The image that is called `name`."""
    tag = store.tags.get(Reference.parse(name).tagged())
    assert tag
    image = store.images.get(tag.image)
    assert image
    return image
