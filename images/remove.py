"""Untagging and deleting images: facts, then a decision (`rules`), then the rows, in one transaction; bytes go afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from core.errors import NotFound
from core.value import Value
from image.digest import DiffID, chain_id
from images.resolve import ImageNotFound, resolve_named
from images.rules import Decision, Facts, decide_by_id, decide_by_name, goes_along
from store import events as log

if TYPE_CHECKING:
    from image.digest import Digest
    from image.platform import Platform
    from image.reference import Reference
    from store.images import Image
    from store.store import Store


class Event(Value):
    """One thing that is done: `text` is the name that was taken away, or the ID of what was deleted.

    `diff_ids` are the layers of a deleted image, bottom first; `image` is whose name it was.
    """

    kind: Literal["untagged", "deleted"]
    text: str
    diff_ids: tuple[DiffID, ...] = ()
    image: str = ""


def remove(
    store: Store, name: str, *, force: bool = False, prune_parents: bool = True, platform: Platform | None = None
) -> list[Event]:
    """Take the name away, or for an ID all names; delete the image when nothing needs it any more, and then (unless
    `prune_parents` is off) its ancestors that nothing needs either. Durable when this returns.

    The disk is freed by `free`, once after any number of these. Raises ImageNotFound, AmbiguousId, RemovalConflict, and
    NotFound where the image is not for `platform`.
    """
    with store.transaction():
        image, reference = _find(store, name, platform)
        if is_id(image, name) or reference is None:
            decision = decide_by_id(facts_of(store, image), force=force)
        else:
            decision = decide_by_name(facts_of(store, image), reference, name, force=force)
        events = list(carry_out(store, image, decision, prune_parents=prune_parents))
    note_removals(store, events)
    return events


def _find(store: Store, name: str, platform: Platform | None) -> tuple[Image, Reference | None]:
    try:
        image, reference = resolve_named(store, name)
    except ImageNotFound as error:
        raise ImageNotFound(name) from error  # as it was typed, which is what scripts look for
    if platform and not platform.accepts(image.platform):
        raise NotFound(
            f"image with reference {name} was found but does not provide the specified platform ({platform})",
            f"what is here is for {image.platform}",
        )
    return image, reference


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


def carry_out(store: Store, image: Image, decision: Decision, *, prune_parents: bool = True) -> Iterator[Event]:
    """Do what was decided, in the same transaction, one thing each time the next event is asked for."""
    for reference in decision.untag:
        yield _untag(store, reference, image)
    current: Image | None = image if decision.delete else None
    while current:
        store.images.delete(current.id)
        yield Event("deleted", current.id, current.diff_ids)
        current = _orphan(store, current.parent) if prune_parents else None


def _untag(store: Store, reference: Reference, image: Image) -> Event:
    if reference.digest:
        store.tags.delete_digest(reference)
    else:
        store.tags.delete(reference)
    return Event("untagged", reference.familiar, image=image.id)


def note_removals(store: Store, events: Iterable[Event]) -> None:
    """Tell the log of events what a removal did, when its transaction is through."""
    words = {"untagged": "untag", "deleted": "delete"}
    pairs = ((words[event.kind], event.image or event.text) for event in events)
    log.note_all(store.root, [log.Event("image", action, id, {"name": id}) for action, id in pairs])


def _orphan(store: Store, parent: Digest | None) -> Image | None:
    image = store.images.get(parent) if parent else None
    if image is None or store.leases.holds_image(image.id):
        return None
    return image if goes_along(facts_of(store, image)) else None


class Freed(Value):
    """`bytes` is what the disk gave back; `events` are those asked about, each deleted image followed by the layers that
    went with it, as chain IDs, the top one first."""

    bytes: int
    events: list[Event]


def free(store: Store, events: Sequence[Event], *, full: bool | None = False) -> Freed:
    """Give the disk back what nothing needs any more, and say which layers of the images deleted by `events` went; `full` as
    for `collect`.

    Harmless to repeat; what a crash leaves is taken the next time.
    """
    from store.collect import collect

    collected = collect(store, full=full)
    return Freed(collected.bytes, list(_with_layers(events, set(collected.layers))))


def _with_layers(events: Sequence[Event], gone: set[DiffID]) -> Iterator[Event]:
    """A layer goes with the last of the images that had it."""
    chains = [list(_chains(event, gone)) for event in events]
    last = {chain: number for number, those in enumerate(chains) for chain in those}
    for number, event in enumerate(events):
        yield event
        yield from (Event("deleted", chain) for chain in chains[number] if last[chain] == number)


def _chains(event: Event, gone: set[DiffID]) -> Iterator[str]:
    for top in range(len(event.diff_ids), 0, -1):
        if event.diff_ids[top - 1] in gone:
            yield str(chain_id(event.diff_ids[:top]))
