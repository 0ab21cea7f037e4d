"""Snapshots as plain copies, where overlayfs cannot be mounted. Slow and large, and right; the layers are the same."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from snapshot.difference import Difference, note
from snapshot.merging import Copier, merge
from snapshot.places import Places
from store.disk import disk_errors


class Copying:
    """A Snapshotter that needs no mounts; see the Protocol. It never links into a layer."""

    def __init__(self, root: Path) -> None:
        self._places = Places(root)

    def prepare(self, key: str, parents: Sequence[str]) -> None:
        def fill(home: Path) -> None:
            tree = home / "rootfs"
            tree.mkdir(0o755)
            for name in parents:
                merge(os.fspath(self._places.layers / name), os.fspath(tree))
            note(tree, home / "notes")

        self._places.create(key, parents, fill)

    @contextlib.contextmanager
    def mounted(self, key: str, *, durable: bool = False) -> Iterator[Path]:
        yield self._places.path(key) / "rootfs"

    def seal(self, key: str) -> str:
        home = self._places.path(key)
        with disk_errors(self._places.root):
            Difference(home / "rootfs", home / "upper").run(home / "notes")
        return self._places.seal(key, "upper")

    def settle(self, directory: str, *, keep: bool = True) -> None:
        self._places.settle(directory, keep)

    def remove(self, key: str) -> None:
        self._places.remove(key)

    @contextlib.contextmanager
    def written(self, key: str) -> Iterator[Path]:
        home = self._places.path(key)
        with self._places.scratch() as directory, disk_errors(self._places.root):
            Difference(home / "rootfs", directory / "upper", place=Copier().copy).run(home / "notes")
            yield directory / "upper"

    def keys(self) -> list[str]:
        return self._places.keys()

    def view(self, key: str, parents: Sequence[str], target: Path) -> Path:
        self.prepare(key, parents)
        return self._places.path(key) / "rootfs"

    def viewed(self, key: str, target: Path) -> Path | None:
        return self._places.path(key) / "rootfs" if key in self.keys() else None

    def unview(self, key: str, target: Path) -> None:
        self.remove(key)
