"""The server's blobs in memory: for tests, and for a registry that is to leave nothing behind."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from core.errors import Integrity
from image.digest import Digest
from registry.server.storage.holds import MemoryHolds
from registry.server.storage.protocol import UploadBusy
from store.blobs import Blob
from store.memory import MemoryBlobs


class MemoryRegistryBlobs(MemoryBlobs):
    """RegistryBlobs in dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self._uploads: dict[tuple[str, str], MemoryUpload] = {}
        self._holds = MemoryHolds()

    def content(self, digest: Digest) -> bytes:
        return self._blobs.get(digest, b"")

    def start(self, owner: str, algorithm: str = "sha256") -> str:
        upload = secrets.token_hex(16)
        self._uploads[owner, upload] = MemoryUpload(self, (owner, upload))
        return upload

    def resume(self, owner: str, upload: str) -> MemoryUpload | None:
        found = self._uploads.get((owner, upload))
        if found is not None and not found.lock.acquire(blocking=False):
            raise UploadBusy
        return found

    def end(self, key: tuple[str, str]) -> None:
        """Forget an upload. Harmless to repeat."""
        self._uploads.pop(key, None)

    def expire(self, seconds: float) -> int:
        limit = time.time() - seconds
        old = [k for k, one in list(self._uploads.items()) if one.touched < limit and not one.lock.locked()]
        for key in old:
            self.end(key)
        return len(old)

    def hold(self, digest: Digest) -> AbstractContextManager[None]:
        return self._holds.hold(digest)

    def exclude(self, digests: Sequence[Digest]) -> AbstractContextManager[list[Digest]]:
        return self._holds.exclude(digests)


class MemoryUpload:
    """See Upload."""

    def __init__(self, blobs: MemoryRegistryBlobs, key: tuple[str, str]) -> None:
        self._blobs, self._key, self._data = blobs, key, bytearray()
        self.lock = threading.Lock()
        self.touched = time.time()

    @property
    def offset(self) -> int:
        return len(self._data)

    def expect(self, digest: Digest, size: int) -> None:
        """See Upload: memory has no use for it."""

    def append(self, pieces: Sequence[bytes]) -> None:
        self._data += b"".join(pieces)
        self.touched = time.time()

    def _digest(self, algorithm: str) -> Digest:
        return Digest(f"{algorithm}:{hashlib.new(algorithm, self._data).hexdigest()}")

    def repeats(self, expected: Digest) -> bool:
        known = self._blobs.stat(expected) is not None and self._blobs.content(expected) == self._data
        return known and self._digest(expected.algorithm) == expected

    def commit(self, expected: Digest) -> Blob:
        found = self._digest(expected.algorithm)
        self.cancel()
        if found != expected:
            raise Integrity(f"the bytes hash to {found}, not to {expected}", "upload them again")
        self._blobs.keep(expected, bytes(self._data))
        return Blob(expected, len(self._data))

    def cancel(self) -> None:
        self._blobs.end(self._key)
        self.release()

    def release(self) -> None:
        if self.lock.locked():
            self.lock.release()
