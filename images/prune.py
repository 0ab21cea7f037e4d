"""Removing all images that nobody needs, in one transaction however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.value import Value
from images.filters import Filters
from images.remove import Event, carry_out, facts_of, free
from images.rules import Decision, RemovalConflict, decide_by_id

if TYPE_CHECKING:
    from store.images import Image
    from store.store import Store

FILTERS = frozenset({"dangling", "until", "label", "label!"})


class Pruned(Value):
    """What went, in order, and how many bytes the disk gave back; before the fact (`dry_run`) the bytes of the layers that
    would go."""

    events: list[Event]
    reclaimed: int


class _Undo(Exception):
    """Leaves a transaction without its changes."""


def prune(store: Store, filters: Filters, *, all_unused: bool = False, dry_run: bool = False) -> Pruned:
    """Remove the dangling images, or with `all_unused` every image that no container or build uses and no child needs.

    `until` compares when the image was created. An image in use keeps all its names. Durable when this returns; harmless
    to repeat. Raises InvalidInput for filters that make no sense.
    """
    dangling = filters.flag("dangling")
    everything = all_unused or dangling is False
    events: list[Event] = []
    needless = 0
    try:
        with store.transaction():
            for image in _candidates(store, filters, everything=everything):
                events += _take(store, image)
            if dry_run:
                needless = _needless_bytes(store)
                raise _Undo
    except _Undo:
        return Pruned(events, needless)
    freed = free(store, events)
    return Pruned([*events, *(Event("deleted", chain) for chain in freed.chains)], freed.bytes)


def _candidates(store: Store, filters: Filters, *, everything: bool) -> Iterator[Image]:
    until = filters.until()
    # Newest first: a child comes before its parent, which then is free to go as well.
    for image in list(store.images.all(intermediate=False) if everything else store.images.dangling()):
        too_young = until is not None and image.created > until
        if not too_young and filters.labels_match(image.labels) and not store.leases.holds_image(image.id):
            yield image


def _take(store: Store, image: Image) -> list[Event]:
    if store.images.get(image.id) is None:  # it has gone along with a child
        return []
    facts = facts_of(store, image)
    if facts.holds:
        return []
    try:
        decision = decide_by_id(facts, force=True)
    except RemovalConflict:  # children that stay need it: only its names go
        decision = Decision(facts.references, delete=False)
    return carry_out(store, image, decision)


def _needless_bytes(store: Store) -> int:
    from store.catalog import needed

    row = store.database.read().execute(
        "SELECT coalesce(sum(size), 0) FROM layers WHERE diff_id IN (SELECT value FROM garbage WHERE kind = 'layer')"
        f" AND NOT {needed('layer', 'layers.diff_id')}"
    ).fetchone()  # fmt: skip
    return int(row[0])
