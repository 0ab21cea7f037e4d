"""What stacks layers and makes new ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Snapshotter(Protocol):
    """A snapshot is a writable tree on top of layers, known by a key of letters, digits, `_`, `.` and `-`.

    Its life: `prepare` makes it, `mounted` gives it to a step or a container (several times if need be), then either `seal`
    makes a layer of what changed, or `remove` ends it. A snapshot belongs to the process that prepared it: when that ends,
    `store.collect` removes the snapshot, unless a hold has the key as its ID (a container). A sealed directory belongs to
    the process as well until `settle`. Every implementation reads the layers that any other has made.
    """

    def prepare(self, key: str, parents: Sequence[str]) -> None:
        """Make the snapshot `key` on the layer directories `parents`, bottom first; none is an empty tree.

        Raises Conflict where `key` exists, NotFound where a parent is missing, Unsupported for more than some 400.
        """

    def mounted(self, key: str, *, durable: bool = False) -> AbstractContextManager[Path]:
        """The tree, for reading and writing, until the block ends.

        It may be mounted in the current mount namespace, which the caller has made private. With `durable` off, fsync
        inside the tree is not heeded: right for what will be sealed (`Store.sync_layers` comes first) or thrown away.
        """

    def seal(self, key: str) -> str:
        """Make what changed into a layer directory, which is never written again, and return its name below `layers`.

        The snapshot is gone afterwards, as is everything that mounting left behind. Not while it is mounted.
        """

    def settle(self, directory: str, *, keep: bool = True) -> None:
        """Say that the catalog has a row for the sealed directory, or (`keep` off) that it is to go. Harmless to repeat."""

    def remove(self, key: str) -> None:
        """Remove the snapshot and what was written to it. Harmless to repeat; Conflict while it is mounted here."""

    def written(self, key: str) -> AbstractContextManager[Path]:
        """What was changed so far, as a directory in overlay's format, until the block ends: for reading only. It may be
        mounted meanwhile; what is written at the same time may be missing."""

    def keys(self) -> list[str]:
        """All snapshots, sorted."""


class Viewer(Protocol):
    """Shows a stack of layers to the whole mount namespace, for longer than a process lives; every Snapshotter is one.

    The caller sees to it that a hold with `key` as its ID keeps the layers, and that `key` is viewed once at a time.
    """

    def view(self, key: str, parents: Sequence[str], target: Path) -> Path:
        """Show the layer directories `parents` (bottom first), read-only where that can be, at the missing path `target` or
        elsewhere; returns where. It goes with `unview`, and a mount with the machine's end."""

    def viewed(self, key: str, target: Path) -> Path | None:
        """Where `view` shows `key` right now."""

    def unview(self, key: str, target: Path) -> None:
        """End it; what still reads there keeps it alive, unseen. Harmless to repeat."""
