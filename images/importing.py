"""A root file system as one layer: the image that `import` makes of somebody's tar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import LamellaError
from core.value import Value, field
from image.config import ContainerConfig, History, ImageConfig
from image.digest import DiffID
from image.platform import Platform, host_platform
from images.publish import publish
from images.shelf import BadArchive
from layer.compression import decompressor
from layer.handover import ReadAhead
from layer.pipeline import Readable
from layer.records import BadHeader
from store.disk import disk_errors
from store.events import note

if TYPE_CHECKING:
    from image.reference import Reference
    from snapshot.layers import Layers
    from store.images import Image
    from store.store import Store


class Wish(Value):
    """What the image is to be: its settings, what its history says, its names, when it was made (RFC 3339)."""

    created: str
    config: ContainerConfig = field(default_factory=ContainerConfig)
    comment: str = ""
    platform: Platform = field(default_factory=host_platform)
    names: Sequence[Reference] = ()


def import_tar(store: Store, layers: Layers, stream: Readable, wish: Wish) -> Image:
    """The image of the tar `stream`, compressed or not, durable when this returns.

    Nobody refers to the tar's own bytes, so its files are kept and not the tar: the layer is as if it had been built. Where it raises (BadArchive, Integrity, InvalidInput, Unavailable) nothing is left.
    """
    from images.load import tidy

    with store.leases.take("import"):
        try:
            diff_id = _receive(store, layers, stream)
            layers.enter()
            history = History(created=wish.created, comment=wish.comment)
            config = ImageConfig(wish.platform, wish.config, (diff_id,), (history,), wish.created)
            image = publish(store, config, tags=wish.names, parent=None)
        except BaseException as error:
            layers.abandon()
            tidy(store)
            raise (_no_tar(error) if isinstance(error, BadHeader) else error) from error
    note(store.root, "image", "import", image.id, {"name": image.id})
    return image


def _receive(store: Store, layers: Layers, stream: Readable) -> DiffID:
    with disk_errors(store.root), ReadAhead(decompressor(stream)) as tar, layers.receive(tar, listed=False) as arrival:
        if not arrival.size:
            raise BadArchive("there is nothing to import: the input is empty")
        arrival.repack()
        return arrival.keep(None).diff_id


def _no_tar(error: LamellaError) -> BadArchive:
    return BadArchive(f"this is no tar archive: {error.message}")
