"""Where commands get their store, layers, client and the rest from: the only place that knows which goes with which."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.settings import Settings
    from snapshot.layers import Layers
    from store.store import Store


def open_store(settings: Settings) -> Store:
    """The store below `settings.root`, made when missing; to be used as a context manager, or closed."""
    from store.store import Store

    return Store.open(settings.root, sync=settings.sync)


def open_layers(store: Store) -> Layers:
    """The store's layers as directories that can be mounted."""
    from snapshot.choose import choose
    from snapshot.layers import Layers

    return Layers(store, choose(store.root))
