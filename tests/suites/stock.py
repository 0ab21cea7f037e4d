"""Filling a store with images that are whole, though small: real blobs, real layer directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from image.config import ContainerConfig, ImageConfig
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.manifest import Manifest
from image.media_types import OCI_CONFIG, OCI_LAYER
from image.platform import Platform
from image.reference import Reference
from store.images import Image
from store.layers import Layer
from store.store import Store
from store.temporary import short_name

PLATFORM = Platform("linux", "amd64")


def add_layer(store: Store, content: str, *, blob: Descriptor | None = None) -> Layer:
    """A layer with one file that says `content`, under a DiffID that only looks real."""
    diff_id = DiffID.of(content.encode())
    known = store.layers.get(diff_id)
    if known:
        return known
    directory = store.layer_path(short_name())
    directory.mkdir()
    (directory / "file").write_text(content * 100)
    origin = "foreign" if blob else "packed"
    return store.layers.add(Layer(diff_id, directory.name, len(content), origin, 1, blob))  # type: ignore[arg-type]


def add_image(
    store: Store,
    name: str,
    *,
    layers: Sequence[str] | None = None,
    parent: Digest | None = None,
    created: int = 0,
    tags: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Image:
    """An image whose config is unlike any other's by `name`; on layers with the contents `layers`, one by default."""
    stack = [add_layer(store, content) for content in ([name] if layers is None else layers)]
    container = ContainerConfig(labels={"name": name, **(labels or {})})
    config = ImageConfig(PLATFORM, container, tuple(layer.diff_id for layer in stack))
    raw = config.encode()
    manifest = Manifest.build(
        Descriptor(OCI_CONFIG, Digest.of(raw), len(raw)),
        [Descriptor(OCI_LAYER, Digest(layer.diff_id), layer.size) for layer in stack],
    )
    image = Image(
        store.blobs.add(raw), Descriptor(manifest.media_type, store.blobs.add(manifest.raw), len(manifest.raw)), parent, created,
        PLATFORM, sum(layer.size for layer in stack) + len(raw), config.diff_ids, container.labels,
    )  # fmt: skip
    with store.transaction():
        store.images.add(image)
        for tag in tags:
            store.tags.set(Reference.parse(tag).tagged(), image.id, image.manifest)
    return image
