"""How an image came to be, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.clock import parse_instant
from core.errors import Integrity, InvalidInput
from core.value import Value
from image.digest import Digest
from image.reference import Reference

if TYPE_CHECKING:
    from image.config import ImageConfig
    from store.images import Image
    from store.store import Store


class Entry(Value):
    """One step. `image` is what it resulted in, where that is known here. `created` is in nanoseconds since the epoch;
    `size` the bytes of its layer's tar."""

    image: Digest | None
    created: int
    created_by: str
    size: int
    comment: str
    tags: tuple[Reference, ...] = ()


def history(store: Store, image: Image) -> list[Entry]:
    """The steps, newest first. Raises Integrity where the config contradicts itself or is damaged."""
    config = store.images.config(image.id)
    sizes = _sizes(store, image, config)
    owners = _owners(store, image, len(config.history))
    entries = [
        Entry(
            owner, _instant(step.created), step.created_by, size, step.comment,
            tuple(tag.reference for tag in store.tags.of_image(owner)) if owner else (),
        )
        for step, size, owner in zip(config.history, sizes, owners, strict=True)
    ]  # fmt: skip
    return entries[::-1]


def _sizes(store: Store, image: Image, config: ImageConfig) -> list[int]:
    known = store.layers.get_many(config.diff_ids)
    rest = list(config.diff_ids)
    sizes = []
    for step in config.history:
        if step.empty_layer:
            sizes.append(0)
        elif rest:
            layer = known.get(rest.pop(0))
            sizes.append(layer.size if layer else 0)
        else:
            raise Integrity(f"the history of image {image.id.short} names more layers than the image has", "rebuild it")
    return sizes


def _owners(store: Store, image: Image, length: int) -> list[Digest | None]:
    """For each step, oldest first, the image that ends with it: the image itself, and its parents as far as they are here."""
    owners: list[Digest | None] = [None] * length
    current: Image | None = image
    while current and length > 0:
        owners[length - 1] = current.id
        current = store.images.get(current.parent) if current.parent else None
        length = min(len(store.images.config(current.id).history), length - 1) if current else 0
    return owners


def _instant(text: str) -> int:
    try:
        return parse_instant(text) if text else 0
    except InvalidInput:
        return 0
