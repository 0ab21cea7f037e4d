"""One layer coming in from a file or a stream: hashed, unpacked and kept in a single pass.

Kept how: a compressed layer stays beside its directory as it came. Of an uncompressed tar the recipe is kept, unless our packer
makes the same bytes of the directory: then the layer is as if it had been built here, and costs its directory alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from image.descriptor import Descriptor
from image.digest import Digest
from image.media_types import OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from layer.compression import detect, whole
from layer.decompression import Prefixed
from layer.handover import ReadAhead
from layer.pipeline import Readable
from store.disk import disk_errors

if TYPE_CHECKING:
    from snapshot.layers import Layers
    from store.layers import Layer
    from store.store import Store

_HEAD = 512
_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}


def bring_in(store: Store, layers: Layers, stream: Readable, *, expected: Digest | None = None) -> Layer:
    """The layer that `stream` is, compressed or not, in the store up to `Layers.enter`. The stream is read to its end.

    `expected` is the digest of the stream's bytes. Raises Integrity, InvalidInput, Unavailable; nothing stays then.
    """
    head = _first(stream)
    blob = Prefixed(head, stream)
    kind = detect(head)
    with disk_errors(store.root):
        if kind in _TYPES:
            return _compressed(store, layers, blob, kind, expected)
        if kind != "none":  # no registry takes a layer in this compression: its tar counts
            return bring_in(store, layers, whole(blob, kind))
        return _plain(layers, blob, head)


def _first(stream: Readable) -> bytes:
    head = b""
    while len(head) < _HEAD and (data := stream.read(_HEAD - len(head))):
        head += data
    return head


def _compressed(store: Store, layers: Layers, stream: Readable, kind: str, expected: Digest | None) -> Layer:
    with store.blobs.writer(expected.algorithm if expected else "sha256") as writer:
        kept = Tee(stream, writer.write)
        with ReadAhead(whole(kept, kind)) as tar, layers.receive(tar) as arrival:
            blob = writer.commit(expected)
            return arrival.keep(Descriptor(_TYPES[kind], blob.digest, blob.size))


def _plain(layers: Layers, stream: Readable, head: bytes) -> Layer:
    from layer.pack import looks_packed

    ours = looks_packed(head)
    with layers.receive(stream, listed=not ours, recorded=True) as arrival:
        if ours and arrival.packs_again():
            return arrival.keep(None)
        return arrival.keep_recipe()


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
