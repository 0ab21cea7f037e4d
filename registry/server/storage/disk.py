"""The server's blobs in a directory: the store's DiskBlobs, and unfinished uploads beside them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from core.files import make_directories
from image.digest import Digest
from registry.server.storage.holds import DiskHolds
from registry.server.storage.uploads import DiskUpload, DiskUploads
from store.disk import DiskBlobs


class DiskRegistryBlobs(DiskBlobs):
    """RegistryBlobs below `root`: finished ones in `blobs/`, unfinished ones in `uploads/`."""

    def __init__(self, root: Path, *, sync: bool = True) -> None:
        super().__init__(root, sync=sync)
        self._uploads = DiskUploads(make_directories(root / "uploads", 0o700), self.path, sync=sync)
        self._holds = DiskHolds(root / "holds")

    def content(self, digest: Digest) -> Path:
        return self.path(digest)

    def start(self, owner: str, algorithm: str = "sha256") -> str:
        return self._uploads.start(owner, algorithm)

    def resume(self, owner: str, upload: str) -> DiskUpload | None:
        return self._uploads.resume(owner, upload)

    def expire(self, seconds: float) -> int:
        return self._uploads.expire(seconds)

    def hold(self, digest: Digest) -> AbstractContextManager[None]:
        return self._holds.hold(digest)

    def exclude(self, digests: Sequence[Digest]) -> AbstractContextManager[list[Digest]]:
        return self._holds.exclude(digests)
