"""Where a build's base images come from: the local store, else a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import InvalidInput, LamellaError, Unsupported
from core.progress import Progress
from image.platform import Platform
from image.reference import Reference

if TYPE_CHECKING:
    from builder.sources.named import LayoutContext
    from cli.settings import Settings
    from snapshot.layers import Layers
    from store.images import Image
    from store.store import Store


class LocalFirst:
    """A `builder.request.ImageSource`. Nothing of the registry client is loaded before it is needed."""

    def __init__(self, settings: Settings, store: Store, layers: Layers, progress: Progress) -> None:
        self._settings = settings
        self._store = store
        self._layers = layers
        self._progress = progress

    def resolve(self, reference: Reference, platform: Platform, *, pull: bool) -> Image:
        """See ImageSource. An image that was only ever built here is not asked for elsewhere, `pull` or not."""
        from images.resolve import lookup

        found = lookup(self._store, reference)
        if found and not (pull and self._store.tags.digests_of(found.id)):
            if not platform.accepts(found.platform):
                raise Unsupported(f"{reference.familiar} is for {found.platform}, not for {platform}")
            return found
        return self._pull(reference, platform)

    def from_layout(self, layout: LayoutContext, platform: Platform) -> Image:
        """See ImageSource. It gets no name here."""
        from images.copy import copy
        from images.indexed import Directory
        from images.layout_endpoints import LayoutSource
        from images.load import tidy
        from images.store_endpoints import StoreDestination

        destination = StoreDestination(self._store, self._layers, ())
        source = LayoutSource(Directory(layout.path), layout.tag, layout.digest)
        try:
            copy(source, destination, platform=platform, progress=self._progress)
        except BaseException as error:
            self._layers.abandon()
            tidy(self._store)
            if not isinstance(error, LamellaError):
                raise
            raise InvalidInput(f"oci-layout://{layout.path}: {error.message}", error.hint) from error
        assert destination.image is not None
        return destination.image

    def _pull(self, reference: Reference, platform: Platform) -> Image:
        from cli.wiring import open_client

        client = open_client(self._settings, self._progress)
        try:
            return client.pull(reference, self._store, self._layers, platform=platform)
        finally:
            client.close()
