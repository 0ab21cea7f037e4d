"""From what a user types to an image: a full ID, a name, or the beginning of an ID, tried in that order as Docker does."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput, NotFound
from core.words import HEX
from image.digest import Digest
from image.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.images import Image
    from store.store import Store

_DIGITS = 64  # of a full ID


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
    digits = _digits(text)
    if len(digits) == _DIGITS:
        image = store.images.get(Digest(f"sha256:{digits}"))
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
    digits = _digits(text)
    found = store.images.find(digits) if digits else []
    if len(found) > 1:
        raise AmbiguousId(text)
    return found[0] if found else None


def _digits(text: str) -> str:
    """Those of an ID or its beginning; empty for other text."""
    digits = text.removeprefix("sha256:")
    return digits if len(digits) <= _DIGITS and not set(digits) - HEX else ""


def _parse(text: str) -> tuple[Reference | None, InvalidInput | None]:
    # What is malformed as a name may still be the beginning of an ID; if it is not, the fault is worth telling.
    try:
        return Reference.parse(text).tagged(), None
    except InvalidInput as fault:
        return None, fault
