"""A config becomes an image of this store, with its names, in one transaction: the last step of a build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from core.clock import parse_instant
from core.errors import InvalidInput, LamellaError, NotFound
from image.descriptor import Descriptor
from image.digest import Digest
from image.manifest import MAX_BYTES, Manifest
from image.media_types import OCI_CONFIG, OCI_LAYER
from store.events import note
from store.images import MAX_CONFIG_BYTES

if TYPE_CHECKING:
    from image.config import ImageConfig
    from image.manifest import Index
    from image.reference import Reference
    from store.images import Image
    from store.layers import Layer
    from store.store import Store


def publish(
    store: Store, config: ImageConfig, *, tags: Sequence[Reference], parent: Digest | None,
    annotations: Mapping[str, str] | None = None,
) -> Image:  # fmt: skip
    """The image of `config`, durable when this returns, and every one of `tags` pointing to it. Harmless to repeat.

    Its layers must be in the catalog and held by the caller. Order: blobs, layer directories, then the rows. An image
    that is there already keeps its manifest and its parent. With `annotations`, the tags point to a manifest of its own
    that has them. Raises NotFound where a layer is missing.
    """
    image = _publish(store, config, tags, parent, annotations)
    for reference in tags:
        note(store.root, "image", "tag", image.id, {**image.labels, "name": reference.tagged().familiar})
    return image


def _publish(
    store: Store, config: ImageConfig, tags: Sequence[Reference], parent: Digest | None,
    annotations: Mapping[str, str] | None,
) -> Image:  # fmt: skip
    if annotations:
        manifest, _ = keep(store, config, _manifest(store, config, annotations))
        store.sync_layers()
        with store.transaction():
            return enter(store, config, manifest, tags, parent, target=manifest)
    with store.transaction():  # what has a row is on the disk already: no need to wait for that again
        image = store.images.get(config.id)
        if image and _whole(store, image):
            return enter(store, config, image.manifest, tags, parent)
    manifest, _ = keep(store, config)
    store.sync_layers()
    with store.transaction():
        return enter(store, config, manifest, tags, parent)


def _whole(store: Store, image: Image) -> bool:
    """Whether the small blobs are what they should be: building again is the way to make them again."""
    try:
        return bool(store.blobs.read(image.id, MAX_CONFIG_BYTES) and store.blobs.read(image.manifest.digest, MAX_BYTES))
    except (LamellaError, OSError):
        return False


def keep(
    store: Store, config: ImageConfig, manifest: Manifest | None = None, index: Index | None = None
) -> tuple[Descriptor, Descriptor]:
    """The first half of `publish`: the blobs, of a `manifest` and `index` that came with the image or of one made here.

    Returns what describes the image and what its names point to.
    """
    raw = config.encode()
    if manifest is None:
        manifest = _manifest(store, config)
    for data in (raw, manifest.raw, *([index.raw] if index else ())):
        store.blobs.add(data)
    return manifest.descriptor, (index or manifest).descriptor


def _manifest(store: Store, config: ImageConfig, annotations: Mapping[str, str] | None = None) -> Manifest:
    raw = config.encode()
    layers = [Descriptor(OCI_LAYER, Digest(layer.diff_id), layer.size) for layer in _layers(store, config)]
    return Manifest.build(Descriptor(OCI_CONFIG, Digest.of(raw), len(raw)), layers, annotations=annotations)


def _layers(store: Store, config: ImageConfig) -> list[Layer]:
    found = store.layers.get_many(config.diff_ids)
    for diff_id in config.diff_ids:
        if diff_id not in found:
            raise NotFound(f"no such layer: {diff_id}", "build or pull the image again")
    return [found[diff_id] for diff_id in config.diff_ids]


def enter(
    store: Store, config: ImageConfig, manifest: Descriptor, tags: Sequence[Reference], parent: Digest | None,
    *, target: Descriptor | None = None,
) -> Image:  # fmt: skip
    """The second half, in the caller's transaction: the image, and its names, which point to `target` (else its manifest)."""
    from store.images import Image

    image = store.images.get(config.id)
    if image is None:
        size = sum(layer.size for layer in _layers(store, config)) + len(config.encode())
        image = Image(
            id=config.id, manifest=manifest, parent=parent if parent != config.id else None, created=_created(config),
            platform=config.platform, size=size, diff_ids=config.diff_ids, labels=dict(config.config.labels), last_used=None,
        )  # fmt: skip
        store.images.add(image)
    for reference in tags:
        store.tags.set(reference.tagged(), image.id, target if target and target != manifest else image.manifest)
    return image


def _created(config: ImageConfig) -> int:
    try:
        return parse_instant(config.created) if config.created else 0
    except InvalidInput:  # a stranger's config may say anything
        return 0
