"""The store's `BlobStore`, extended by what a server needs: blobs to hand out whole or in part, and uploads that go on
after a lost connection, in another process, or after a crash.

The life of an upload: `start` gives it an id that is good in one repository alone; any number of times `resume` takes
it exclusively, `append` adds to it, `release` lets go; `commit` makes a blob of it, `cancel` ends it without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from core.errors import Conflict
from image.digest import Digest
from store.blobs import Blob, BlobStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class UploadBusy(Conflict):
    """Another request is writing to this upload."""

    def __init__(self) -> None:
        super().__init__("another request is writing to this upload", "wait for it to end, then ask where to go on")


class Upload(Protocol):
    """An upload taken by one request. Used by one thread at a time."""

    offset: int
    """Bytes that are there: where the next ones go."""

    def expect(self, digest: Digest, size: int) -> None:
        """What will come, from the first byte on, as the client says: of use where that blob is there, or is known not to
        be. Nothing depends on its coming."""

    def append(self, pieces: Sequence[bytes]) -> None:
        """Add the pieces. Where the disk is full it raises OSError; `offset` then tells how far it got."""

    def repeats(self, expected: Digest) -> bool:
        """Whether these are the bytes that `expected` names, and the store has that blob already, byte for byte. Whether
        that one is durable is not known here. Changes nothing."""

    def commit(self, expected: Digest) -> Blob:
        """Make it the blob `expected`, durably, and end the upload. Raises Integrity, and ends it as well, where the bytes
        are other ones."""

    def cancel(self) -> None:
        """End it and free its bytes."""

    def release(self) -> None:
        """Let go, so that another request can take it. Harmless to repeat, and after the end."""


class RegistryBlobs(BlobStore, Protocol):
    """Where the server keeps blobs. All calls may come from several threads and, on disk, several processes."""

    def content(self, digest: Digest) -> Path | bytes:
        """The blob as a file to be sent, or as bytes where it is no file. It is not looked up whether it is there."""

    def start(self, owner: str, algorithm: str = "sha256") -> str:
        """Open an upload for the repository `owner`; its id. `algorithm` is what its digest will probably be of."""

    def resume(self, owner: str, upload: str) -> Upload | None:
        """Take the upload; None where `owner` has no such upload. Raises UploadBusy."""

    def hold(self, digest: Digest) -> AbstractContextManager[None]:
        """While it lasts no collector takes the blob: from before its commit until its link is written. Waits for one that
        is taking it. Any number may hold one blob."""

    def exclude(self, digests: Sequence[Digest]) -> AbstractContextManager[list[Digest]]:
        """Those of `digests` that nobody holds; nobody can while it lasts. Does not wait."""

    def expire(self, seconds: float) -> int:
        """Cancel the uploads nobody has written to for `seconds`; how many those were."""
