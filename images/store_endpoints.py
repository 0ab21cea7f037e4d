"""Endpoints on the local store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from core.errors import NotFound, Unsupported
from image.config import ImageConfig
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.manifest import MAX_BYTES, Manifest, parse_any
from image.media_types import CONFIGS, OCI_CONFIG, OCI_LAYER
from images.incoming import bring_in
from images.layout_endpoints import ReadOnly, WriteOnly
from images.publish import enter, keep
from images.shelf import BadArchive, Content
from layer.handover import Pieces
from layer.pipeline import Readable
from store.blobs import BlobDamaged
from store.images import MAX_CONFIG_BYTES

if TYPE_CHECKING:
    from image.reference import Reference
    from snapshot.layers import Layers
    from store.images import Image
    from store.layers import Layer
    from store.store import Store


class StoreSource(ReadOnly):
    """An image of the store, which the caller holds. Layers that were built here are uncompressed tars, made while they are
    read; all else is as it came. `target` is what the name points to, for copying every platform of it."""

    def __init__(self, store: Store, layers: Layers, image: Image, target: Descriptor | None = None) -> None:
        self._store = store
        self._layers = layers
        self._image = image
        self._target = target
        self._made: dict[Digest, bytes] = {}

    def resolve(self) -> tuple[Descriptor, bytes]:
        self._store.layers.refuse_image(self._image.id)
        if self._target:
            return self._target, self.fetch(self._target)
        manifest = self._manifest()
        return manifest.descriptor, manifest.raw

    def fetch(self, wanted: Descriptor) -> bytes:
        if self._store.blobs.stat(wanted.digest) is None:
            raise NotFound(
                f"{wanted.platform or 'a part'} of {self._image.id.short} is not here",
                "pull it first, or copy without --all",
            )
        return self._store.blobs.read(wanted.digest, MAX_BYTES)

    def _manifest(self) -> Manifest:
        """The image's own manifest where all of its blobs can be had, else one of what there is."""
        own = parse_any(self._store.blobs.read(self._image.manifest.digest, MAX_BYTES))
        if isinstance(own, Manifest) and all(self._has(blob) for blob in own.layers):
            return own
        config = self._store.blobs.read(self._image.id, MAX_CONFIG_BYTES)
        blobs = [self._form(diff_id) for diff_id in self._image.diff_ids]
        return Manifest.build(Descriptor(OCI_CONFIG, self._image.id, len(config)), blobs)

    def _has(self, blob: Descriptor) -> bool:
        return (
            self._store.blobs.stat(blob.digest) == blob.size or self._store.layers.get(DiffID(blob.digest)) is not None
        )

    def _form(self, diff_id: DiffID) -> Descriptor:
        layer = self._store.layers.get(diff_id)
        if layer is None:
            raise NotFound(f"layer {diff_id.short} of image {self._image.id.short} is missing", "run `lamella fsck`")
        return layer.blob or Descriptor(OCI_LAYER, Digest(diff_id), layer.size)

    def open(self, blob: Descriptor) -> AbstractContextManager[Readable]:
        if self._store.blobs.stat(blob.digest) is not None:
            return self._kept(blob)
        layer = self._store.layers.get(DiffID(blob.digest))
        if layer is None:
            raise NotFound(f"blob {blob.digest} of image {self._image.id.short} is missing", "run `lamella fsck`")
        return piped(lambda write: self._layers.write_tar(layer, write, hashed=False))

    @contextmanager
    def _kept(self, blob: Descriptor) -> Iterator[Readable]:
        try:
            with self._store.blobs.open(blob.digest) as file:
                yield file
        except BlobDamaged as error:
            if error.digest == blob.digest:
                self._store.quarantine.add_blob(blob.digest, error.message)
            raise


@contextmanager
def piped(produce: Callable[[Callable[[bytes | memoryview], object]], object]) -> Iterator[Readable]:
    """What `produce` writes, as something to read: it runs in a thread, at most a few pieces ahead."""
    pieces = Pieces()

    def write(data: bytes | memoryview) -> None:
        if data:
            if not pieces.wait_for_room():
                raise _Stopped
            pieces.put(data)

    def run() -> None:
        try:
            produce(write)
            pieces.put(b"")
        except BaseException as error:
            pieces.put(error)

    thread = threading.Thread(target=run, name="pack", daemon=True)
    thread.start()
    try:
        yield pieces
    finally:
        pieces.stop()
        thread.join()


class _Stopped(Exception):
    """Nobody reads any more."""


class StoreDestination(WriteOnly):
    """The store, where the image gets `names`. `stored` holds what came; nobody sees it before `publish`."""

    def __init__(self, store: Store, layers: Layers, names: Sequence[Reference]) -> None:
        self._store = store
        self._layers = layers
        self._names = names
        self._layer_of: dict[Digest, Layer] = {}
        self.image: Image | None = None

    def stat(self, blob: Descriptor) -> bool:
        if blob.media_type in CONFIGS:
            self._store.leases.session.hold_blob(blob.digest)
            return self._store.blobs.stat(blob.digest) == blob.size
        known = self._store.layers.by_blob(blob.digest) or DiffID(blob.digest)
        layer = self._layers.find(known)
        if layer:
            self._layer_of[blob.digest] = layer
        return layer is not None

    def write(self, blob: Descriptor, content: Content) -> None:
        if blob.media_type in CONFIGS:
            if blob.size > MAX_CONFIG_BYTES:
                raise BadArchive(f"a config of {blob.size} bytes makes no sense")
            with content() as stream:
                self._store.blobs.add(b"".join(iter(lambda: stream.read(1 << 20), b"")))
            return
        with content() as stream:
            layer = bring_in(self._store, self._layers, stream, expected=blob.digest)
            self._layer_of[blob.digest] = layer

    def publish(self, manifest: Descriptor, raw: bytes, *, top: bool) -> None:
        found = parse_any(raw, manifest.media_type)
        if not isinstance(found, Manifest) or found.config.media_type not in CONFIGS:
            raise Unsupported("the store takes one container image", "copy without --all, or into an OCI layout")
        config = ImageConfig.parse(self._store.blobs.read(found.config.digest, MAX_CONFIG_BYTES))
        stack = [self._layer_of.get(blob.digest) for blob in found.layers]
        if [layer.diff_id if layer else None for layer in stack] != list(config.diff_ids):
            raise BadArchive(
                "the image's layers are not those that its config names", "it is broken or was tampered with"
            )
        self._layers.enter()
        described, target = keep(self._store, config, found)
        self._store.sync_layers()
        with self._store.transaction():
            self.image = enter(self._store, config, described, self._names, None, target=target)
