"""Making a damaged store whole: what others have comes again, what can be made is made, what nobody needs goes.

Every step is one transaction, or a blob or directory under a name of its own first: killed at any time, the next repair goes
on. It runs beside other commands: whatever it decides on is looked up in the transaction that changes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from core.errors import Conflict, LamellaError, Unavailable
from core.progress import Progress, Silent
from core.units import human_size
from core.value import Value
from image.digest import DiffID, Digest
from images.damage import LOST, Damage
from images.fsck import Report, Verify, fsck, name_of, needed
from images.mending import Mending, read_manifest
from images.sources import Action, Puller, Sources
from store.collect import collect

if TYPE_CHECKING:
    from image.descriptor import Descriptor
    from layer.pack import Packed
    from snapshot.layers import Layers
    from store.images import Image
    from store.store import Store


class Repaired(Value):
    """What was found, what was done about it, and what is left."""

    before: Report
    actions: list[Action]
    after: Report


def repair(
    store: Store, layers: Layers, puller: Puller, *, verify: Verify | None = None, progress: Progress | None = None
) -> Repaired:
    """Check everything, repair what can be, and check that again. Harmless to repeat, to kill, and beside other commands.

    `verify` reads one layer (that of `layers` by default). What cannot be repaired stays as it is, in quarantine.
    """
    verify = verify or layers.verify
    progress = progress or Silent()
    before = fsck(store, verify, progress)
    if not before.damages and not before.leftovers:
        return Repaired(before, [], before)
    work = _Repair(store, layers, puller)
    work.run(before.damages)
    suspects = {damage.name for damage in before.damages} | {one.diff_id for one in store.quarantine.all()}
    after = fsck(store, verify, progress, only=suspects)
    actions = [*work.actions, *(work.not_done(damage) for damage in after.damages)]
    counted = Report(before.images, before.layers, before.blobs, after.damages, after.leftovers)
    return Repaired(before, actions, counted)


class _Repair:
    def __init__(self, store: Store, layers: Layers, puller: Puller) -> None:
        self._store = store
        self._layers = layers
        self._sources = Sources(store, puller)
        self._why: dict[str, LamellaError] = {}
        self.actions: list[Action] = []
        self._mending = Mending(store, self._sources, self.actions)

    def run(self, damages: Iterable[Damage]) -> None:
        """Catalog first, for everything else is found by it; then the layers, for manifests are made of them."""
        damages = list(damages)
        if any(damage.kind == "catalog" and damage.name == str(self._store.database.path) for damage in damages):
            self._mending.indexes()
        self._find_directories()
        self._mending.lost_images()
        for damage in damages:
            if damage.kind == "config":
                self._config(Digest(damage.name))
        for diff_id in dict.fromkeys([*self._missing(), *(one.diff_id for one in self._store.quarantine.all())]):
            self._layer(diff_id)
        for damage in damages:
            if damage.kind == "manifest":
                self._manifest(Digest(damage.name))
        for damage in damages:
            if damage.kind == "volume" and self._store.volumes.adopt(damage.name):
                made = "made an empty one" if damage.reason == LOST else "gave it back its name"
                self._did("volume", damage.name, made)
        self._mending.lost_records()
        self._drop_records()
        self._free()
        for damage in damages:
            if damage.kind == "catalog" and damage.name.startswith("sha256:"):
                self._mending.counts(damage.name)

    # --- layers

    def _missing(self) -> list[DiffID]:
        """Layers that images or containers need and that have no row."""
        with self._store.database.snapshot() as connection:
            rows = connection.execute(
                "SELECT diff_id FROM image_layers WHERE diff_id NOT IN (SELECT diff_id FROM layers)"
                " UNION SELECT diff_id FROM hold_layers WHERE diff_id NOT IN (SELECT diff_id FROM layers)"
            ).fetchall()
        return [DiffID(row[0]) for row in rows]

    def _find_directories(self) -> None:
        """A layer that has lost its row may still have its directory: those that nobody knows are packed and looked at."""
        missing = set(self._missing())
        for name in self._strays() if missing else ():
            found = self._packed(name)
            if found and found.diff_id in missing:
                self._enter_stray(name, found)
                missing.remove(found.diff_id)

    def _strays(self) -> Iterator[str]:
        for name in sorted(os.listdir(self._store.root / "layers")):
            claimed = (self._store.temporaries.path / name).exists()
            if not claimed and not needed(self._store, "directory", name):
                yield name

    def _packed(self, name: str) -> Packed | None:
        from layer.pack import pack

        try:
            return pack(self._store.layer_path(name))
        except (LamellaError, OSError):
            return None

    def _enter_stray(self, name: str, packed: Packed) -> None:
        from snapshot.layers import packed_layer

        with self._store.transaction():
            self._store.leases.session.hold_layer(packed.diff_id)
            self._store.layers.add(packed_layer(name, packed))
        self._did("layer", packed.diff_id, f"found its directory {name} again")

    def _layer(self, diff_id: DiffID) -> None:
        """From its own compressed form where that is whole, else from a registry."""
        if self._is_whole(diff_id):
            self._did("layer", diff_id, "pulled it again with another part of its image")
        elif blob := next((blob for blob in self._forms(diff_id) if self._unpacked(diff_id, blob)), None):
            self._did("layer", diff_id, f"unpacked it again from its blob {blob.digest}")
        elif image := next((image for image in self._images(diff_id) if self._pulled(diff_id, image)), None):
            self._did("layer", diff_id, f"pulled it again for {name_of(self._store, image.id)}")

    def _pulled(self, diff_id: DiffID, image: Image) -> bool:
        return self._sources.pull(image) and self._is_whole(diff_id)

    def _is_whole(self, diff_id: DiffID) -> bool:
        layer = self._store.layers.get(diff_id)
        return layer is not None and layer.damaged is None

    def _images(self, diff_id: DiffID) -> list[Image]:
        return self._store.images.get_many(self._store.images.using(diff_id))

    def _forms(self, diff_id: DiffID) -> Iterator[Descriptor]:
        """The compressed forms whose bytes are here."""
        layer = self._store.layers.get(diff_id)
        known = [layer.blob] if layer and layer.blob else []
        for image in self._images(diff_id):
            manifest = read_manifest(self._store, image.manifest.digest)
            if manifest and len(manifest.layers) == len(image.diff_ids):
                known.append(manifest.layers[image.diff_ids.index(diff_id)])
        seen = {blob.digest: blob for blob in known}
        yield from (blob for blob in seen.values() if self._store.blobs.stat(blob.digest) == blob.size)

    def _unpacked(self, diff_id: DiffID, blob: Descriptor) -> bool:
        from layer.compression import whole

        try:
            with self._store.blobs.open(blob.digest) as file:
                self._layers.unpack(diff_id, blob, whole(file))
            self._layers.enter()
        except (LamellaError, OSError) as error:
            if isinstance(error, Conflict | Unavailable):
                self._why[diff_id] = error
            return False
        return True

    # --- configs and manifests

    def _config(self, id: Digest) -> None:
        image = self._store.images.get(id)
        if image:
            self._mending.config(image)

    def _manifest(self, digest: Digest) -> None:
        for image in self._store.images.get_many(self._store.images.by_manifest(digest)):
            self._mending.manifest(image)
        self._mending.target(digest)

    # --- what nobody needs

    def _drop_records(self) -> None:
        """The build cache must not remember what cannot be used."""
        for damaged in list(self._store.quarantine.all()):
            with self._store.transaction() as connection:
                count = connection.execute(
                    "DELETE FROM records WHERE diff_id = (SELECT diff_id FROM layers WHERE diff_id = ? AND damaged IS NOT NULL)",
                    (damaged.diff_id,),
                ).rowcount  # fmt: skip
            if count:
                self._did("record", damaged.diff_id, "the build cache forgot it: the next build makes it again")

    def _free(self) -> None:
        """What nobody needs, leases of this very process apart."""
        self._store.leases.close()
        if self._knows_nothing():
            what = "the catalog knows nothing, so nothing was removed: put its backup back, or `lamella image prune` takes it all"
            self.actions.append(Action("leftovers", str(self._store.root), False, what))
            return
        damaged = {one.diff_id for one in self._store.quarantine.all()}
        freed = collect(self._store, full=True)
        for diff_id in damaged & set(freed.layers):
            self._did("layer", diff_id, "removed it: nobody needs it any more")
        if freed.bytes:
            self._did("leftovers", human_size(freed.bytes), "removed: nobody needs them")

    def _knows_nothing(self) -> bool:
        """Whether the catalog is empty and the disk is not: it may be a new one in the place of one that was lost."""
        known = any(True for _ in self._store.images.all()) or any(True for _ in self._store.layers.all())
        return not known and bool(
            os.listdir(self._store.root / "layers") or any(True for _ in self._store.blobs.walk())
        )

    def _did(self, kind: str, name: str, what: str) -> None:
        self.actions.append(Action(kind, name, True, what))

    # --- what is left

    def not_done(self, damage: Damage) -> Action:
        """Why the damage is still there, and how to go on."""
        if damage.kind == "catalog":
            return Action(damage.kind, damage.name, False, "see `How to recover by hand` in docs/store.md")
        if damage.kind == "volume":
            place = self._store.volumes.home(damage.name)
            return Action(
                damage.kind, damage.name, False, f"rename {place} to what can be a volume's name, and try again"
            )
        why = self._why.get(damage.name) or self._because(damage)
        users = ", ".join(damage.needed_by)
        if why:
            hint = why.hint or "try again later"
            return Action(damage.kind, damage.name, False, f"{why.message}; {hint}")
        again = f"build {users} again, or remove it" if users else "run `lamella fsck` again"
        return Action(damage.kind, damage.name, False, f"it is in no registry that is known: {again}")

    def _because(self, damage: Damage) -> LamellaError | None:
        digest = Digest(damage.name) if damage.name.startswith("sha256:") else None
        if digest is None:
            return None
        ids = [digest, *self._store.images.using(DiffID(digest)), *self._store.images.by_manifest(digest)]
        return next((why for id in ids if (why := self._sources.why_not(id))), None)
