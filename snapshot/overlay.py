"""Snapshots as overlayfs mounts: preparing copies nothing, sealing is a rename."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.removal import remove
from snapshot.attributes import copy_attributes, strip_overlay_marks
from snapshot.mounting import mount_overlay, mount_view, unmount
from snapshot.places import Places, stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from core.idmaps import Span


class Overlay:
    """A Snapshotter on overlayfs; see the Protocol. `userxattr`: inside a user namespace, where `trusted.*` is refused."""

    def __init__(self, root: Path, *, userxattr: bool = False) -> None:
        self._places = Places(root)
        self._userxattr = userxattr

    def prepare(self, key: str, parents: Sequence[str]) -> None:
        def fill(home: Path) -> None:
            for name in ("upper", "work", "rootfs") if parents else ("upper", "work", "rootfs", "nothing"):
                (home / name).mkdir(0o755)
            if parents:  # the root's own attributes always come from the upper directory
                below = os.fspath(self._places.layers / parents[-1])
                copy_attributes(below, os.fspath(home / "upper"), os.stat(below))

        self._places.create(key, parents, fill)

    @contextlib.contextmanager
    def mounted(self, key: str, *, durable: bool = False) -> Iterator[Path]:
        home = self._writable(key)
        lower = self._places.parents(key) or [f"../snapshots/{key}/nothing"]
        remove(home / "work" / "work" / "incompat")  # else the kernel refuses what was mounted volatile before
        mount_overlay(self._places.layers, lower, home, volatile=not durable, userxattr=self._userxattr)
        try:
            yield home / "rootfs"
        finally:
            unmount(home / "rootfs")

    def mount_mapped(self, key: str, users: Sequence[Span], groups: Sequence[Span], place: Path) -> Path:
        """Show the prepared snapshot, which is not mounted, to a user namespace of that mapping: its root's files belong to
        root on the disk. Mounts below the directory `place`; returns where. Raises Unsupported where the kernel cannot."""
        from snapshot.mapped import mount

        return mount(self._places.layers, self._places.parents(key), self._writable(key), (users, groups), place)

    def _writable(self, key: str) -> Path:
        """The snapshot's directory, with an upper directory of its own."""
        home = self._places.path(key)
        if not os.path.exists(home / "upper"):
            from snapshot.lending import take_back

            take_back(self._places.root, home)
        return home

    def upper(self, key: str) -> Path:
        """Where the snapshot keeps what was written to it: to be written to directly while it is not mounted, by who knows
        that nothing there has to be merged with the layers below or to hide a directory of theirs."""
        return self._places.path(key) / "upper"

    def seal(self, key: str) -> str:
        strip_overlay_marks(os.fspath(self._places.path(key) / "upper"))
        return self._places.seal(key, "upper")

    def settle(self, directory: str, *, keep: bool = True) -> None:
        self._places.settle(directory, keep)

    def remove(self, key: str) -> None:
        self._places.remove(key)

    @contextlib.contextmanager
    def written(self, key: str) -> Iterator[Path]:
        from snapshot.lending import contents

        yield contents(self._places.path(key))

    def keys(self) -> list[str]:
        return self._places.keys()

    def view(self, key: str, parents: Sequence[str], target: Path) -> Path:
        target.mkdir(0o700, parents=True)
        try:
            mount_view(self._places.layers, stack(parents), target, userxattr=self._userxattr)
        except BaseException:
            target.rmdir()
            raise
        return target

    def viewed(self, key: str, target: Path) -> Path | None:
        return target if os.path.ismount(target) else None

    def unview(self, key: str, target: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            unmount(target)
            target.rmdir()  # which takes it out of the namespaces that have got a copy, too
