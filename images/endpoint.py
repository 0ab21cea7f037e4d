"""What an image is copied from and to: the store, a layout, an archive, a registry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from core.errors import Integrity
from image.descriptor import Descriptor
from images.shelf import Content

if TYPE_CHECKING:
    from layer.pipeline import Readable


class Endpoint(Protocol):
    """One image's place. It is made for reading or for writing and asked in this order: `resolve`, `fetch`, `open`; or for
    each blob `stat` and `write`, then `publish` for each manifest, the one that bears the name last.

    Nothing shows at a destination before `publish` with `top`; what raises before leaves garbage at most.
    """

    def resolve(self) -> tuple[Descriptor, bytes]:
        """What the name points to, an index or a manifest, with its bytes. Raises NotFound."""

    def fetch(self, wanted: Descriptor) -> bytes:
        """A manifest or index below that. Raises NotFound, Integrity."""

    def open(self, blob: Descriptor) -> AbstractContextManager[Readable]:
        """The bytes of a config or layer. Who reads them verifies them."""

    def stat(self, blob: Descriptor) -> bool:
        """Whether the config or layer is there already, and stays."""

    def write(self, blob: Descriptor, content: Content) -> None:
        """Keep the config or layer that `content` gives, verified while it is read (see `verified`)."""

    def publish(self, manifest: Descriptor, raw: bytes, *, top: bool) -> None:
        """Keep a manifest or index whose parts are all there; with `top` under the endpoint's name."""


class Verified:
    """Passes the bytes of `blob` on. The read that would end short, go on too long or have been of other bytes raises
    Integrity instead."""

    def __init__(self, stream: Readable, blob: Descriptor) -> None:
        self._stream = stream
        self._blob = blob
        self._hash = hashlib.new(blob.digest.algorithm)
        self._left = blob.size

    def read(self, n: int = -1, /) -> bytes:
        data = self._stream.read(n)
        self._left -= len(data)
        self._hash.update(data)
        if self._left < 0 or (not data and n != 0 and self._left):
            wrong = "is longer" if self._left < 0 else "is shorter"
            raise Integrity(f"blob {self._blob.digest} {wrong} than the {self._blob.size} bytes that were announced")
        if not self._left and self._hash.hexdigest() != self._blob.digest.hex:
            self._stream.read(1)  # who made the bytes may know better what is wrong with them
        if not self._left and self._hash.hexdigest() != self._blob.digest.hex:
            raise Integrity(f"the bytes of blob {self._blob.digest} hash to {self._hash.hexdigest()}", "get it again")
        return data


def verified(blob: Descriptor, content: Content) -> Content:
    """`content` checked against `blob` whenever it is read to its end."""

    @contextmanager
    def opened() -> Iterator[Readable]:
        with content() as stream:
            yield Verified(stream, blob)

    return opened
