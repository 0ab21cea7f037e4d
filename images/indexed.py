"""Shelves whose files can be read in any order: a tar archive on a disk, and a directory."""

from __future__ import annotations

import contextlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from core.closing import Closing
from core.errors import LamellaError, NotFound
from core.progress import Progress, Silent
from image.digest import DiffID, Digest
from images.incoming import bring_in
from images.shelf import MAX_FILES, MAX_SMALL, BadArchive, cleaned, follow, missing, short, shown, too_big
from layer import reader
from layer.limits import Limits
from layer.pipeline import PIECE, Readable

if TYPE_CHECKING:
    from snapshot.layers import Layers
    from store.layers import Layer
    from store.store import Store

# An archive of images has few files: what has more is something else, and is not worth the memory.
ARCHIVE_LIMITS = Limits(entries=MAX_FILES, total_bytes=1 << 44, path_bytes=1024)


class Range:
    """A Readable over a part of an open file. Raises Truncated where the file ends before."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._at = offset
        self._end = offset + size

    def read(self, n: int = -1, /) -> bytes:
        left = self._end - self._at
        data = os.pread(self._fd, left if n < 0 else min(n, left), self._at) if left and n else b""
        if left and n and not data:
            raise reader.Truncated("the archive ends in the middle of a file: it was cut short")
        self._at += len(data)
        return data

    def skip(self, count: int) -> None:
        """Pass over `count` bytes. Raises Truncated where there are not so many."""
        if count > self._end - self._at:
            raise reader.Truncated("the archive ends in the middle of a file: it was cut short")
        self._at += count


class Shelved(ABC):
    """What both have in common: files are received when an image needs them."""

    def __init__(self, store: Store | None, layers: Layers | None, progress: Progress | None) -> None:
        """Without a store, nothing can be received: the files are only read."""
        self._store = store
        self._layers = layers
        self._progress = progress or Silent()
        self._received: dict[str, Layer] = {}

    @abstractmethod
    def size(self, name: str) -> int:
        """The file's size in bytes. Raises BadArchive where it is missing."""

    @abstractmethod
    def open(self, name: str) -> AbstractContextManager[Readable]:
        """One file's bytes. Raises BadArchive where it is missing."""

    def receive(self, name: str, diff_id: DiffID, blob: Digest | None = None) -> Layer:
        assert self._store is not None and self._layers is not None, "this shelf is for reading"
        known = self._received.get(name) or self._layers.find(diff_id)
        if known:
            return known
        task = self._progress.task(shown(short(name)), self.size(name))
        try:
            with self.open(name) as stream:
                source = Counted(stream, task.advance)
                layer = bring_in(self._store, self._layers, source, expected=blob)
        except LamellaError as error:
            task.fail(error.message)
            raise
        task.finish()
        self._received[name] = layer
        return layer


class IndexedArchive(Shelved, Closing):
    """An uncompressed tar in a file: one pass over its headers finds where everything is, contents are read when needed."""

    def __init__(
        self, path: Path, store: Store | None = None, layers: Layers | None = None, progress: Progress | None = None
    ) -> None:
        """Raises BadArchive, Truncated, and OSError for a file that cannot be read."""
        super().__init__(store, layers, progress)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._files: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        try:
            self._scan()
        except BaseException:
            os.close(self._fd)
            raise

    def _scan(self) -> None:
        size = os.fstat(self._fd).st_size
        source = Range(self._fd, 0, size)
        archive = reader.Archive(Ending(source), ARCHIVE_LIMITS, skip=source.skip)
        for entry in archive:
            name = cleaned(entry.name)
            if entry.kind == reader.FILE and entry.extents is None:
                self._once(name)
                self._files[name] = (archive.offset, entry.size)
                if archive.offset + entry.size > size:
                    raise reader.Truncated(f"the archive ends in the middle of {shown(name)}: it was cut short")
            elif entry.kind in (reader.SYMLINK, reader.HARDLINK):
                self._once(name)
                self._links[name] = link_target(name, entry)

    def _once(self, name: str) -> None:
        if name in self._files or name in self._links:
            raise BadArchive(f"the archive has two files of one name: {shown(name)}", "this is no image archive")

    def names(self) -> Collection[str]:
        return self._files.keys() | self._links.keys()

    def size(self, name: str) -> int:
        return self._place(name)[1]

    def _place(self, name: str) -> tuple[int, int]:
        found = self._files.get(follow(name, self._links))
        if found is None:
            raise missing(name)
        return found

    def read(self, name: str, limit: int = MAX_SMALL) -> bytes:
        if self.size(name) > limit:
            raise too_big(name, self.size(name), limit)
        with self.open(name) as stream:
            return b"".join(iter(lambda: stream.read(PIECE), b""))

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        yield Range(self._fd, *self._place(name))

    def close(self) -> None:
        """Harmless to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Counted:
    """Passes `stream` on and counts what passes."""

    def __init__(self, stream: Readable, count: Callable[[int], object]) -> None:
        self._stream = stream
        self._count = count

    def read(self, n: int = -1, /) -> bytes:
        data = self._stream.read(n)
        self._count(len(data))
        return data


class Ending:
    """A Range that comes to an end where the file does, as Archive expects it of a stream."""

    def __init__(self, source: Range) -> None:
        self._source = source

    def read(self, n: int = -1, /) -> bytes:
        return self._source.read(min(n, 64 << 10) if n >= 0 else PIECE)


def link_target(name: str, entry: reader.Entry) -> str:
    """Where the link leads, as a symbolic link beside it would say."""
    if entry.kind == reader.SYMLINK:
        return os.fsdecode(entry.link)
    return "../" * name.count("/") + cleaned(entry.link)


class Directory(Shelved):
    """An OCI layout, or an archive unpacked, in a directory. Nothing outside of it is ever opened."""

    def __init__(
        self, path: Path, store: Store | None = None, layers: Layers | None = None, progress: Progress | None = None
    ) -> None:
        super().__init__(store, layers, progress)
        self.path = path
        if not path.is_dir():
            raise NotFound(f"no such directory: {path}", "check the path")

    def names(self) -> Collection[str]:
        found: set[str] = set()
        for directory, _, files in os.walk(self.path):
            found.update(os.path.relpath(os.path.join(directory, file), self.path) for file in files)
            if len(found) > MAX_FILES:
                raise BadArchive(f"{self.path} has more than {MAX_FILES} files", "this is no image layout")
        return found

    def size(self, name: str) -> int:
        fd = self._fd(name)
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def _fd(self, name: str) -> int:
        from core.paths import open_regular

        try:
            return open_regular(self.path, name)
        except OSError as error:
            raise missing(name) from error

    def read(self, name: str, limit: int = MAX_SMALL) -> bytes:
        with os.fdopen(self._fd(name), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or size > limit:
                raise too_big(name, size, limit)
            return file.read(limit)

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        with os.fdopen(self._fd(name), "rb", buffering=0) as file:
            yield file

    def close(self) -> None:
        """Nothing is kept open."""
