"""Images from an archive into the store: all of them, in one transaction, or nothing.

Order (docs/design.md "Order of writes"): layers and blobs, each durable by itself; one sync; then every image with its names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from core.errors import LamellaError
from core.progress import Progress, Silent
from core.value import Value
from image.digest import DiffID, Digest
from image.platform import Platform
from image.reference import Reference
from images import docker_archive, layout, legacy
from images.candidate import Candidate
from images.publish import enter, keep
from images.shelf import BadArchive, Shelf, blob_name
from store.events import note

if TYPE_CHECKING:
    from pathlib import Path

    from image.descriptor import Descriptor
    from layer.pipeline import Readable
    from snapshot.layers import Layers
    from store.layers import Layer
    from store.store import Store


class Loaded(Value):
    """Something that happened: `tagged` an image has got `name`, `untagged` it came without one, `moved` it took `name` away
    from this image."""

    kind: Literal["tagged", "untagged", "moved"]
    image: Digest
    name: Reference | None = None


def load(
    store: Store,
    layers: Layers,
    source: Path | Readable,
    *,
    platform: Platform | None = None,
    progress: Progress | None = None,
) -> list[Loaded]:
    """Every image of the archive at `source` (a file, a layout's directory, or a stream, compressed or not), and its names.

    Durable when this returns; harmless to repeat; where it raises, nothing has changed and nothing is left. Raises
    BadArchive, Integrity, NotFound where nothing is for `platform`, Unavailable.
    """
    from images.opening import opened

    with store.leases.take("load"):
        try:
            with opened(source, store, layers, progress or Silent()) as shelf:
                return Loading(store, layers, shelf).run(candidates(shelf, platform, layers))
        except BaseException:
            layers.abandon()
            tidy(store)
            raise


def tidy(store: Store) -> None:
    """Free what came before the failure: nobody else holds it."""
    import contextlib

    from store.collect import collect

    with contextlib.suppress(LamellaError):
        store.leases.close()
        collect(store)


def candidates(shelf: Shelf, platform: Platform | None, layers: Layers | None = None) -> list[Candidate]:
    """What the archive holds, in whichever form it says so: manifest.json counts before an OCI layout, that before Docker's
    oldest form. Raises BadArchive."""
    names = shelf.names()
    if docker_archive.MANIFEST in names:
        found = docker_archive.candidates(shelf, platform)
    elif layout.INDEX in names:
        found = layout.candidates(shelf, platform)
    elif legacy.REPOSITORIES in names or any(name.endswith("/layer.tar") for name in names):
        found = legacy.candidates(shelf, lambda file: shelf.receive(file, DiffID("")).diff_id)
    else:
        raise BadArchive("this is no image archive", "it has no manifest.json, index.json or repositories in it")
    if not found:
        raise BadArchive("there is no image in the archive")
    return found


class Loading:
    """One archive's way into the store."""

    def __init__(self, store: Store, layers: Layers, shelf: Shelf) -> None:
        self._store = store
        self._layers = layers
        self._shelf = shelf
        self._done: dict[DiffID, Layer] = {}

    def run(self, found: Sequence[Candidate]) -> list[Loaded]:
        for candidate in found:
            self._receive(candidate)
        self._layers.enter()
        kept = [keep(self._store, one.config, one.manifest, one.index) for one in found]
        self._store.sync_layers()
        events: list[Loaded] = []
        with self._store.transaction():
            here = {one.config.id for one in found}
            for candidate, (manifest, target) in zip(found, kept, strict=True):
                events += self._publish(candidate, manifest, target, here)
        for id in here:
            note(self._store.root, "image", "load", id, {"name": id})
        return list(dict.fromkeys(events))

    def _receive(self, candidate: Candidate) -> None:
        blobs = candidate.manifest.layers if candidate.manifest else ()
        named = {blob_name(blob.digest): blob.digest for blob in blobs}
        for number, (file, diff_id) in enumerate(zip(candidate.files, candidate.config.diff_ids, strict=True)):
            if diff_id in self._done:
                continue
            layer = self._shelf.receive(file, diff_id, named.get(file))
            if layer.diff_id != diff_id:
                raise BadArchive(
                    f'invalid diffID for layer {number}: expected "{diff_id}", got "{layer.diff_id}"',
                    "the archive is damaged or was tampered with",
                )
            self._done[diff_id] = layer

    def _publish(
        self, candidate: Candidate, manifest: Descriptor, target: Descriptor, here: set[Digest]
    ) -> list[Loaded]:
        store = self._store
        events = []
        parent = (
            candidate.parent
            if candidate.parent in here or (candidate.parent and store.images.get(candidate.parent))
            else None
        )
        for name in candidate.names:
            before = store.tags.get(name)
            if before and before.image != candidate.config.id:
                events.append(Loaded("moved", before.image, name))
            events.append(Loaded("tagged", candidate.config.id, name))
        image = enter(store, candidate.config, manifest, candidate.names, parent, target=target)
        return events or [Loaded("untagged", image.id)]
