"""Clearing away what killed processes left of a store's networks, also where the store itself is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.rootless import outer_uid
from network.hub import Hub


def sweep(root: Path, state: Path, alive: Callable[[str], bool]) -> None:
    """See `Hub.clear`. Harmless to repeat, and where there is nothing."""
    if not (root / "catalog.db").exists():
        if outer_uid():
            from network.hidden import remove_strays
        else:
            pass
        remove_strays(state)
        return
    state.mkdir(0o700, parents=True, exist_ok=True)
    with Hub(root, state) as hub:
        hub.clear(alive)
