"""Pull: what is missing comes in, several layers at a time; one transaction at the end makes the image exist.

Order (house: "Write order"): leases, blobs (each durable by itself), layer directories, one sync, their rows, then image,
tag and repository digest together. Killed at any instant, this leaves garbage for the next collection and never half an image.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.clock import parse_instant
from core.errors import InvalidInput, LamellaError
from core.progress import Progress, Task
from image.config import ImageConfig
from image.descriptor import Descriptor
from image.digest import DiffID
from registry.client.layer_in import bring_in
from registry.client.parallel import run_all
from registry.client.resolve import Resolved
from store.events import note

if TYPE_CHECKING:
    from snapshot.layers import Layers
    from store.images import Image
    from store.leases import Lease
    from store.store import Store


@dataclass(frozen=True, slots=True)
class Pulled:
    """`target` is what the name points to (index or manifest); `updated` is False where all of it was here already."""

    image: Image
    target: Descriptor
    updated: bool


class Pull:
    """One pull of one resolved image into `store`."""

    def __init__(
        self, found: Resolved, store: Store, layers: Layers, progress: Progress, cancel: threading.Event, width: int
    ) -> None:
        self._found = found
        self._store = store
        self._layers = layers
        self._progress = progress
        self._cancel = cancel
        self._width = width

    def run(self) -> Pulled:
        """Bring everything in and name it. Harmless to repeat, alone or beside another pull of the same."""
        before = self._known()
        with self._store.leases.take("pull") as lease:
            self._hold(lease)
            try:
                run_all(self._jobs(), self._width, self._cancel)
            except Exception:
                with contextlib.suppress(LamellaError):  # what came in whole need not come again
                    self._layers.enter()
                raise
            self._keep_small_blobs()
            self._layers.enter()
            image = self._publish()
        name = self._found.reference
        note(self._store.root, "image", "pull", name.familiar, {**image.labels, "name": name.familiar_repository})
        return Pulled(image, self._found.target, before != (image.id, self._found.target.digest))

    def _known(self) -> tuple[object, object]:
        reference = self._found.reference
        if reference.digest:
            return self._store.tags.get_digest(reference), reference.digest
        tag = self._store.tags.get(reference)
        return (tag.image, tag.target.digest) if tag else (None, None)

    def _hold(self, lease: Lease) -> None:
        """Looking up and leasing is one transaction: what is here now will still be here at the end."""
        manifest = self._found.manifest
        with self._store.transaction():
            for diff_id in set(self._found.config.diff_ids):
                lease.hold_layer(diff_id)
            for blob in {self._found.target.digest, manifest.descriptor.digest, manifest.config.digest}:
                lease.hold_blob(blob)
            for blob in {layer.digest for layer in manifest.layers}:
                lease.hold_blob(blob)

    def _jobs(self) -> list[Callable[[], object]]:
        """One job for each layer that is not here, bottom first; the rest is reported at once."""
        jobs: list[Callable[[], object]] = []
        seen: set[DiffID] = set()
        for diff_id, blob in zip(self._found.config.diff_ids, self._found.manifest.layers, strict=True):
            if diff_id in seen:
                continue
            seen.add(diff_id)
            task = self._progress.task(blob.digest.short, blob.size)
            known = self._store.layers.get(diff_id)
            if known is not None and known.damaged is None:
                task.finish("Already exists")
            else:
                jobs.append(self._job(diff_id, blob, task))
        return jobs

    def _job(self, diff_id: DiffID, blob: Descriptor, task: Task) -> Callable[[], object]:
        def bring() -> None:
            try:
                bring_in(self._store, self._layers, self._found.sources, diff_id, blob, task)
            except BaseException as error:
                task.fail(str(error))
                raise
            task.finish("Pull complete")

        return bring

    def _keep_small_blobs(self) -> None:
        found = self._found
        for raw in {found.config.encode(), found.manifest.raw, found.target_raw}:
            self._store.blobs.add(raw)

    def _publish(self) -> Image:
        store, found = self._store, self._found
        image = self._image()
        with store.transaction():
            store.images.add(image)
            if found.reference.digest is None:
                store.tags.set(found.reference, image.id, found.target)
            store.tags.add_digest(found.reference.with_digest(found.target.digest), image.id)
        return store.images.get(image.id) or image

    def _image(self) -> Image:
        from store.images import Image

        config = self._found.config
        raw = config.encode()
        rows = [self._store.layers.get(diff_id) for diff_id in config.diff_ids]
        size = len(raw) + sum(row.size for row in rows if row)
        return Image(
            id=config.id, manifest=self._found.manifest.descriptor, parent=None, created=_created(config),
            platform=config.platform, size=size, diff_ids=config.diff_ids, labels=dict(config.config.labels), last_used=None,
        )  # fmt: skip


def _created(config: ImageConfig) -> int:
    with contextlib.suppress(InvalidInput):
        return parse_instant(config.created)
    return 0
