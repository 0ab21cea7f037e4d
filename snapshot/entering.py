"""A layer that is on the disk gets its row; where the row is that of a damaged one, the good one takes its place."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from core.files import fsync_directory
from store.temporary import short_name

if TYPE_CHECKING:
    from pathlib import Path

    from store.layers import Layer
    from store.store import Store


def enter(store: Store, layer: Layer) -> tuple[Layer, bool]:
    """The layer as the store has it from now on, held by this process's lease, and whether the directory that it came with
    is to stay. Inside or outside a transaction; what is in the directory is durable already.

    A twin that is whole wins, and the newcomer's directory goes. A damaged one is replaced: the two directories change
    names, and the newcomer's name stands for what was damaged, which `collect` takes. Killed or undone in between, the
    row says "damaged" of what is whole, and fsck finds out. Raises LayerInUse where a container runs on the damaged one.
    """
    with store.transaction():
        store.leases.session.hold_layer(layer.diff_id)
        winner = store.layers.add(layer)
        if winner.damaged is None:
            return winner, winner.directory == layer.directory
        store.quarantine.refuse_running(layer.diff_id)
        _exchange(store, layer.directory, winner.directory)
        store.quarantine.replace(layer)
        found = store.layers.get(layer.diff_id)
    assert found is not None
    return found, True


def _exchange(store: Store, new: str, old: str) -> None:
    """Let the directories `new` and `old` change names, durably; `old` may be missing."""
    from core.syscalls import exchange

    one, other = store.layer_path(new), store.layer_path(old)
    try:
        exchange(one, other)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL, errno.ENOSYS):
            raise
        _swap_in_steps(one, other)
    if store.sync:
        fsync_directory(other.parent)


def _swap_in_steps(one: Path, other: Path) -> None:
    """Where that is no single step, or one is missing: killed in between, the row says "damaged" of what is missing."""
    spare = other.with_name(short_name())
    with contextlib.suppress(FileNotFoundError):
        os.rename(other, spare)
    os.rename(one, other)
    with contextlib.suppress(FileNotFoundError):
        os.rename(spare, one)
