"""Where a repair gets things again: registries, asked by digest alone, so that no name moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from core.errors import LamellaError
from core.value import Value
from image.digest import Digest
from image.platform import Platform, host_platform
from image.reference import Reference

if TYPE_CHECKING:
    from store.images import Image
    from store.store import Store


class Action(Value):
    """What a repair did (`done`), or could not do: `what` says which, and how to go on. `kind` and `name` as in Damage."""

    kind: str
    name: str
    done: bool
    what: str


class Puller(Protocol):
    """Pulls `repository@digest` for `platform` into the store: what is missing, damaged or in quarantine comes again,
    verified. Returns the image's ID. Raises LamellaError."""

    def __call__(self, reference: Reference, platform: Platform) -> Digest: ...


class Sources:
    """Pulls each image at most once, and remembers why that failed."""

    def __init__(self, store: Store, puller: Puller) -> None:
        self._store = store
        self._puller = puller
        self._done: dict[Digest, bool] = {}
        self._why: dict[Digest, LamellaError] = {}

    def pull(self, image: Image) -> bool:
        """Whether a registry gave the image again."""
        return self._pull(image.id, image.platform)

    def pull_lost(self, id: Digest) -> bool:
        """As `pull`, for an image that the catalog knows nothing of but its names."""
        return self._pull(id, host_platform())

    def _pull(self, id: Digest, platform: Platform) -> bool:
        if id not in self._done:
            self._done[id] = any(self._try(id, name, platform) for name in self._names(id))
        return self._done[id]

    def _names(self, id: Digest) -> Iterator[Reference]:
        yield from self._store.tags.digests_of(id)

    def _try(self, id: Digest, name: Reference, platform: Platform) -> bool:
        try:
            return self._puller(name, platform) == id
        except LamellaError as error:
            self._why[id] = error
            return False

    def why_not(self, id: Digest) -> LamellaError | None:
        """Why no registry gave the image; None where none is known to have it."""
        return self._why.get(id)
