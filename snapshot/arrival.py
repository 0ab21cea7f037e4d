"""A tar that has been unpacked and is about to become a layer: what it turned out to be, and how it is to be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.value import replace
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from layer.pack import PACK_VERSION
from store.disk import disk_errors
from store.layers import Layer

if TYPE_CHECKING:
    from layer.apply import Applied
    from layer.recipe import Recorder
    from store.store import Store
    from store.temporary import Claim


class Arrival:
    """An unpacked tar, named by nobody yet. Ends with `keep` or `discard`; as a context manager it is discarded unless kept."""

    def __init__(
        self, store: Store, claim: Claim, applied: Applied, contents: dict[bytes, bytes | int],
        kept: Callable[[Layer, Claim], object], recorder: Recorder | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._claim: Claim | None = claim
        self._contents = contents
        self._kept = kept
        self._recorder = recorder
        self.path = claim.home / "diff"
        self.diff_id: DiffID = applied.diff_id
        self.size = applied.size

    def packs_again(self) -> bool:
        """Whether our packer makes the very same tar of the directory: then nothing else of it has to be kept. To be asked
        of what was recorded. Contents are not read: those of the directory are those of the tar."""
        from core.errors import LamellaError
        from layer.pack import outline

        assert self._recorder is not None, "it was not recorded"
        try:
            return outline(self.path) == self._recorder.outline()
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
        listing = self._written(self._list) if blob else None
        return self._keep(
            Layer(self.diff_id, "", self.size, "foreign" if blob else "packed", PACK_VERSION, blob, listing)
        )

    def keep_recipe(self) -> Layer:
        """The same for a foreign tar that was recorded, and of which nothing else is kept."""
        listing, recipe = self._written(self._list), self._written(self._recipe)
        return self._keep(
            Layer(self.diff_id, "", self.size, "foreign", PACK_VERSION, listing=listing, recipe=recipe)
        )  # fmt: skip

    def _keep(self, layer: Layer) -> Layer:
        claim, self._claim = self._claim, None
        assert claim is not None, "kept or discarded before"
        self._close()
        try:
            layer = replace(layer, directory=claim.place(self.path))
        except BaseException:
            claim.settle(keep=False)
            raise
        self._kept(layer, claim)
        return layer

    def _written(self, give: Callable[[Callable[[bytes | memoryview], object]], object]) -> Digest:
        with disk_errors(self._store.root), self._store.blobs.writer() as writer:
            give(writer.write)
            return writer.commit().digest

    def _list(self, write: Callable[[bytes | memoryview], object]) -> None:
        from layer.listing import write_listing

        write_listing(self.path, write, self._contents)

    def _recipe(self, write: Callable[[bytes | memoryview], object]) -> None:
        from layer.compression import compressor

        assert self._recorder is not None, "it was not recorded"
        packed = compressor("zstd", write, level=1)
        self._recorder.write(packed.write)
        packed.close()

    def _close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()

    def discard(self) -> None:
        """Leave no trace. Harmless to repeat, and after `keep`."""
        self._close()
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.settle(keep=False)

    def __enter__(self) -> Arrival:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()
