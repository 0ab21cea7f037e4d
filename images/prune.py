"""Removing all images that nobody needs, in one transaction however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.value import Value
from images.filters import Filters, instant
from images.remove import Event, carry_out, facts_of, free, note_removals
from images.rules import Decision, RemovalConflict, decide_by_id
from store.events import note

if TYPE_CHECKING:
    from store.images import Image
    from store.store import Store

FILTERS = frozenset({"dangling", "until", "unused-for", "label", "label!"})


class Pruned(Value):
    """What went, in order, and how many bytes the disk gave back."""

    events: list[Event]
    reclaimed: int


def prune(store: Store, filters: Filters, *, all_unused: bool = False) -> Pruned:
    """Remove the dangling images, or with `all_unused` every image that no container or build uses and no child needs.

    `until` compares when the image was created, `unused-for` when it was last used. An image in use keeps all its names.
    Durable when this returns; harmless to repeat, and beside others that do the same. Raises InvalidInput for filters that
    make no sense.
    """
    choice = Choice(store, filters, all_unused=all_unused)
    with store.transaction():
        events = [
            event for image in choice.candidates() if not choice.spares(image) for event in take(store, image).events
        ]
    note_removals(store, events)
    freed = free(store, events, full=None)
    note(store.root, "image", "prune", "", {"reclaimed": str(freed.bytes)})
    return Pruned(freed.events, freed.bytes)


class Choice:
    """Which images a prune looks at, and which of those the filters or a running command keep from it."""

    def __init__(self, store: Store, filters: Filters, *, all_unused: bool) -> None:
        """Raises InvalidInput."""
        self.everything = all_unused or filters.flag("dangling") is False
        self._store = store
        self._filters = filters
        self._until = filters.until()
        self._unused = min(map(instant, filters.get("unused-for")), default=None)

    def candidates(self) -> list[Image]:
        """Newest first: a child comes before its parent, which then is free to go as well."""
        images = self._store.images
        return list(images.all(intermediate=False) if self.everything else images.dangling())

    def spares(self, image: Image) -> str:
        """Why the image stays whatever the rules say; empty where nothing keeps it."""
        if self._until is not None and image.created > self._until:
            return "it was created after the filter's `until`"
        if self._unused is not None and (image.last_used or 0) >= self._unused:
            return "it was used within the filter's `unused-for`"
        if not self._filters.labels_match(image.labels):
            return "the label filters leave it out"
        if self._store.leases.holds_image(image.id):
            return "a command that is running now uses it"
        return ""


class Taken(Value):
    """What is done to one image, as the events are asked for, and why not more."""

    events: Iterator[Event]
    why_not: str


def take(store: Store, image: Image) -> Taken:
    """Remove the image, or as much of it as may go; in the caller's transaction."""
    if store.images.get(image.id) is None:  # it has gone along with a child
        return Taken(iter(()), "")
    facts = facts_of(store, image)
    if facts.holds:
        hold = facts.holds[0]
        return Taken(
            iter(()), "it is mounted" if hold.kind == "mount" else f"{hold.kind} {hold.name or hold.id[:12]} uses it"
        )
    try:
        decision = decide_by_id(facts, force=True)
    except RemovalConflict:  # children that stay need it: only its names go
        decision = Decision(facts.references, delete=False)
    why_not = "" if decision.delete else f"{facts.children[0].short} was built on it"
    return Taken(carry_out(store, image, decision), why_not)


def names_of(store: Store, images: list[Image]) -> Iterator[tuple[Image, tuple[str, ...]]]:
    """Each image with its names, in order, by one query a table."""
    ids = [image.id for image in images]
    tags, digests = store.tags.names_of_images(ids), store.tags.digests_of_images(ids)
    for image in images:
        references = (*tags.get(image.id, ()), *digests.get(image.id, ()))
        yield image, tuple(reference.familiar for reference in references)
