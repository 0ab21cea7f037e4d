"""Blobs in memory: for tests and small tools; everything a BlobStore promises but durability."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from image.digest import Digest
from store.blobs import Blob, BlobNotFound, VerifyingFile, check_expected, read_whole


class MemoryBlobs:
    """A BlobStore in a dictionary."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}

    def open(self, digest: Digest) -> VerifyingFile:
        data = self._blobs.get(digest)
        if data is None:
            raise BlobNotFound(digest)
        return VerifyingFile(io.BytesIO(data), digest, len(data))

    def stat(self, digest: Digest) -> int | None:
        data = self._blobs.get(digest)
        return None if data is None else len(data)

    def writer(self, algorithm: str = "sha256") -> MemoryBlobWriter:
        return MemoryBlobWriter(self, algorithm)

    def keep(self, digest: Digest, data: bytes) -> None:
        """Put `data` under `digest` unchecked: what a writer does at last, and how a test damages a blob."""
        self._blobs[digest] = data

    def delete(self, digest: Digest) -> bool:
        return self._blobs.pop(digest, None) is not None

    def walk(self) -> Iterator[Digest]:
        yield from list(self._blobs)

    def read(self, digest: Digest, limit: int) -> bytes:
        return read_whole(self.open(digest), limit)

    def add(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        self.keep(digest, data)
        return digest


class MemoryBlobWriter:
    """See BlobWriter."""

    def __init__(self, blobs: MemoryBlobs, algorithm: str) -> None:
        self._blobs = blobs
        self._algorithm = algorithm
        self._data = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self._data += data

    def commit(self, expected: Digest | None = None) -> Blob:
        digest = Digest(f"{self._algorithm}:{hashlib.new(self._algorithm, self._data).hexdigest()}")
        check_expected(digest, expected)
        self._blobs.keep(digest, bytes(self._data))
        return Blob(digest, len(self._data))

    def abort(self) -> None:
        self._data = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
