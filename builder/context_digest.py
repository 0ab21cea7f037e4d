"""The content part of a COPY's or ADD's cache key: what would be copied, as one sha256. Never a time.

Two things are remembered where a `FileDigests` is given: each file's sha256, and the answer for a whole set of entries
under a digest of their names and statuses. So a build that changes nothing costs a stat an entry and one query.
"""

from __future__ import annotations

import marshal
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from builder.context_walk import Entry
from builder.statuses import Seen
from core.hashing import hasher
from image.digest import Digest
from store.file_digests import RACY_NANOSECONDS, FileKey

FORMAT = 1  # counts up when the same files shall give another digest
_CHUNK = 1 << 20
_EMPTY = hasher("sha256", 0).digest()
_SMALL = 256 << 10
_KEPT_XATTRS = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
# No device has this number: rows under it hold what whole sets of entries hashed to.
_SETS = -1


class FileDigests(Protocol):
    """Remembered sha256 of files (store.file_digests)."""

    def get_many(self, keys: Iterable[FileKey]) -> dict[FileKey, Digest]: ...

    def put_many(self, digests: Mapping[FileKey, Digest], hashed: int) -> None: ...


class Part(NamedTuple):
    """A source: its `label` (what its name adds to the key), its path, its entries (one named "" is the source itself), and
    their statuses as one digest; the two are asked for when they are needed."""

    label: str
    path: Path
    entries: Callable[[], list[Entry]]
    seen: Callable[[], Seen]


def digest_of(parts: Sequence[Part], digests: FileDigests | None, *, owners: bool) -> str:
    """sha256 (hex) of these sources. With `owners` off, every owner counts as 0:0."""
    if digests is None:
        return _content(parts, None, owners)
    seen = [part.seen() for part in parts]
    key = _set_key(parts, seen, owners)
    known = digests.get_many([key]).get(key)
    if known is not None:
        return known.hex
    content = _content(parts, digests, owners)
    began = min((one.began for one in seen), default=0)
    if max((one.newest for one in seen), default=0) < began - RACY_NANOSECONDS:
        digests.put_many({key: Digest(f"sha256:{content}")}, began)
    return content


def _set_key(parts: Sequence[Part], seen: Sequence[Seen], owners: bool) -> FileKey:
    """What these sets of entries are known by: where they are, and their statuses."""
    place, what = hasher("sha256", 0), hasher("sha256", 0)
    place.update(f"{FORMAT} {owners}".encode())
    for part in parts:
        place.update(os.fsencode(f"\0{part.label}\0{part.path}"))
    what.update(b"".join(one.digest for one in seen))
    where, found = place.digest(), what.digest()
    # Below 2^56 each, so that none of them reads as a time that is too new to be remembered.
    size, mtime, ctime = (int.from_bytes(found[at : at + 7], "big") for at in (0, 7, 14))
    return FileKey(_SETS, int.from_bytes(where[:7], "big"), size, mtime, ctime)


def _content(parts: Sequence[Part], digests: FileDigests | None, owners: bool) -> str:
    total = hasher("sha256", 0)
    total.update(b"%d" % FORMAT)
    known = _file_digests(parts, digests)
    links: dict[tuple[int, int], int] = {}
    for part in parts:
        total.update(marshal.dumps(("source", part.label), 2))
        base = os.fspath(part.path)
        for name, status in sorted(part.entries()):
            place = f"{base}/{name}" if name else base
            content = known.get((status.st_dev, status.st_ino), b"")
            total.update(marshal.dumps(_facts(name, place, status, content, links, owners), 2))
    return total.hexdigest()


def _facts(
    name: str, path: str, status: os.stat_result, content: bytes, links: dict[tuple[int, int], int], owners: bool
) -> tuple[Any, ...]:
    mode = status.st_mode
    # A socket of a context becomes an empty file.
    if stat.S_ISSOCK(mode):
        mode, content = stat.S_IFREG | stat.S_IMODE(mode), _EMPTY
    target = os.readlink(path) if stat.S_ISLNK(mode) else ""
    device = status.st_rdev if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    # Names of one file stay names of one file, so which ones are is part of the content.
    same = links.setdefault((status.st_dev, status.st_ino), len(links)) if _has_links(status) else -1
    ids = (status.st_uid, status.st_gid) if owners else (0, 0)
    return (name, mode, *ids, size, target, device, same, _xattrs(path), content)


def _has_links(status: os.stat_result) -> bool:
    return status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)


def _xattrs(path: str) -> list[tuple[str, bytes]]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return []
    return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names) if _kept(name)]


def _kept(name: str) -> bool:
    return name in _KEPT_XATTRS or (name.startswith("user.") and not name.startswith("user.overlay."))


def _file_digests(parts: Sequence[Part], digests: FileDigests | None) -> dict[tuple[int, int], bytes]:
    """The sha256 of every regular file's bytes, by device and inode."""
    wanted: dict[FileKey, str] = {}
    places: dict[FileKey, tuple[int, int]] = {}
    for part in parts:
        base = os.fspath(part.path)
        for name, status in part.entries():
            if stat.S_ISREG(status.st_mode):
                key = FileKey.of(status)
                wanted[key] = f"{base}/{name}" if name else base
                places[key] = (status.st_dev, status.st_ino)
    began = time.time_ns()
    known = digests.get_many(wanted) if digests else {}
    fresh = _hash_files({key: path for key, path in wanted.items() if key not in known})
    if digests and fresh:
        digests.put_many({key: Digest(f"sha256:{value.hex()}") for key, value in fresh.items()}, began)
    found = {places[key]: bytes.fromhex(digest.hex) for key, digest in known.items()}
    return found | {places[key]: value for key, value in fresh.items()}


def _hash_files(files: Mapping[FileKey, str]) -> dict[FileKey, bytes]:
    """Read and hash `files`, on as many threads as there are processors. Raises OSError."""
    found: dict[FileKey, bytes] = {}
    todo = iter(list(files.items()))
    errors: list[OSError] = []
    guard = threading.Lock()

    def work() -> None:
        while not errors:
            with guard:
                batch = [item for item, _ in zip(todo, range(64), strict=False)]
            if not batch:
                return
            try:
                found.update([(key, _hash_file(path, key.size)) for key, path in batch])
            except OSError as error:
                errors.append(error)

    import hashlib  # noqa: F401  # before there are threads: one that loads something can meet a lock that nobody lets go

    threads = [threading.Thread(target=work) for _ in range(_extra_threads(files))]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return found


def _extra_threads(files: Mapping[FileKey, str]) -> int:
    return 0 if len(files) < 2 else min(os.cpu_count() or 1, 8, len(files)) - 1


def _hash_file(path: str, size: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if size <= _SMALL:
            # One more than expected, so that a file that has grown is read on.
            data = os.read(fd, size + 1)
            if len(data) == size:
                total = hasher("sha256", size)
                total.update(data)
                return total.digest()
            os.lseek(fd, 0, os.SEEK_SET)
        return _hash_large(fd)
    finally:
        os.close(fd)


def _hash_large(fd: int) -> bytes:
    total = hasher("sha256", _CHUNK)
    buffer = memoryview(bytearray(_CHUNK))
    while size := os.readv(fd, [buffer]):
        total.update(buffer[:size])
    return total.digest()
