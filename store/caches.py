"""Directories that outlive the builds which use them (`RUN --mount=type=cache`, repositories): `caches/<name>/` each.

In it are `data`, which is used; `note`, its identity, whose time is when it was last used; and `lock`, flocked by whoever
uses it: so a death frees it at once. `data` gets its name when it is whole. Content is not made durable: it is a cache.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Literal

from core.files import make_directories, write_file
from core.locks import FileLock, is_locked
from core.removal import remove
from core.space import occupied
from core.value import Value

Sharing = Literal["shared", "private", "locked"]
TOP = "caches"
MOUNT, GIT = "exec.cachemount", "source.git.checkout"  # what BuildKit calls such directories


class CacheDirectory(Value):
    """One directory: `id` is what its users call it, `kind` what it is for (MOUNT, GIT), `size` the bytes that the disk gives
    back when it goes. Times are nanoseconds since the epoch."""

    name: str
    id: str
    size: int
    created: int
    last_used: int
    in_use: bool
    kind: str = MOUNT


class Caches:
    """The cache directories of the store at `root`. Usable from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self._top = root / TOP

    @contextlib.contextmanager
    def used(
        self, name: str, id: str, sharing: Sharing, fill: Callable[[Path], None], waiting: Callable[[], None], *,
        kind: str = MOUNT,
    ) -> Iterator[Path]:  # fmt: skip
        """The directory `name` (letters and digits) for the block; where it is missing, `fill` puts what it starts with into
        a new one.

        `shared`: beside others that share it. `locked`: alone; `waiting` is called again and again while somebody else has
        it, has to take its time, and may raise. `private`: alone, in another directory where this one is taken.
        """
        lock = self._private(name) if sharing == "private" else self._wait(name, sharing == "shared", waiting)
        home = lock.path.parent
        try:
            data = self._data(home, {"id": id, "kind": kind}, fill)
            os.utime(home / "note")
            yield data
        finally:
            lock.release()

    def _private(self, name: str) -> FileLock:
        return next(lock for number in count() if (lock := self._try(f"{name}-{number}" if number else name, False)))

    def _wait(self, name: str, shared: bool, waiting: Callable[[], None]) -> FileLock:
        while (lock := self._try(name, shared)) is None:
            waiting()
        return lock

    def _try(self, name: str, shared: bool) -> FileLock | None:
        lock = FileLock(self._top / name / "lock")
        while True:
            make_directories(self._top / name, 0o700)
            with contextlib.suppress(FileNotFoundError):  # it has been removed since the line above
                return lock if lock.acquire(shared=shared, wait=False) else None

    def _data(self, home: Path, about: dict[str, str], fill: Callable[[Path], None]) -> Path:
        data = home / "data"
        with FileLock(home / "making").held():  # others may share it
            if not data.exists():
                new = home / "new"
                remove(new)  # half of one, from somebody who was killed
                new.mkdir(0o755)
                fill(new)
                write_file(home / "note", json.dumps({**about, "created": time.time_ns()}).encode(), sync=False)
                new.rename(data)
        return data

    def all(self) -> list[CacheDirectory]:
        """Every directory, the one that was not used for longest first. Costs a look at all that is in them."""
        found = (self._one(name) for name in self._names())
        return sorted((one for one in found if one), key=lambda one: one.last_used)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._top)
        except FileNotFoundError:
            return []

    def _one(self, name: str) -> CacheDirectory | None:
        home = self._top / name
        try:
            note = json.loads((home / "note").read_bytes())
            last_used = (home / "note").stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):  # it went, or is only being made
            return None
        return CacheDirectory(
            name, note["id"], occupied(home), note["created"], last_used, is_locked(home / "lock"), note.get("kind", MOUNT)
        )  # fmt: skip

    def remove(self, name: str) -> int:
        """Remove a directory that nobody uses; the bytes that the disk gave back. Missing is fine."""
        lock = FileLock(self._top / name / "lock")
        try:
            if not lock.acquire(wait=False):
                return 0
        except FileNotFoundError:
            return 0
        from store.collect import Trash

        trash = Trash(self._top.parent)
        try:
            trash.take(self._top / name)  # whoever waits for the lock finds that it is another one's
        finally:
            freed = trash.empty()
            lock.release()
        return freed
