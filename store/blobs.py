"""Bytes by digest: what every place that keeps blobs can do.

The life of a blob: a `writer` takes its bytes and hashes them on the way; `commit` gives it its name, whole and durable,
or it never existed; `open` reads it and vouches for what it gave; `delete` ends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from core.errors import Integrity, NotFound
from core.hashing import hasher
from core.value import Value
from image.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Protocol, Self
else:
    Protocol = object

CHUNK_BYTES = 1 << 20
FSCK_HINT = "`lamella fsck` shows which images need it, `lamella fsck --repair` gets it again where it can"


class BlobNotFound(NotFound):
    """The store has no such blob."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"no such blob: {digest}", "run `lamella fsck`, or pull or build the image again")


class BlobDamaged(Integrity):
    """The bytes are not those that the digest names."""

    def __init__(self, digest: Digest, why: str) -> None:
        super().__init__(f"blob {digest} is damaged: {why}", FSCK_HINT)
        self.digest = digest


class Blob(Value):
    """What a writer stored; `size` in bytes."""

    digest: Digest
    size: int


class BlobWriter(Protocol):
    """One blob on its way in. Used by one thread; as a context manager it aborts unless it was committed."""

    def write(self, data: bytes | memoryview) -> object:
        """Append `data`. Raises Unavailable when the disk is full."""

    def commit(self, expected: Digest | None = None) -> Blob:
        """Give the blob its name; durable when this returns. Raises Integrity, and keeps nothing, where the bytes are
        not those `expected`. A blob that is there already is replaced by the same bytes."""

    def abort(self) -> None:
        """Leave no trace. Harmless to repeat, and after a commit."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlobStore(Protocol):
    """A place that keeps blobs. All calls may come from several threads and, on disk, from several processes."""

    def open(self, digest: Digest) -> VerifyingFile:
        """The blob's bytes, checked while they are read. Raises BlobNotFound."""

    def stat(self, digest: Digest) -> int | None:
        """The blob's size in bytes, None where there is no such blob."""

    def writer(self, algorithm: str = "sha256") -> BlobWriter:
        """A new blob whose digest will be of that algorithm."""

    def delete(self, digest: Digest) -> bool:
        """Remove the blob; False where there was none. Who still needs it is the caller's business."""

    def walk(self) -> Iterator[Digest]:
        """Every blob there is, in no order; blobs that come or go meanwhile may be missed."""

    def read(self, digest: Digest, limit: int) -> bytes:
        """The whole blob. Raises BlobNotFound, and Integrity when it is damaged or larger than `limit` bytes."""

    def add(self, data: bytes) -> Digest:
        """Keep `data` (by sha256), durable when this returns. Harmless to repeat."""


class VerifyingFile:
    """A blob being read. The read that delivers its last bytes raises BlobDamaged where the whole is not what the digest
    names, so that nobody gets to the end of a damaged blob; who stops before the end has checked nothing."""

    def __init__(self, file: IO[bytes], digest: Digest, size: int) -> None:
        self.digest = digest
        self.size = size
        self._file = file
        self._hash = hasher(digest.algorithm, size)
        self._count = 0
        self._checked = False

    def read(self, n: int = -1, /) -> bytes:
        """At most `n` bytes (all that is left when negative), empty at the end."""
        data = self._file.read(n)
        self._hash.update(data)
        self._count += len(data)
        if self._count >= self.size or (not data and n != 0):
            self._check()
        return data

    def lines(self) -> Iterator[bytes]:
        """The blob's lines, each with its line feed."""
        rest = b""
        while data := self.read(CHUNK_BYTES):
            *whole, rest = (rest + data).split(b"\n")
            yield from (line + b"\n" for line in whole)
        if rest:
            yield rest

    def _check(self) -> None:
        if self._checked:
            return
        if self._count != self.size:
            raise BlobDamaged(self.digest, f"{self._count} bytes were read, {self.size} expected")
        if self._hash.hexdigest() != self.digest.hex:
            raise BlobDamaged(self.digest, f"its bytes hash to {self._hash.hexdigest()}")
        self._checked = True

    def close(self) -> None:
        """Harmless to repeat. An empty blob that nobody read is still checked."""
        self._file.close()
        if self.size == 0:
            self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close() if kind else self.close()


def read_whole(file: VerifyingFile, limit: int) -> bytes:
    """All of `file`, closed afterwards. Raises Integrity when it is damaged or larger than `limit` bytes."""
    with file:
        if file.size > limit:
            raise BlobDamaged(file.digest, f"it has {file.size} bytes where at most {limit} make sense")
        return file.read()


def check_expected(found: Digest, expected: Digest | None) -> None:
    """Raises Integrity where `expected` is given and is not `found`."""
    if expected is not None and found != expected:
        raise Integrity(f"the bytes hash to {found}, not to {expected}", "fetch them again; do not trust the source")
