"""Unfinished uploads as files: what is on disk is the state, so that any process can go on where the last one stopped.

A file's name carries the upload's id and a hash of the repository it belongs to, its size is the offset, and an flock is
the right to write to it. How far it was hashed lives in memory; whoever commits without that knowledge reads the rest.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.errors import Integrity, Unavailable
from core.files import fsync_directory, make_directories
from image.digest import Digest
from registry.server.storage.model import Compared, Model
from registry.server.storage.protocol import UploadBusy
from store.blobs import Blob

ID = re.compile(r"[0-9a-f]{32}")
READ_BYTES = 1 << 20
REMEMBERED = 1000
FLUSH_BYTES = 8 << 20
UNTOLD_BYTES = 128 << 20  # so much of what may be known, or may never be finished, is not worth the disk's time
JOINED_BYTES = 64 << 10
KEPT_BYTES = 1 << 30  # so much is copied for the sake of a client that may come back


class Hashed:
    """A hash over the first `count` bytes of an upload."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.count = 0
        self._hash: Any = hashlib.new(algorithm)

    def update(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self.count += len(data)

    def digest(self) -> Digest:
        return Digest(f"{self.algorithm}:{self._hash.hexdigest()}")


class DiskUploads:
    """The uploads of one directory. `place` says where the blob of a digest belongs, on the same file system."""

    def __init__(self, directory: Path, place: Callable[[Digest], Path], *, sync: bool = True) -> None:
        self.directory = directory
        self.place = place
        self.sync = sync
        self.compared = Compared()
        self._hashed: dict[str, Hashed] = {}
        self._guard = threading.Lock()

    def start(self, owner: str, algorithm: str = "sha256") -> str:
        """See RegistryBlobs. Nothing waits for the disk: an upload that a power loss takes is begun again."""
        upload = secrets.token_hex(16)
        os.close(os.open(self._path(owner, upload), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self.remember(upload, Hashed(algorithm))
        return upload

    def resume(self, owner: str, upload: str) -> DiskUpload | None:
        """See RegistryBlobs."""
        if not ID.fullmatch(upload):
            return None
        path = self._path(owner, upload)
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise UploadBusy from error
        if not os.fstat(fd).st_nlink:  # it ended between open and flock
            os.close(fd)
            return None
        with self._guard:
            hashed = self._hashed.pop(upload, None)
        return DiskUpload(self, upload, path, fd, hashed or Hashed("sha256"))

    def remember(self, upload: str, hashed: Hashed) -> None:
        """Keep how far it was hashed, of a bounded number of uploads."""
        with self._guard:
            while len(self._hashed) >= REMEMBERED:
                del self._hashed[next(iter(self._hashed))]
            self._hashed[upload] = hashed

    def expire(self, seconds: float) -> int:
        """See RegistryBlobs."""
        limit, count = time.time() - seconds, 0
        for entry in os.scandir(self.directory):
            with contextlib.suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < limit and self._remove_unless_busy(entry.path):
                    count += 1
        return count

    def _remove_unless_busy(self, path: str) -> bool:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def _path(self, owner: str, upload: str) -> Path:
        return self.directory / f"{upload}.{hashlib.sha256(owner.encode()).hexdigest()[:16]}"


class DiskUpload:
    """One upload, locked by us."""

    def __init__(self, uploads: DiskUploads, upload: str, path: Path, fd: int, hashed: Hashed) -> None:
        self._uploads, self._id, self._path, self._hashed = uploads, upload, path, hashed
        self._fd: int | None = fd
        self._ended = False
        self._model: Model | None = None
        self._flush_at = UNTOLD_BYTES
        self.offset = self._flushed = os.fstat(fd).st_size

    def expect(self, digest: Digest, size: int) -> None:
        """See Upload. Where there is such a blob nothing is written as long as the bytes are its own."""
        if self.offset:
            return
        self._model = Model.find(self._uploads.place(digest), size, self._uploads.compared)
        if self._model is None:
            self._flush_at = FLUSH_BYTES
        elif self._hashed.algorithm != digest.algorithm:
            self._hashed = Hashed(digest.algorithm)

    def append(self, pieces: Sequence[bytes]) -> None:
        """See Upload."""
        if sum(map(len, pieces)) < len(pieces) * JOINED_BYTES:
            pieces = [b"".join(pieces)]  # each write and each update hands the interpreter's lock back and forth once
        for data in pieces:
            self._add(data)
        self._start_flushing()

    def _add(self, data: bytes) -> None:
        repeated = self._model is not None and self._model.has(data, self.offset)
        if not repeated:
            self._write_model()
        in_step = self._hashed.count == self.offset
        if repeated:
            self.offset += len(data)
        else:
            self._write(memoryview(data))
        if in_step:
            self._hashed.update(data)

    def _write_model(self) -> None:
        """Write what came so far, where there was no need to. Raises Unavailable, with nothing left of it, where the blob was
        changed meanwhile."""
        model, self._model = self._model, None
        if model is None:
            return
        with model:
            size, came, self.offset, self._hashed = self.offset, self._hashed, 0, Hashed(self._hashed.algorithm)
            while data := model.read(min(READ_BYTES, size - self.offset), self.offset):
                self._write(memoryview(data))
                self._hashed.update(data)
        if self._hashed.digest() != came.digest():
            os.ftruncate(self._open, 0)
            self.offset, self._hashed = 0, Hashed(came.algorithm)
            raise Unavailable("the blob was changed while the upload was compared with it", "upload it again")

    def _start_flushing(self) -> None:
        """Let the disk begin now, without waiting, so that the fsync at the end finds little to do.

        DONTNEED does that on Linux: it starts the writing of dirty pages, and drops only clean ones, of which these new
        ones are none.
        """
        if self._uploads.sync and self._model is None and self.offset - self._flushed >= self._flush_at:
            os.posix_fadvise(self._open, self._flushed, self.offset - self._flushed, os.POSIX_FADV_DONTNEED)
            self._flushed, self._flush_at = self.offset, FLUSH_BYTES

    def _write(self, data: memoryview) -> None:
        while data:
            written = os.write(self._open, data)
            self.offset += written
            data = data[written:]

    def repeats(self, expected: Digest) -> bool:
        """See Upload."""
        if self._model is not None:  # which had every byte
            return self._digest(expected.algorithm) == expected and self._model.stands(self.offset)
        model = Model.find(self._uploads.place(expected), self.offset, self._uploads.compared)
        if model is None:
            return False
        with model:
            known = self._digest(expected.algorithm) == expected and model.same(self._open)
            return known and model.stands(self.offset)

    def commit(self, expected: Digest) -> Blob:
        """See Upload. Order: fsync of the bytes, rename to the blob's place, fsync of the directory."""
        found = self._digest(expected.algorithm)
        if found != expected:
            self.cancel()
            raise Integrity(f"the bytes hash to {found}, not to {expected}", "upload them again")
        self._write_model()
        target = self._uploads.place(expected)
        sync = self._uploads.sync
        if sync:
            os.fsync(self._open)
        make_directories(target.parent)
        os.rename(self._path, target)
        if sync:
            fsync_directory(target.parent)
        self._end()
        return Blob(expected, self.offset)

    def _digest(self, algorithm: str) -> Digest:
        """Of the whole file: what was not hashed while it came in is read again."""
        if self._hashed.algorithm != algorithm:
            self._write_model()
        hashed = self._hashed if self._hashed.algorithm == algorithm else Hashed(algorithm)
        buffer = memoryview(bytearray(READ_BYTES if hashed.count < self.offset else 0))
        while hashed.count < self.offset:
            count = os.preadv(self._open, [buffer], hashed.count)
            if not count:
                break
            hashed.update(buffer[:count])
        self._hashed = hashed
        return hashed.digest()

    def cancel(self) -> None:
        """See Upload."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self.release()

    def release(self) -> None:
        """See Upload."""
        if self._fd is None:
            return
        if not self._ended:
            self._keep()
        if self._model is not None:
            self._model.close()
        os.close(self._fd)
        self._model = self._fd = None

    def _keep(self) -> None:
        """Have on the disk what came, for who goes on: a full disk, or the end of this process, cost the client that alone."""
        if self._model is None or self.offset <= KEPT_BYTES:
            with contextlib.suppress(OSError, Unavailable):
                self._write_model()
            self._uploads.remember(self._id, self._hashed)

    @property
    def _open(self) -> int:
        assert self._fd is not None, "released"
        return self._fd
