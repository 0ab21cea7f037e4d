"""Blobs as files: `<root>/blobs/<algorithm>/<first two digits>/<digits>`.

Order of a write (must): temporary file in `<root>/tmp`, hashed on the way, fsync, rename, fsync of the directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from core.errors import Unavailable
from core.files import fsync_directory, make_directories
from core.writeback import Writeback
from image.digest import Digest
from store.blobs import CHUNK_BYTES, Blob, BlobNotFound, VerifyingFile, check_expected, read_whole
from store.temporary import Temporaries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from core.direct import DirectFile


_FULL = (errno.ENOSPC, errno.EDQUOT)
Protect = Callable[[Digest], object]


class DiskFull(Unavailable):
    """The file system that holds the store has no room."""

    def __init__(self, root: Path, what: str | None) -> None:
        super().__init__(
            f"no space left on the disk that holds {root} ({what})",
            "free some space, for example with `lamella image prune`, or keep images elsewhere with --root",
        )


@contextlib.contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Raise DiskFull for a full disk or quota, Unavailable for what else the disk refuses. Where code below has given the
    failure words of its own, DiskFull tells them after its own."""
    try:
        yield
    except Unavailable as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL and not isinstance(error, DiskFull):
            raise DiskFull(root, error.message) from error
        raise
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError):
            raise  # a network's, from the stream that is being stored
        if error.errno in _FULL:
            raise DiskFull(root, error.strerror) from error
        raise Unavailable(
            f"cannot use the store at {root}: {error}", "check the disk and the owner of the directory"
        ) from error


class DiskBlobs:
    """A BlobStore on one directory, for any number of threads and processes.

    `protect` is called with each digest before its blob takes its name, so that no sweeper removes it before it is used.
    """

    def __init__(self, root: Path, *, sync: bool = True, protect: Protect | None = None) -> None:
        """The directories `blobs` and `tmp` are made when first needed. `sync` off: do not wait for the disk."""
        self.root = root
        self.sync = sync
        self.protect = protect or (lambda digest: None)
        self.temporaries = Temporaries(root)

    def path(self, digest: Digest) -> Path:
        """Where the blob is, if it is."""
        algorithm, _, digits = digest.partition(":")
        return self.root.joinpath("blobs", algorithm, digits[:2], digits)

    def open(self, digest: Digest) -> VerifyingFile:
        try:
            file = open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError as error:
            raise BlobNotFound(digest) from error
        return VerifyingFile(file, digest, os.fstat(file.fileno()).st_size)

    def stat(self, digest: Digest) -> int | None:
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            return None

    def writer(self, algorithm: str = "sha256", *, aside: bool = False) -> DiskBlobWriter:
        """As the Protocol. `aside`: it is large, and kept for some other day."""
        return DiskBlobWriter(self, algorithm, aside=aside)

    def delete(self, digest: Digest) -> bool:
        try:
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return False
        return True

    def walk(self) -> Iterator[Digest]:
        top = self.root / "blobs"
        for algorithm in _names(top):
            for fan in _names(top / algorithm):
                for digits in _names(top / algorithm / fan):
                    yield Digest(f"{algorithm}:{digits}")

    def read(self, digest: Digest, limit: int) -> bytes:
        return read_whole(self.open(digest), limit)

    def add(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        self.protect(digest)
        if not self._has(digest, data):
            with self.writer() as writer:
                writer.write(data)
                writer.commit(digest)
        return digest

    def _has(self, digest: Digest, data: bytes) -> bool:
        """Whether the blob is there with these very bytes, its name durable."""
        path = self.path(digest)
        try:
            if path.read_bytes() != data:
                return False
            if self.sync:
                fsync_directory(path.parent)
        except FileNotFoundError:
            return False
        return True


class DiskBlobWriter:
    """See BlobWriter."""

    def __init__(self, blobs: DiskBlobs, algorithm: str, *, aside: bool) -> None:
        import hashlib

        direct = _direct_file() if aside and blobs.sync else None
        self._blobs = blobs
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self._size = 0
        with disk_errors(blobs.root):  # from here on nothing takes long: who is interrupted now leaves the file behind
            fd, self._path = _temporary_file(blobs.temporaries)
            self._file = os.fdopen(fd, "wb", buffering=CHUNK_BYTES)
        self._writeback = Writeback(fd)
        self._direct = direct(fd) if direct else None

    def write(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._size += len(data)
        with disk_errors(self._blobs.root):
            (self._direct or self._file).write(data)
        if self._blobs.sync and not self._direct:
            self._writeback.wrote(len(data))

    def commit(self, expected: Digest | None = None) -> Blob:
        digest = Digest(f"{self._algorithm}:{self._hash.hexdigest()}")
        check_expected(digest, expected)
        target = self._blobs.path(digest)
        with disk_errors(self._blobs.root):
            (self._direct or self._file).flush()
            if self._blobs.sync:
                os.fsync(self._file.fileno())
            self._blobs.protect(digest)
            self._place(target)
            if self._blobs.sync:
                fsync_directory(target.parent)
        self._close()
        return Blob(digest, self._size)

    def _close(self) -> None:
        if self._direct:
            self._direct.close()
        self._file.close()

    def _place(self, target: Path) -> None:
        os.fchmod(self._file.fileno(), 0o444)
        try:
            os.rename(self._path, target)
        except FileNotFoundError:
            make_directories(target.parent)
            os.rename(self._path, target)

    def abort(self) -> None:
        if self._file.closed:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        with contextlib.suppress(OSError):  # what is still buffered meets the same full disk
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def _direct_file() -> type[DirectFile]:
    from core.direct import DirectFile

    return DirectFile


def _temporary_file(temporaries: Temporaries) -> tuple[int, Path]:
    try:
        return temporaries.file()
    except FileNotFoundError:
        make_directories(temporaries.path, 0o700)
        return temporaries.file()


def _names(path: Path) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
