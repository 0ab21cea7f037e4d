"""Giving an image another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import InvalidInput
from image.reference import Reference
from images.resolve import resolve_named
from store.events import note

if TYPE_CHECKING:
    from image.descriptor import Descriptor
    from store.images import Image
    from store.store import Store


def tag(store: Store, source: str, target: str) -> Reference:
    """Let the name `target` (`latest` where it has no tag) mean what `source` means; returns it in full.

    An image that had the name before stays, and dangles if it had no other. Harmless to repeat; durable when this returns.
    Raises ImageNotFound, AmbiguousId, and InvalidInput for a malformed name or one with a digest.
    """
    reference = Reference.parse(target)
    if reference.digest:
        raise InvalidInput("refusing to create a tag with a digest reference", f"write {target.partition('@')[0]!r}")
    reference = reference.tagged()
    with store.transaction():
        image, named = resolve_named(store, source)
        store.tags.set(reference, image.id, _target(store, image, named))
    note(store.root, "image", "tag", image.id, {**image.labels, "name": reference.familiar})
    return reference


def _target(store: Store, image: Image, named: Reference | None) -> Descriptor:
    # A name that stands for an index (a pulled multi-platform image) hands the index on, not the one image below it.
    known = store.tags.get(named) if named and named.tag else None
    return known.target if known else image.manifest
