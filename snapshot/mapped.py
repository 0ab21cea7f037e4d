"""A snapshot as the users of a user namespace see it, by mounts that map owners below an overlay (Linux 5.19): the layers and
what is written to the snapshot keep the container's own IDs on the disk, and nothing is copied or changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Unsupported

if TYPE_CHECKING:
    from core.idmaps import Span


def mount(
    layers: Path, parents: Sequence[str], home: Path, maps: tuple[Sequence[Span], Sequence[Span]], place: Path
) -> Path:
    """See `Overlay.mount_mapped`. In a mount namespace of one's own; forks."""
    from core import idmaps, syscalls

    try:
        userns = idmaps.namespace(*maps)
        try:
            for source, name in ((layers, "layers"), (home, "home")):
                (place / name).mkdir()
                tree = idmaps.mapped(os.fspath(source), userns)
                syscalls.move_tree(tree, place / name)
                os.close(tree)
        finally:
            os.close(userns)
        (place / "rootfs").mkdir()
        lower = [f"{place}/layers/{name}" for name in parents] or [f"{place}/home/nothing"]
        _as_root_inside(maps, lower, place)
    except OSError as error:
        raise Unsupported(
            f"files cannot be shown to a user namespace of its own here: {error.strerror}",
            "that takes Linux 5.19, and a file system of the store's that maps owners (ext4, xfs, btrfs, tmpfs)",
        ) from error
    return place / "rootfs"


def _as_root_inside(maps: tuple[Sequence[Span], Sequence[Span]], lower: Sequence[str], place: Path) -> None:
    """overlayfs works with the rights of who mounts it, and on these mounts only those who are mapped can make a file."""
    from core import idmaps, syscalls
    from core.forked import in_child
    from snapshot.mounting import mount_stack

    def work() -> None:
        idmaps.be(idmaps.outside(maps[0], 0), idmaps.outside(maps[1], 0))
        mount_stack(lower, f"{place}/home", f"{place}/rootfs", syscalls.MS_NODEV)

    in_child(work)
