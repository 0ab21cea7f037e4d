"""Removing all containers that do not run: for `lamella container prune` and `lamella system prune`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.settings import Settings
    from runtime.container import Container


def prune_containers(settings: Settings, accept: Callable[[Container], bool]) -> tuple[list[str], int]:
    """Remove the stopped containers that `accept` takes; their IDs, and the bytes of disk that their files took."""
    from cli.containers import Workshop
    from core.errors import LamellaError
    from core.space import occupied
    from store.events import note

    removed, freed = [], 0
    with Workshop(settings, making_room=True) as shop:
        shop.sweep()
        for found in shop.containers.all():
            if shop.containers.status(found).running or not accept(found):
                continue
            size = occupied(shop.containers.directory(found)) + occupied(shop.store.root / "snapshots" / found.id)
            with contextlib.suppress(LamellaError):  # started, or removed, meanwhile
                shop.containers.remove(found)
                removed.append(found.id)
                freed += size
        note(shop.store.root, "container", "prune", "", {"reclaimed": str(freed)})
    return removed, freed


def deleted_text(removed: list[str]) -> str:
    """What went, in Docker's words; empty where nothing did."""
    return "Deleted Containers:\n" + "".join(f"{id}\n" for id in removed) + "\n" if removed else ""
