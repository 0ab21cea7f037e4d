"""A config becomes an image of this store, with its names, in one transaction: the last step of a build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.clock import parse_instant
from core.errors import NotFound
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.manifest import Manifest
from image.media_types import OCI_CONFIG, OCI_LAYER

if TYPE_CHECKING:
    from image.config import ImageConfig
    from image.reference import Reference
    from store.images import Image
    from store.store import Store


def publish(store: Store, config: ImageConfig, *, tags: Sequence[Reference], parent: Digest | None) -> Image:
    """The image of `config`, durable when this returns, and every one of `tags` pointing to it. Harmless to repeat.

    Its layers must be in the catalog and held by the caller. Order: blobs, layer directories, then the rows. An image
    that is there already keeps its manifest and its parent. Raises NotFound where a layer is missing.
    """
    raw = config.encode()
    layers = [_layer(store, diff_id) for diff_id in config.diff_ids]
    manifest = Manifest.build(Descriptor(OCI_CONFIG, Digest.of(raw), len(raw)), layers)
    for data in (raw, manifest.raw):
        store.blobs.add(data)
    store.sync_layers()
    with store.transaction():
        return _enter(store, config, manifest.descriptor, sum(d.size for d in layers) + len(raw), tags, parent)


def _layer(store: Store, diff_id: DiffID) -> Descriptor:
    layer = store.layers.get(diff_id)
    if layer is None:
        raise NotFound(f"no such layer: {diff_id}", "build or pull the image again")
    return Descriptor(OCI_LAYER, Digest(diff_id), layer.size)


def _enter(
    store: Store, config: ImageConfig, manifest: Descriptor, size: int, tags: Sequence[Reference], parent: Digest | None
) -> Image:
    from store.images import Image

    image = store.images.get(config.id)
    if image is None:
        created = parse_instant(config.created) if config.created else 0
        image = Image(
            id=config.id, manifest=manifest, parent=parent if parent != config.id else None, created=created,
            platform=config.platform, size=size, diff_ids=config.diff_ids, labels=dict(config.config.labels), last_used=None,
        )  # fmt: skip
        store.images.add(image)
    for reference in tags:
        store.tags.set(reference.tagged(), image.id, image.manifest)
    return image
