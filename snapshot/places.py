"""Where snapshots live: `<root>/snapshots/<key>/{upper,work,rootfs,parents}`, and whose they are.

A snapshot's directory is locked by the process that prepared it. It is made in `tmp` and renamed, so it is never seen half
made; sealing renames it back to `tmp`, where it stands for the new layer until the catalog has its row.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.errors import Conflict, InvalidInput, NotFound
from core.files import make_directories
from core.removal import remove
from core.words import is_name
from snapshot.mounting import MAX_LAYERS, TooManyLayers
from store.temporary import Claim, Temporaries, lock_directory, short_name

_LONGEST_KEY = 128
_PARENTS = "parents"
_NAMES_A_LINK = 400  # a link holds 4095 bytes


def stack(names: Sequence[str]) -> list[str]:
    """`names` of layers, bottom first, each once: one that comes twice hides at its upper place what it holds at the lower.
    (Images with a layer twice are legal, and no kernel stacks them.)"""
    return list(reversed(dict.fromkeys(reversed(names))))


def _write_parents(home: Path, names: Sequence[str]) -> None:
    """As links, `parents` and where need be `parents1`: a link's target is written with its inode, no file to fsync."""
    for number, start in enumerate(range(0, len(names) or 1, _NAMES_A_LINK)):
        target = ":".join(names[start : start + _NAMES_A_LINK]) or ":"
        (home / f"{_PARENTS}{number or ''}").symlink_to(target)


class Places:
    """The snapshots of one root, for both ways of making them."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.layers = self.root / "layers"
        self._snapshots = self.root / "snapshots"
        self._temporaries = Temporaries(self.root)
        self._locks: dict[str, int] = {}
        self._claims: dict[str, Claim] = {}

    def create(self, key: str, parents: Sequence[str], fill: Callable[[Path], None]) -> None:
        """Make the snapshot's directory on `stack(parents)`, with what `fill` puts into it. Raises Conflict where `key` exists."""
        target = self._checked(key)
        parents = stack(parents)
        if len(parents) > MAX_LAYERS:
            raise TooManyLayers(len(parents))
        for name in parents:
            if not (self.layers / name).is_dir():
                from snapshot.missing import LayerMissing

                raise LayerMissing(name)
        from store.disk import disk_errors

        with disk_errors(self.root):
            fd, home = self._temporary()
            try:
                fill(home)
                _write_parents(home, parents)
                os.rename(home, target)
            except BaseException as error:
                remove(home)
                os.close(fd)
                if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise Conflict(f"snapshot {key} exists already", "remove it first") from error
                raise
            self._locks[key] = fd

    def _temporary(self) -> tuple[int, Path]:
        try:
            return self._temporaries.directory()
        except FileNotFoundError:
            for path in (self._snapshots, self.layers, self._temporaries.path):
                make_directories(path, 0o700)
            return self._temporaries.directory()

    def path(self, key: str) -> Path:
        """The snapshot's directory. Raises NotFound where there is none."""
        path = self._checked(key)
        if not path.is_dir():
            raise NotFound(f"no such snapshot: {key}")
        return path

    def parents(self, key: str) -> list[str]:
        """The names of the layer directories below, bottom first."""
        home = self.path(key)
        links = sorted(name for name in os.listdir(home) if name.startswith(_PARENTS))
        return [name for link in links for name in os.readlink(home / link).split(":") if name]

    def seal(self, key: str, directory: str) -> str:
        """Make the snapshot's subdirectory `directory` a layer; the rest goes when the claim is settled."""
        path = self.path(key)
        self._check_unmounted(key, path)
        fd = self._locks.pop(key, None) or lock_directory(path)
        if fd is None:
            raise NotFound(f"no such snapshot: {key}")
        from snapshot.thin import drop_unchanged
        from store.disk import disk_errors

        with disk_errors(self.root):
            drop_unchanged(path / directory, [self.layers / name for name in self.parents(key)])
            claim = Claim(self.root, fd, path)
            claim.place(claim.home / directory)
        self._claims[claim.name] = claim
        return claim.name

    def settle(self, directory: str, keep: bool) -> None:
        claim = self._claims.pop(directory, None)
        if claim:
            claim.settle(keep=keep)

    def remove(self, key: str) -> None:
        path = self._checked(key)
        self._check_unmounted(key, path)
        fd = self._locks.pop(key, None)
        if fd is not None:
            doomed = self._temporaries.path / short_name()
            with contextlib.suppress(FileNotFoundError):
                os.rename(path, doomed)
                remove(doomed)
            os.close(fd)
        elif path.exists():
            self._remove_unlocked(path)

    def _remove_unlocked(self, path: Path) -> None:
        """Another process prepared it. It goes by way of a directory that we have locked: what lies in `tmp` without a
        lock is anybody's to remove."""
        with self.scratch() as home, contextlib.suppress(FileNotFoundError):
            os.rename(path, home / "snapshot")

    def _check_unmounted(self, key: str, path: Path) -> None:
        if os.path.ismount(path / "rootfs"):
            raise Conflict(f"snapshot {key} is still mounted", "end what uses it first")

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty directory on the same disk, for the block."""
        fd, path = self._temporary()
        try:
            yield path
        finally:
            remove(path)
            os.close(fd)

    def keys(self) -> list[str]:
        try:
            return sorted(os.listdir(self._snapshots))
        except FileNotFoundError:
            return []

    def _checked(self, key: str) -> Path:
        if not is_name(key, _LONGEST_KEY):
            raise InvalidInput(f"invalid snapshot key: {key!r}", "use letters, digits, '_', '.' and '-'")
        return self._snapshots / key
