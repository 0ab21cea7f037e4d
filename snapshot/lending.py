"""What a stopped container has written becomes a layer by changing its place, where copying it would take most of the time.

The layer is lent: until the container is to write again it reads its changes there (`contents`), and its hold keeps the
layer; then it gets a copy of its own (`take_back`). So no layer ever shares a file with something that may be written.
Killed at any point, the container has its files, under one name or the other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.removal import remove
from store.disk import disk_errors
from store.lent import LENT

if TYPE_CHECKING:
    from image.digest import DiffID
    from layer.pack import Packed
    from store.layers import Layer
    from store.store import Store

UPPER = "upper"


def contents(home: Path) -> Path:
    """Where the changes of the snapshot in `home` are, for reading: its upper directory, or the layer that this became."""
    upper = home / UPPER
    if os.path.exists(upper) or not os.path.lexists(home / LENT):
        return upper
    return home / os.readlink(home / LENT)


def take_back(root: Path, home: Path) -> None:
    """Give the snapshot in `home` an upper directory of its own again, durable when this returns. Harmless to repeat.
    Raises LayerMissing, Unavailable for a full disk."""
    from core.syscalls import sync_filesystem
    from snapshot.duplicate import duplicate
    from snapshot.missing import LayerMissing

    source = contents(home)
    if source.name == UPPER:
        return
    if not source.is_dir():
        raise LayerMissing(source.name)
    copy = home / "copy"
    with disk_errors(root):
        remove(copy)
        try:
            duplicate(source, copy)
            sync_filesystem(home)
            os.rename(copy, home / UPPER)
        except BaseException:
            remove(copy)
            raise


def lend(store: Store, id: str, home: Path, lowers: Sequence[Path], stubs: Iterable[bytes]) -> Layer | None:
    """Make what the container `id`, which does not run and cannot be started meanwhile, has written on `lowers` (bottom
    first) a layer, durable and held by this process's lease; None where that holds no change. `stubs` are left out.

    Raises InvalidInput for what a layer cannot hold, OSError, Unavailable; the container is as it was then.
    """
    from snapshot.attributes import strip_overlay_marks
    from snapshot.capture import Capture, pack_and_sync
    from snapshot.thin import drop_stubs, drop_unchanged

    with disk_errors(store.root):
        found = _lent_before(store, home)
        if found:
            return found
        upper = home / UPPER
        strip_overlay_marks(os.fspath(upper))
        drop_stubs(upper, lowers, stubs)
        drop_unchanged(upper, lowers)
        packed = pack_and_sync(store, upper)
        if not packed.entries:
            return None
        found = _known(store, packed.diff_id)
        if found is None:
            return _give(store, id, home, packed)
        if found.damaged is None:
            return found
    with Capture(store) as copy:  # which puts a good one in the damaged one's place
        copy.take(upper)
        return copy.enter(lowers, stubs)


def _lent_before(store: Store, home: Path) -> Layer | None:
    """The layer that it is already; where one was made but never entered, that is undone. Raises Quarantined."""
    from store.layers import refuse_damaged

    place = contents(home)
    if place.name == UPPER:
        return None
    diff_id = store.layers.by_directory(place.name)
    if diff_id is None:
        os.rename(place, home / UPPER)
        return None
    found = _known(store, diff_id)
    if found:
        refuse_damaged(found)
    return found


def _known(store: Store, diff_id: DiffID) -> Layer | None:
    with store.transaction(durable=False):
        store.leases.session.hold_layer(diff_id)
        return store.layers.get(diff_id)


def _give(store: Store, id: str, home: Path, packed: Packed) -> Layer:
    from snapshot.layers import packed_layer
    from store.layers import refuse_damaged
    from store.temporary import short_name

    layer = packed_layer(short_name(), packed)
    link, place = home / LENT, store.layer_path(layer.directory)
    if os.path.lexists(link):  # of what it had written before
        release(store, id, home)
    link.symlink_to(f"../../layers/{layer.directory}")
    try:
        os.rename(home / UPPER, place)
        store.sync_layers()
        with store.transaction():
            winner = store.layers.add(layer)
            refuse_damaged(winner)
            if winner.directory == layer.directory:
                store.holds.keep("container", id, packed.diff_id)
        return winner
    finally:
        if store.layers.by_directory(layer.directory) is None:
            with contextlib.suppress(FileNotFoundError):
                os.rename(place, home / UPPER)
            link.unlink(missing_ok=True)


def release(store: Store, id: str, home: Path) -> None:
    """Let go of a layer whose copy the container has had since. Harmless to repeat."""
    if contents(home).name == UPPER:
        diff_id = store.layers.by_directory(os.path.basename(os.readlink(home / LENT)))
        if diff_id:
            store.holds.release("container", id, diff_id)
        (home / LENT).unlink()
