"""Untagging and deleting images: facts, then a decision (`rules`), then the rows, in one transaction; bytes go afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from core.value import Value
from image.digest import DiffID, chain_id
from images.resolve import resolve_named
from images.rules import Decision, Facts, decide_by_id, decide_by_name, goes_along

if TYPE_CHECKING:
    from image.digest import Digest
    from image.reference import Reference
    from store.images import Image
    from store.store import Store


class Event(Value):
    """One thing that is done: `text` is the name that was taken away, or the ID of what was deleted.

    `diff_ids` are the layers of a deleted image, bottom first.
    """

    kind: Literal["untagged", "deleted"]
    text: str
    diff_ids: tuple[DiffID, ...] = ()


def remove(store: Store, name: str, *, force: bool = False, prune_parents: bool = True) -> list[Event]:
    """Take the name away, or for an ID all names; delete the image when nothing needs it any more, and then (unless
    `prune_parents` is off) its ancestors that nothing needs either. Durable when this returns.

    The disk is freed by `free`, once after any number of these. Raises ImageNotFound, AmbiguousId, RemovalConflict.
    """
    with store.transaction():
        image, reference = resolve_named(store, name)
        if is_id(image, name) or reference is None:
            decision = decide_by_id(facts_of(store, image), force=force)
        else:
            decision = decide_by_name(facts_of(store, image), reference, force=force)
        return carry_out(store, image, decision, prune_parents=prune_parents)


def is_id(image: Image, text: str) -> bool:
    """Whether `text` is the beginning of the image's ID: then it is one, even where a tag has the same name."""
    return image.id.startswith(text) or image.id.hex.startswith(text)


def facts_of(store: Store, image: Image) -> Facts:
    """What `rules` decides from. To be called in the transaction that acts on it."""
    tags = [tag.reference for tag in store.tags.of_image(image.id)]
    return Facts(
        image.id, image.parent, (*tags, *store.tags.digests_of(image.id)), tuple(store.images.children(image.id)),
        tuple(sorted(store.holds.of_image(image.id), key=lambda hold: not hold.running)),
    )  # fmt: skip


def carry_out(store: Store, image: Image, decision: Decision, *, prune_parents: bool = True) -> list[Event]:
    """Do what was decided, in the same transaction. Returns what was done, in order."""
    events = [_untag(store, reference) for reference in decision.untag]
    current: Image | None = image if decision.delete else None
    while current:
        store.images.delete(current.id)
        events.append(Event("deleted", current.id, current.diff_ids))
        current = _orphan(store, current.parent) if prune_parents else None
    return events


def _untag(store: Store, reference: Reference) -> Event:
    if reference.digest:
        store.tags.delete_digest(reference)
    else:
        store.tags.delete(reference)
    return Event("untagged", reference.familiar)


def _orphan(store: Store, parent: Digest | None) -> Image | None:
    image = store.images.get(parent) if parent else None
    if image is None or store.leases.holds_image(image.id):
        return None
    return image if goes_along(facts_of(store, image)) else None


class Freed(Value):
    """`bytes` is what the disk gave back; `chains` are the freed layers of the images in question, as chain IDs."""

    bytes: int
    chains: list[str]


def free(store: Store, events: Iterable[Event]) -> Freed:
    """Give the disk back what nothing needs any more, and say which layers of the images deleted by `events` went.

    Harmless to repeat; what a crash leaves is taken the next time.
    """
    from store.collect import collect

    collected = collect(store)
    gone = set(collected.layers)
    chains: dict[str, None] = {}
    for event in events:
        for top in range(len(event.diff_ids), 0, -1):
            if event.diff_ids[top - 1] in gone:
                chains[str(chain_id(event.diff_ids[:top]))] = None
    return Freed(collected.bytes, list(chains))
