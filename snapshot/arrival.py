"""A tar that has been unpacked and is about to become a layer: what it turned out to be, and how it is to be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from layer.pack import PACK_VERSION
from store.layers import Layer

if TYPE_CHECKING:
    from layer.apply import Applied
    from store.store import Store
    from store.temporary import Claim


class Arrival:
    """An unpacked tar, named by nobody yet. Ends with `keep` or `discard`; as a context manager it is discarded unless kept."""

    def __init__(
        self, store: Store, claim: Claim, applied: Applied, contents: dict[bytes, bytes | int],
        kept: Callable[[Layer, Claim], object],
    ) -> None:  # fmt: skip
        self._store = store
        self._claim: Claim | None = claim
        self._contents = contents
        self._kept = kept
        self.path = claim.home / "diff"
        self.diff_id: DiffID = applied.diff_id
        self.size = applied.size

    def packs_again(self) -> bool:
        """Whether our packer makes the very same tar of the directory: then nothing else of it has to be kept."""
        from core.errors import LamellaError
        from layer.pack import stream

        try:
            return stream(self.path, lambda data: None) == self.diff_id
        except LamellaError:  # it holds what our packer would never write
            return False

    def repack(self) -> None:
        """Make it a layer of our own packing, with a DiffID of its own: for a tar whose bytes nobody refers to. Raises
        InvalidInput for what a layer cannot hold."""
        from layer.pack import stream

        size = 0

        def count(data: bytes | memoryview) -> None:
            nonlocal size
            size += len(data)

        self.diff_id = stream(self.path, count)
        self.size = size

    def keep(self, blob: Descriptor | None) -> Layer:
        """The layer, which the store knows after `Layers.enter`: foreign with its kept `blob`, packed without one."""
        claim, self._claim = self._claim, None
        assert claim is not None, "kept or discarded before"
        try:
            listing = self._list() if blob else None
            name = claim.place(self.path)
        except BaseException:
            claim.settle(keep=False)
            raise
        layer = Layer(
            self.diff_id, name, self.size, "foreign" if blob else "packed", PACK_VERSION, blob, listing
        )  # fmt: skip
        self._kept(layer, claim)
        return layer

    def _list(self) -> Digest:
        from layer.listing import write_listing

        with self._store.blobs.writer() as writer:
            write_listing(self.path, writer.write, self._contents)
            return writer.commit().digest

    def discard(self) -> None:
        """Leave no trace. Harmless to repeat, and after `keep`."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.settle(keep=False)

    def __enter__(self) -> Arrival:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()
