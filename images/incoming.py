"""One layer coming in from a file or a stream: hashed, unpacked and kept in a single pass.

Kept how: a compressed layer stays beside its directory as it came. An uncompressed tar is kept too, unless our packer makes
the same bytes of the directory: then the layer is as if it had been built here, and costs its directory alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from image.descriptor import Descriptor
from image.digest import Digest
from image.media_types import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from images.shelf import Content
from layer.compression import decompressor, detect
from layer.decompression import Prefixed
from layer.pipeline import PIECE, Readable, ReadAhead
from store.disk import disk_errors

if TYPE_CHECKING:
    from snapshot.arrival import Arrival
    from snapshot.layers import Layers
    from store.blobs import BlobWriter
    from store.layers import Layer
    from store.store import Store

_HEAD = 512
_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}


def bring_in(
    store: Store, layers: Layers, stream: Readable, *, again: Content | None = None, expected: Digest | None = None
) -> Layer:
    """The layer that `stream` is, compressed or not, in the store up to `Layers.enter`. The stream is read to its end.

    `again` gives the same bytes once more, where that is possible: it spares writing a copy that may not be needed.
    `expected` is the digest of the stream's bytes. Raises Integrity, InvalidInput, Unavailable; nothing stays then.
    """
    head = _first(stream)
    whole = Prefixed(head, stream)
    kind = detect(head)
    with disk_errors(store.root):
        if kind in _TYPES:
            return _compressed(store, layers, whole, kind, expected)
        if kind != "none":  # no registry takes a layer in this compression: its tar is kept
            return bring_in(store, layers, Whole(decompressor(whole, kind), whole))
        return _plain(store, layers, whole, head, again)


def _first(stream: Readable) -> bytes:
    head = b""
    while len(head) < _HEAD and (data := stream.read(_HEAD - len(head))):
        head += data
    return head


def _compressed(store: Store, layers: Layers, stream: Readable, kind: str, expected: Digest | None) -> Layer:
    with store.blobs.writer(expected.algorithm if expected else "sha256") as writer:
        kept = Tee(stream, writer.write)
        with ReadAhead(Whole(decompressor(kept, kind), kept)) as tar, layers.receive(tar) as arrival:
            blob = writer.commit(expected)
            return arrival.keep(Descriptor(_TYPES[kind], blob.digest, blob.size))


def _plain(store: Store, layers: Layers, stream: Readable, head: bytes, again: Content | None) -> Layer:
    from layer.pack import looks_packed

    ours = looks_packed(head)
    with contextlib.ExitStack() as stack:
        writer = None if ours and again else stack.enter_context(store.blobs.writer())
        source = stack.enter_context(ReadAhead(Tee(stream, writer.write))) if writer else stream
        arrival = stack.enter_context(layers.receive(source, listed=not ours))
        if ours and arrival.packs_again():
            return arrival.keep(None)
        if writer is None:
            assert again is not None
            writer = stack.enter_context(store.blobs.writer())
            _copy(again, writer)
        return _keep_tar(arrival, writer)


def _copy(again: Content, writer: BlobWriter) -> None:
    with again() as stream:
        while data := stream.read(PIECE):
            writer.write(data)


def _keep_tar(arrival: Arrival, writer: BlobWriter) -> Layer:
    blob = writer.commit(Digest(arrival.diff_id))
    return arrival.keep(Descriptor(OCI_LAYER, blob.digest, blob.size))


class Tee:
    """Passes `stream` on and gives all that passes to `write`."""

    def __init__(self, stream: Readable, write: Callable[[bytes], object]) -> None:
        self._stream = stream
        self._write = write

    def read(self, n: int = -1, /) -> bytes:
        data = self._stream.read(n)
        if data:
            self._write(data)
        return data


class Whole:
    """A decompressed stream that at its end reads what is left of the compressed one: it belongs to the blob too."""

    def __init__(self, stream: Readable, below: Readable) -> None:
        self._stream = stream
        self._below = below

    def read(self, n: int = -1, /) -> bytes:
        data = self._stream.read(n)
        if not data and n != 0:
            while self._below.read(PIECE):
                pass
        return data
