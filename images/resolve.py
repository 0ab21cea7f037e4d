"""From what a user types to an image: a full ID, a name, or the beginning of an ID, tried in that order as Docker does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from core.errors import Conflict, InvalidInput, NotFound
from image.digest import Digest
from image.reference import Reference

if TYPE_CHECKING:
    from store.images import Image
    from store.store import Store

_FULL_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_SHORT_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


class ImageNotFound(NotFound):
    """No image has this name or ID."""

    def __init__(self, text: str) -> None:
        super().__init__(f"no such image: {text}", "`lamella images` lists what is here; `lamella pull` fetches more")
        self.text = text


class AmbiguousId(Conflict):
    """Several images' IDs begin with this."""

    def __init__(self, text: str) -> None:
        super().__init__(f"several images have an ID that begins with {text}", "give more digits of the ID")


def resolve(store: Store, text: str) -> Image:
    """The image that `text` means. Raises ImageNotFound, AmbiguousId, and InvalidInput for what can be no name."""
    return resolve_named(store, text)[0]


def resolve_named(store: Store, text: str) -> tuple[Image, Reference | None]:
    """The image, and the reference (tag or digest filled in) where it was a name that led to it. Raises as `resolve`."""
    full = _FULL_ID.fullmatch(text)
    if full:
        image = store.images.get(Digest(f"sha256:{full[1]}"))
        if image is None:
            raise ImageNotFound(text)
        return image, None
    reference, fault = _parse(text)
    named = lookup(store, reference) if reference else None
    if named:
        return named, reference
    found = by_prefix(store, text)
    if found:
        return found, None
    if fault:
        raise fault
    raise ImageNotFound(str(reference.familiar) if reference else text)


def lookup(store: Store, reference: Reference) -> Image | None:
    """The image that bears `reference`, by digest where it has one, else by tag; None where none does."""
    if reference.digest:
        id = store.tags.get_digest(reference.with_digest(reference.digest))
    else:
        tag = store.tags.get(reference.tagged())
        id = tag.image if tag else None
    return store.images.get(id) if id else None


def by_prefix(store: Store, text: str) -> Image | None:
    """The one image whose ID begins with the hex digits `text`; None for no such image and for other text.

    Raises AmbiguousId where there are several.
    """
    short = _SHORT_ID.fullmatch(text)
    found = store.images.find(short[1]) if short else []
    if len(found) > 1:
        raise AmbiguousId(text)
    return found[0] if found else None


def _parse(text: str) -> tuple[Reference | None, InvalidInput | None]:
    # What is malformed as a name may still be the beginning of an ID; if it is not, the fault is worth telling.
    try:
        return Reference.parse(text).tagged(), None
    except InvalidInput as fault:
        return None, fault
