"""A shelf filled from a tar stream that passes by once: small files stay in memory, what looks like a layer is unpacked as
it comes, before anybody has said which image it belongs to. So nothing is copied to a temporary file.

What no image turns out to need is garbage for the next collection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from core.errors import Conflict, LamellaError, Unavailable, Unsupported
from image.digest import DiffID, Digest
from images.incoming import bring_in
from images.indexed import ARCHIVE_LIMITS, link_target
from images.shelf import MAX_SMALL, BadArchive, cleaned, digest_of_name, follow, missing, short, shown, too_big
from layer import reader
from layer.compression import detect
from layer.decompression import Prefixed
from layer.pipeline import Readable

if TYPE_CHECKING:
    from core.progress import Progress
    from snapshot.layers import Layers
    from store.layers import Layer
    from store.store import Store

MAX_MEMORY = 64 << 20
_HEAD = 512


class StreamedArchive:
    """A Shelf. Making it reads the whole stream."""

    def __init__(self, stream: Readable, store: Store, layers: Layers, progress: Progress) -> None:
        """Raises Truncated, BadArchive, and what the stream raises; Unavailable for a full disk."""
        self._store = store
        self._layers = layers
        self._progress = progress
        self._small: dict[str, bytes] = {}
        self._large: dict[str, int] = {}
        self._links: dict[str, str] = {}
        self._received: dict[str, Layer | LamellaError] = {}
        self._room = MAX_MEMORY
        archive = reader.Archive(stream, ARCHIVE_LIMITS)
        for entry in archive:
            self._take(archive, entry)
        archive.drain()

    def _take(self, archive: reader.Archive, entry: reader.Entry) -> None:
        name = cleaned(entry.name)
        if entry.kind not in (reader.FILE, reader.SYMLINK, reader.HARDLINK) or entry.extents is not None:
            return
        if name in self.names():
            raise BadArchive(f"the archive has two files of one name: {shown(name)}", "this is no image archive")
        if entry.kind != reader.FILE:
            self._links[name] = link_target(name, entry)
            return
        member = Member(archive.pieces())
        head = member.first(_HEAD)
        if _may_be_layer(head):
            self._received[name] = self._receive(name, entry.size, Prefixed(head, member), member)
        elif entry.size <= MAX_SMALL:
            self._keep(name, entry.size, Prefixed(head, member))
        else:
            self._large[name] = entry.size

    def _keep(self, name: str, size: int, content: Readable) -> None:
        self._room -= size
        if self._room < 0:
            raise BadArchive(
                f"the archive's descriptions have more than {MAX_MEMORY} bytes", "this is no image archive"
            )
        parts = []
        while data := content.read(MAX_SMALL):
            parts.append(data)
        self._small[name] = b"".join(parts)

    def _receive(self, name: str, size: int, content: Readable, member: Member) -> Layer | LamellaError:
        known = self._known(name)
        if known:
            return known
        task = self._progress.task(shown(short(name)), size)
        member.counted = task.advance
        try:
            layer = bring_in(self._store, self._layers, content, expected=digest_of_name(name))
        except (Unavailable, Unsupported, Conflict) as error:
            task.fail(error.message)
            raise
        except LamellaError as error:
            task.fail(error.message)
            if member.broken:
                raise
            return error  # it may be no layer at all: only an image that needs it is in trouble
        task.finish()
        return layer

    def _known(self, name: str) -> Layer | None:
        """The layer that the file must be by its name, if it is here: its bytes need not be read."""
        digest = digest_of_name(name)
        diff_id = digest and (
            DiffID(digest) if self._layers.find(DiffID(digest)) else self._store.layers.by_blob(digest)
        )
        return self._layers.find(diff_id) if diff_id else None

    def names(self) -> Collection[str]:
        return self._small.keys() | self._large.keys() | self._links.keys() | self._received.keys()

    def read(self, name: str, limit: int = MAX_SMALL) -> bytes:
        real = follow(name, self._links)
        data = self._small.get(real)
        if data is not None and len(data) <= limit:
            return data
        if data is None and real not in self._large:
            raise missing(name)
        raise too_big(name, self._large[real] if data is None else len(data), limit)

    def receive(self, name: str, diff_id: DiffID, blob: Digest | None = None) -> Layer:
        found = self._received.get(follow(name, self._links))
        if isinstance(found, LamellaError):
            raise found
        if found is None:
            known = self._layers.find(diff_id)
            if known:
                return known
            if follow(name, self._links) in self._small.keys() | self._large.keys():
                raise BadArchive(f"{shown(name)} in the archive is no layer: it is no tar")
            raise missing(name)
        return found


def _may_be_layer(head: bytes) -> bool:
    return detect(head) != "none" or reader.is_tar(head) or not head.strip(b"\0")


class Member:
    """A Readable over one entry's content. `broken`: the archive itself ended or failed in the middle of it."""

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.broken = False
        self.counted = _ignored

    def first(self, count: int) -> bytes:
        """The first `count` bytes, or all there are."""
        head = b""
        while len(head) < count and (data := self.read(count - len(head))):
            head += data
        return head

    def read(self, n: int = -1, /) -> bytes:
        if n < 0:
            return b"".join(iter(lambda: self.read(MAX_SMALL), b""))
        if not self._rest and n:
            try:
                self._rest = memoryview(next(self._pieces, b""))
            except BaseException:
                self.broken = True
                raise
        data = bytes(self._rest[:n])
        self._rest = self._rest[n:]
        self.counted(len(data))
        return data


def _ignored(amount: int) -> None:
    pass
