"""Reading everything that the store needs, and saying what is damaged and who suffers.

What a crash leaves behind is no damage: it is counted, and noted for the next prune. So that an image removed meanwhile
is no damage either, whatever looks wrong is asked for again before it is reported. A layer that is damaged goes into
quarantine; one that is there and turns out to be whole is let go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from core.errors import InvalidInput, LamellaError
from core.progress import Progress, Silent
from core.value import Value
from image.digest import DiffID, Digest
from image.manifest import Manifest, parse_any
from images.damage import Damage, catalog_damages, volume_damages
from store.blobs import CHUNK_BYTES
from store.images import MAX_CONFIG_BYTES
from store.lent import lent_layers

if TYPE_CHECKING:
    from store.images import Image
    from store.layers import Layer
    from store.store import Store

Verify = Callable[["Layer"], object]


class Report(Value):
    """How much was looked at, what is damaged, and how many things the next prune will take."""

    images: int
    layers: int
    blobs: int
    damages: list[Damage]
    leftovers: int


def fsck(
    store: Store, verify: Verify, progress: Progress | None = None, *, only: Collection[str] | None = None
) -> Report:
    """Read all that images, tags, containers and the build cache need. `verify` reads one layer and raises Integrity; with
    `only`, no layers but these are read.

    Changes nothing but what is in quarantine and the list of what the next prune takes; harmless to repeat, and beside
    other processes.
    """
    check = _Check(store, verify, progress or Silent())
    damages = [
        *catalog_damages(store),
        *volume_damages(store),
        *check.small_blobs(),
        *check.images(),
        *check.layers(only),
    ]
    return Report(check.seen["image"], check.seen["layer"], check.seen["blob"], damages, leftovers(store))


class _Check:
    def __init__(self, store: Store, verify: Verify, progress: Progress) -> None:
        self._store = store
        self._verify = verify
        self._progress = progress
        self.seen = {"image": 0, "layer": 0, "blob": 0}

    def small_blobs(self) -> Iterator[Damage]:
        """Configs and manifests, with what each has to say."""
        for image in list(self._store.images.all()):
            self.seen["image"] += 1
            yield from self._blob("config", image.id, self._config(image), image.id)
            yield from self._blob("manifest", image.manifest.digest, self._manifest(image), image.id)
        for tag in list(self._store.tags.all()):
            tagged = self._store.images.get(tag.image)
            if tagged and tag.target.digest != tagged.manifest.digest:
                yield from self._blob("manifest", tag.target.digest, parse_any, tag.reference.familiar)
        for hold in list(self._store.holds.all()):
            if self._store.images.get(hold.image) is None:
                yield from self._blob("config", hold.image, len, f"{hold.kind} {hold.name or hold.id[:12]}")

    def _blob(
        self, kind: str, digest: Digest, parse: Callable[[bytes], object], user: Digest | str
    ) -> Iterator[Damage]:
        self.seen["blob"] += 1
        try:
            parse(self._store.blobs.read(digest, MAX_CONFIG_BYTES))
        except (LamellaError, OSError) as error:
            if needed(self._store, "blob", digest):
                name = self._name(user) if isinstance(user, Digest) else user
                yield Damage(kind, digest, _reason(error), (name,))

    def _config(self, image: Image) -> Callable[[bytes], object]:
        from image.config import ImageConfig

        def parse(raw: bytes) -> None:
            if ImageConfig.parse(raw).diff_ids != image.diff_ids:
                raise InvalidInput("its layers are not those that the catalog has for the image")

        return parse

    def _manifest(self, image: Image) -> Callable[[bytes], object]:
        def parse(raw: bytes) -> None:
            manifest = parse_any(raw, image.manifest.media_type)
            if not isinstance(manifest, Manifest) or manifest.config.digest != image.id:
                raise InvalidInput("it is not the manifest of this image")
            if len(manifest.layers) != len(image.diff_ids):
                raise InvalidInput(f"it has {len(manifest.layers)} layers, the config {len(image.diff_ids)}")

        return parse

    def images(self) -> Iterator[Damage]:
        """That every image has its layers in the catalog."""
        for image in list(self._store.images.all()):
            known = self._store.layers.get_many(image.diff_ids)
            for diff_id in dict.fromkeys(image.diff_ids):
                if diff_id not in known and self._store.images.get(image.id):
                    yield Damage("layer", diff_id, "it is not in the catalog", (self._name(image.id),))

    def layers(self, only: Collection[str] | None) -> Iterator[Damage]:
        """Every layer's directory and blob, read to the end."""
        known = [layer for layer in self._store.layers.all() if only is None or layer.diff_id in only]
        task = self._progress.task("checking layers", sum(layer.size for layer in known))
        for layer in known:
            self.seen["layer"] += 1
            try:
                self._verify(layer)
                self._kept_blob(layer)
                self._store.quarantine.lift(layer)
            except (LamellaError, OSError) as error:
                self._store.quarantine.add(layer, getattr(error, "why", _reason(error)))
                if needed(self._store, "layer", layer.diff_id):
                    yield Damage("layer", layer.diff_id, _reason(error), self._users(layer.diff_id))
            task.advance(layer.size)
        task.finish()

    def _kept_blob(self, layer: Layer) -> None:
        """A packed layer may have a compressed form lying here as well; a foreign one's is read by `verify`."""
        if layer.origin != "packed" or layer.blob is None or self._store.blobs.stat(layer.blob.digest) is None:
            return
        self.seen["blob"] += 1
        with self._store.blobs.open(layer.blob.digest) as file:
            while file.read(CHUNK_BYTES):
                pass

    def _users(self, diff_id: DiffID) -> tuple[str, ...]:
        images = [self._name(id) for id in self._store.images.using(diff_id)]
        holders = [f"{hold.kind} {hold.name or hold.id[:12]}" for hold in self._store.holds.of_layer(diff_id)]
        return (*images, *holders, *(("the build cache",) if self._store.records.of_layer(diff_id) else ()))

    def _name(self, id: Digest) -> str:
        return name_of(self._store, id)


def name_of(store: Store, id: Digest) -> str:
    """What people call the image."""
    tags = store.tags.of_image(id)
    return tags[0].reference.familiar if tags else f"untagged image {id.short}"


def _reason(error: LamellaError | OSError) -> str:
    return error.message if isinstance(error, LamellaError) else f"{error.filename}: {error.strerror}"


def needed(store: Store, kind: str, value: str) -> bool:
    """Whether the catalog has a user for the blob, layer or directory (by the catalog's own definition)."""
    from store import catalog

    return bool(
        store.database.read().execute(f"SELECT {catalog.needed(kind, '@value')}", {"value": value}).fetchone()[0]
    )


def leftovers(store: Store) -> int:
    """How many blobs, layer directories and temporary things nobody needs; they are noted for the next `collect`."""
    with store.transaction():
        store.leases.sweep()
    strays: set[tuple[str, str]] = {
        ("blob", digest) for digest in store.blobs.walk() if not needed(store, "blob", digest)
    }
    for name in set(os.listdir(store.root / "layers")) - lent_layers(store.root):
        if not needed(store, "directory", name) and not (store.temporaries.path / name).exists():
            strays.add(("directory", name))
    strays |= {("layer", layer.diff_id) for layer in store.layers.all() if not needed(store, "layer", layer.diff_id)}
    with store.database.write(durable=False) as connection:
        connection.executemany("INSERT OR IGNORE INTO garbage VALUES (?, ?)", sorted(strays))
    return len(strays) + sum(1 for _ in store.temporaries.dead())
