"""What is uploaded: bytes in memory, a blob that is kept, or a layer that is packed and compressed on its way out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from core.errors import LamellaError, Unavailable
from image.descriptor import Descriptor
from image.digest import Digest
from layer.compression import Compressor, compressor
from layer.pipeline import Hasher
from registry.client.pipe import PIECE, Pipe

if TYPE_CHECKING:
    from snapshot.layers import Layers
    from store.blobs import BlobStore
    from store.layers import Layer


class HighWater:
    """Counts bytes for a progress row; what is sent again is not counted again."""

    def __init__(self, counted: Callable[[int], None]) -> None:
        self._counted = counted
        self._highest = 0

    def at(self, position: int) -> None:
        """`position` bytes of the whole are done."""
        if position > self._highest:
            self._counted(position - self._highest)
            self._highest = position


class Bytes:
    """A Source in memory: configs."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size: int | None = len(data)

    def open(self, offset: int) -> tuple[bytes]:
        return (self._data[offset:],)

    def digest(self) -> Digest:
        return Digest.of(self._data)


class Kept:
    """A Source that is a blob of the store, sent as it is; reading it verifies it."""

    def __init__(self, blobs: BlobStore, blob: Descriptor, counted: Callable[[int], None]) -> None:
        self._blobs = blobs
        self._blob = blob
        self._done = HighWater(counted)
        self.size: int | None = blob.size

    def open(self, offset: int) -> Iterator[bytes]:
        position = 0
        with self._blobs.open(self._blob.digest) as file:
            while data := file.read(PIECE):
                position += len(data)
                self._done.at(position)
                if position > offset:
                    yield data[max(0, len(data) - (position - offset)) :]

    def digest(self) -> Digest:
        return self._blob.digest


class Packed:
    """A Source that does not exist yet: directory → tar → compressor → sha256, in a thread, with no file in between.

    The packer and the compressor are deterministic, so a broken upload is taken up by making the bytes again and passing
    over those that arrived. `layers.write_tar` checks on the way that the tar is still what it was. `form` is what will come
    out, where that is known before: of an uncompressed layer.
    """

    def __init__(
        self, layers: Layers, layer: Layer, compression: str, counted: Callable[[int], None],
        form: Descriptor | None = None,
    ) -> None:  # fmt: skip
        self._layers = layers
        self._layer = layer
        self._compression = compression
        self._done = HighWater(counted)
        self._result = (form.digest, form.size) if form else None
        self.size: int | None = form.size if form else None

    def open(self, offset: int) -> Iterator[bytes | memoryview]:
        pipe = Pipe()
        thread = threading.Thread(target=self._produce, args=(pipe,), name="compress", daemon=True)
        thread.start()
        position = 0
        try:
            for piece in pipe:
                position += len(piece)
                if position > offset:
                    yield piece if position - offset >= len(piece) else memoryview(piece)[offset - position :]
        finally:
            pipe.fail()
            thread.join()

    def _produce(self, pipe: Pipe) -> None:
        hasher, tarred = Hasher(), 0
        packer: Compressor | None = None

        def sink(data: bytes) -> None:
            hasher.update(data)
            pipe.write(data)

        def write(data: bytes | memoryview) -> None:
            nonlocal tarred
            assert packer is not None
            packer.write(data)
            tarred += len(data)
            self._done.at(tarred)

        try:
            packer = compressor(self._compression, sink)
            self._layers.write_tar(self._layer, write, hashed=False)
            packer.close()
            self._result = Digest(f"sha256:{hasher.hexdigest()}"), hasher.count
            pipe.finish()
        except BaseException as error:
            pipe.fail(error if isinstance(error, LamellaError) else _unreadable(self._layer, error))
            with contextlib.suppress(Exception):
                if packer is not None:
                    packer.close()
        finally:
            hasher.close()

    def digest(self) -> Digest:
        return self.result()[0]

    def result(self) -> tuple[Digest, int]:
        """Digest and size of the compressed layer, once it has been made."""
        assert self._result is not None, "the layer has not been read to its end"
        return self._result


def _unreadable(layer: Layer, error: BaseException) -> LamellaError:
    # An OSError would look like the connection's to the HTTP library.
    return Unavailable(f"cannot read layer {layer.diff_id.short}: {error}", "run 'lamella fsck'")
