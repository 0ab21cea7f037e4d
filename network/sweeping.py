"""Clearing away what killed processes left of a store's networks, also where the store itself is gone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from core.rootless import outer_uid
from network.hub import Hub
from network.model import Network


def sweep(root: Path, state: Path, alive: Callable[[str], bool]) -> None:
    """See `Hub.clear`; and what is left of networks that nobody knows any more. Harmless to repeat, and where there is
    nothing."""
    if not (root / "catalog.db").exists():
        remove_strays(state)
        return
    with Hub(root, state) as hub:
        hub.clear(alive)
        with hub.locked():
            remove_strays(state, hub.networks.all())


def remove_strays(state: Path, known: Collection[Network] = ()) -> None:
    """Take away what the store has on this machine that is of none of the networks that are `known`: all of it, where the
    store is gone. Harmless to repeat."""
    if outer_uid():
        from network.hidden import remove_strays as remove
    else:
        from network.bridge import remove_strays as remove
    remove(state, known)
