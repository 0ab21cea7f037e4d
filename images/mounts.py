"""Images shown in the file system until they are unmounted: a hold in the catalog for each time one was asked for, a view
for all of them. A hold without a view is what a restart of the machine has left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Conflict
from core.locks import FileLock
from core.value import Value
from image.digest import Digest
from store.holds import Hold

if TYPE_CHECKING:
    from snapshot.layers import Layers
    from snapshot.protocol import Viewer
    from store.images import Image
    from store.store import Store


class NotMounted(Conflict):
    """The image is not shown anywhere."""

    def __init__(self, id: Digest) -> None:
        super().__init__(f"image {id.short} is not mounted", "`lamella image mount` lists those that are")


class Mounted(Value):
    """`count` is how often it was asked for, and how often it has to be unmounted."""

    image: Digest
    path: Path
    count: int


class ImageMounts:
    """The views of one store's images, below the directory `place`, which need not survive a restart of the machine."""

    def __init__(self, store: Store, layers: Layers, viewer: Viewer, place: Path) -> None:
        self._store = store
        self._layers = layers
        self._viewer = viewer
        self._place = place

    def mount(self, find: Callable[[], Image], name: str = "") -> Path:
        """Show the image and return where; one that is shown already is counted once more. `find` looks it up inside the
        transaction that holds it; `name` is what people call it."""
        with self._alone():
            self._sweep()
            with self._store.transaction():
                image = find()
                number = len(self._holds(image.id))
                key = _key(image.id) if not number else f"{_key(image.id)}-{number + 1}"
                self._store.holds.set(Hold("mount", key, name, image.id, running=True))
            try:
                return self._viewed(image.id) or self._view(image)
            except BaseException:
                self._store.holds.delete("mount", key)
                raise

    def _view(self, image: Image) -> Path:
        from snapshot.missing import refuse_missing

        directories = self._layers.directories(image.diff_ids)
        refuse_missing(self._store, directories)
        return self._viewer.view(_key(image.id), directories, self._target(image.id))

    def unmount(self, id: Digest, *, force: bool = False) -> None:
        """Undo one `mount`, or all of them; with the last the view ends. Raises NotMounted."""
        with self._alone():
            self._sweep()
            holds = self._holds(id)
            if not holds:
                raise NotMounted(id)
            gone = holds if force else holds[-1:]
            if len(gone) == len(holds):
                self._viewer.unview(_key(id), self._target(id))
            with self._store.transaction():
                for hold in gone:
                    self._store.holds.delete("mount", hold.id)

    def all(self) -> list[Mounted]:
        """What is shown, by image."""
        with self._alone():
            self._sweep()
        counts: dict[Digest, int] = {}
        for hold in self._store.holds.all():
            if hold.kind == "mount":
                counts[hold.image] = counts.get(hold.image, 0) + 1
        views = ((id, self._viewed(id), count) for id, count in counts.items())
        return [Mounted(id, path, count) for id, path, count in views if path]

    def sweep(self) -> None:
        """Let go of images whose view is gone. Harmless to repeat."""
        if any(hold.kind == "mount" for hold in self._store.holds.all()):
            with self._alone():
                self._sweep()

    def _sweep(self) -> None:
        for hold in [hold for hold in self._store.holds.all() if hold.kind == "mount"]:
            if self._viewed(hold.image) is None:
                self._viewer.unview(_key(hold.image), self._target(hold.image))
                self._store.holds.delete("mount", hold.id)

    def _holds(self, id: Digest) -> list[Hold]:
        """In the order of their making: the first bears the view's key."""
        return sorted((h for h in self._store.holds.of_image(id) if h.kind == "mount"), key=lambda h: (len(h.id), h.id))

    def _viewed(self, id: Digest) -> Path | None:
        return self._viewer.viewed(_key(id), self._target(id))

    def _target(self, id: Digest) -> Path:
        return self._place / _key(id)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Between hold and view nobody else may look."""
        self._place.mkdir(0o700, exist_ok=True)
        lock = FileLock(self._place / "lock")
        lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _key(id: Digest) -> str:
    return id.hex
