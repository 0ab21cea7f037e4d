"""What a prune would do, image by image, and what the disk would get back: the prune itself, in a transaction that is undone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.space import occupied
from core.value import Value
from image.digest import Digest
from images.filters import Filters
from images.prune import Choice, names_of, take
from store.catalog import needed

if TYPE_CHECKING:
    from images.remove import Event
    from store.images import Image
    from store.store import Store


class Verdict(Value):
    """What would happen to one image, and why. `bytes`: what the disk gets back once it goes, after those that go before
    it. `cached`: bytes of its layers' tars that the build cache alone keeps then."""

    image: Image
    names: tuple[str, ...]
    action: Literal["delete", "untag", "keep"]
    why: str
    bytes: int
    cached: int


class Foreseen(Value):
    """`leftovers` are bytes that no image has any more, which the prune frees as well."""

    verdicts: list[Verdict]
    leftovers: int

    @property
    def reclaimable(self) -> int:
        return self.leftovers + sum(verdict.bytes for verdict in self.verdicts)


class _Undo(Exception):
    """Leaves a transaction without its changes."""


def foresee(store: Store, filters: Filters, *, all_unused: bool = False) -> Foreseen:
    """What `prune` would do with every image there is, newest first. Nothing is changed. Raises InvalidInput.

    Sizes are read off the disk, which takes its time with large images; the catalog is free for others meanwhile.
    """
    choice = Choice(store, filters, all_unused=all_unused)
    doomed = _Doomed(store)
    store.leases.sweep()
    try:
        with store.transaction():
            every = list(names_of(store, list(store.images.all())))
            leftovers = doomed.since(())
            _rehearse(store, choice, doomed)
            _explain_the_rest(store, [(image, names) for image, names in every if not doomed.knows(image.id)], doomed)
            raise _Undo
    except _Undo:
        pass
    verdicts = [doomed.verdict(image, names) for image, names in every]
    return Foreseen(verdicts, sum(map(occupied, leftovers)))


def _rehearse(store: Store, choice: Choice, doomed: _Doomed) -> None:
    for image in choice.candidates():
        spared = choice.spares(image)
        if spared:
            doomed.keep(image.id, spared)
            continue
        reason = "no container uses it" if choice.everything else "it has no name, and no image was built on it"
        done, untagged = take(store, image), False
        for event in done.events:
            untagged = True
            if event.kind == "deleted":
                doomed.delete(event, reason if event.text == image.id else "nothing else was built on it")
        if done.why_not:
            doomed.keep(image.id, done.why_not, untagged=untagged)


def _explain_the_rest(store: Store, rest: list[tuple[Image, tuple[str, ...]]], doomed: _Doomed) -> None:
    """Those that this prune does not look at: they have a name, or are parents of images that stay."""
    for image, names in rest:
        child = None if names else next(iter(store.images.children(image.id)), None)
        doomed.keep(image.id, f"{child.short} was built on it" if child else "it has a name")


class _Doomed:
    """The notes of a rehearsal: what happened to each image, and which files would go with it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said: dict[str, tuple[Literal["delete", "untag", "keep"], str]] = {}
        self._paths: dict[str, list[Path]] = {}
        self._cached: dict[str, int] = {}

    def knows(self, id: str) -> bool:
        return id in self._said

    def keep(self, id: str, why: str, *, untagged: bool = False) -> None:
        self._said[id] = ("untag" if untagged else "keep", why)

    def delete(self, event: Event, why: str) -> None:
        self._said[event.text] = ("delete", why)
        self._cached[event.text] = self._only_cached(event.diff_ids)
        self._paths[event.text] = self.since(event.diff_ids)

    def verdict(self, image: Image, names: tuple[str, ...]) -> Verdict:
        action, why = self._said.get(image.id, ("keep", ""))
        size = sum(map(occupied, self._paths.get(image.id, ())))
        return Verdict(image, names, action, why, size, self._cached.get(image.id, 0))

    def since(self, diff_ids: tuple[str, ...]) -> list[Path]:
        """What nobody needs since the last time, of these layers and of what is noted as garbage."""
        connection = self._store.database.read()
        chosen = "SELECT value FROM json_each(?) UNION SELECT value FROM garbage WHERE kind = 'layer'"
        layers = connection.execute(
            f"SELECT diff_id, directory FROM layers WHERE diff_id IN ({chosen}) AND NOT {needed('layer', 'layers.diff_id')}",
            (json.dumps(diff_ids),),
        ).fetchall()
        connection.executemany("DELETE FROM layers WHERE diff_id = ?", [(row[0],) for row in layers])
        noted = connection.execute(
            f"SELECT value FROM garbage WHERE kind = 'blob' AND NOT {needed('blob')}"
        ).fetchall()  # fmt: skip
        directories = connection.execute("SELECT value FROM garbage WHERE kind = 'directory'").fetchall()
        connection.execute("DELETE FROM garbage")
        return [
            *(self._store.blobs.path(Digest(row[0])) for row in noted),
            *(self._store.layer_path(row[0]) for row in directories),
        ]

    def _only_cached(self, diff_ids: tuple[str, ...]) -> int:
        row = self._store.database.read().execute(
            "SELECT coalesce(sum(size), 0) FROM layers WHERE diff_id IN (SELECT value FROM json_each(?))"
            " AND EXISTS (SELECT 1 FROM records WHERE records.diff_id = layers.diff_id)"
            " AND NOT EXISTS (SELECT 1 FROM image_layers WHERE image_layers.diff_id = layers.diff_id)"
            " AND NOT EXISTS (SELECT 1 FROM hold_layers WHERE hold_layers.diff_id = layers.diff_id)",
            (json.dumps(diff_ids),),
        ).fetchone()  # fmt: skip
        return int(row[0])
