"""Makes a shelf of whatever a user calls an archive: a file, a directory, a stream, compressed in any way."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InvalidInput, NotFound
from images.indexed import Directory, IndexedArchive
from images.shelf import BadArchive, Shelf
from images.streamed import StreamedArchive
from layer.compression import HEAD, decompressor, detect
from layer.decompression import Prefixed
from layer.handover import ReadAhead
from layer.pipeline import Readable
from layer.records import BadHeader

if TYPE_CHECKING:
    from core.progress import Progress
    from snapshot.layers import Layers
    from store.store import Store


@contextlib.contextmanager
def opened(source: Path | Readable, store: Store, layers: Layers, progress: Progress) -> Iterator[Shelf]:
    """The shelf that `source` is, able to receive layers. Raises BadArchive, NotFound, InvalidInput, Integrity."""
    if not isinstance(source, Path):
        yield streamed(source, store, layers, progress)
    elif source.is_dir():
        yield Directory(source, store, layers, progress)
    elif is_plain(source):
        with indexed(source, store, layers, progress) as shelf:
            yield shelf
    else:
        with source.open("rb", buffering=0) as file:
            yield streamed(file, store, layers, progress)


def indexed(
    path: Path, store: Store | None = None, layers: Layers | None = None, progress: Progress | None = None
) -> IndexedArchive:
    """The uncompressed archive at `path`; without a store it can only be read. Raises BadArchive, Truncated."""
    try:
        return IndexedArchive(path, store, layers, progress)
    except BadHeader as error:
        raise _no_archive(error) from error


def is_plain(path: Path) -> bool:
    """Whether the file can be read at any place and is not compressed. Raises NotFound, InvalidInput."""
    try:
        with path.open("rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return False
            head = file.read(HEAD)
            if not head:
                raise _empty()
            return detect(head) == "none"
    except FileNotFoundError as error:
        raise NotFound(f"open {path}: no such file or directory", "check the path") from error
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def streamed(stream: Readable, store: Store, layers: Layers, progress: Progress) -> StreamedArchive:
    """The shelf filled from a stream. Raises BadArchive for an empty one, and as StreamedArchive."""
    head = b""
    while len(head) < HEAD and (data := stream.read(HEAD - len(head))):
        head += data
    if not head:
        raise _empty()
    whole = Prefixed(head, stream)
    kind = detect(head)
    with ReadAhead(whole if kind == "none" else decompressor(whole, kind)) as tar:
        try:
            return StreamedArchive(tar, store, layers, progress)
        except BadHeader as error:
            raise _no_archive(error) from error


def _empty() -> BadArchive:
    return BadArchive("there is nothing to load: the input is empty")


def _no_archive(error: BadHeader) -> BadArchive:
    return BadArchive(f"this is no image archive: {error.message}")
