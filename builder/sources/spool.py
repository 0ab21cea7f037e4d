"""The body of an answer, in a temporary file: streamed, counted, hashed, and whole or not there."""

from __future__ import annotations

import os
import shutil
from hashlib import sha256
from pathlib import Path

from builder.sources.web import Answer
from core.closing import Closing
from core.errors import LamellaError, Unavailable
from core.units import whole_number
from core.value import Value
from image.digest import Digest
from store.disk import disk_errors
from store.temporary import Temporaries

CHUNK_BYTES = 1 << 20


class Version(Value):
    """A file as a server has it now. `modified` is its Last-Modified in seconds since 1970, None where nobody says."""

    digest: Digest
    modified: int | None = None


class Broken(Unavailable):
    """The body ended too early."""


class TooLong(LamellaError):
    """The body has more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes came")
        self.limit = limit


class Spooled(Closing):
    """A version whose bytes are in the file `path`, which is removed by `close` unless it was placed. One thread uses it."""

    def __init__(self, version: Version, path: Path, fd: int) -> None:
        self.version = version
        self.path = path
        self._fd = fd  # its lock keeps the file from being swept

    def place(self, target: Path, mode: int) -> None:
        """Move the file to `target`, which is not there yet, with that mode and the time of its version (1970 where nobody
        says). Raises OSError."""
        seconds = self.version.modified or 0
        os.chmod(self.path, mode)
        os.utime(self.path, (seconds, seconds))
        shutil.move(self.path, target)

    def close(self) -> None:
        """Harmless to repeat."""
        if self._fd >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1


def spool(answer: Answer, temporaries: Temporaries, limit: int) -> Spooled:
    """All of `answer`, which is closed. Raises Broken, TooLong, DiskFull; nothing is kept then."""
    declared = answer.headers.get("content-length", "")
    size = whole_number(declared, limit)
    fd, path = temporaries.file()
    try:
        if size is None and declared.isdecimal():
            raise TooLong(limit)
        with disk_errors(temporaries.path.parent):
            digest = _copy(answer, fd, size, limit)
        return Spooled(Version(digest, modified_time(answer.headers.get("last-modified", ""))), path, fd)
    except BaseException:
        path.unlink()
        os.close(fd)
        raise
    finally:
        answer.close()


def _copy(answer: Answer, fd: int, size: int | None, limit: int) -> Digest:
    hash_, count = sha256(), 0
    while data := _read(answer):
        count += len(data)
        if count > limit:
            raise TooLong(limit)
        hash_.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    if size is not None and count != size:
        raise Broken(f"{count} bytes came, and {size} were announced", "try again later")
    return Digest(f"sha256:{hash_.hexdigest()}")


def _read(answer: Answer) -> bytes:
    try:
        return answer.read(CHUNK_BYTES)
    except Unavailable as error:
        raise Broken(error.message, error.hint) from error


def modified_time(text: str) -> int | None:
    """The seconds since 1970 that an HTTP date means; None where it is none, or one before 1970."""
    from email.utils import parsedate_to_datetime

    try:
        seconds = int(parsedate_to_datetime(text).timestamp())
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return seconds if seconds >= 0 else None
