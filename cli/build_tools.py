"""The store, opened for a build."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.value import Value

if TYPE_CHECKING:
    from cli.settings import Settings
    from snapshot.layers import Layers
    from snapshot.protocol import Snapshotter
    from store.store import Store


class Workshop(Value):
    """What works on layers: the store, what stacks them, and what goes between the two."""

    store: Store
    snapshotter: Snapshotter
    layers: Layers


@contextlib.contextmanager
def open_workshop(settings: Settings) -> Iterator[Workshop]:
    """The user's store, for a process that ends when the block ends well; else it is closed."""
    from snapshot.choose import choose
    from snapshot.layers import Layers
    from store.store import Store

    store = Store.open(settings.root, sync=settings.sync)
    try:
        snapshotter = choose(settings.root)
        yield Workshop(store, snapshotter, Layers(store, snapshotter))
    except BaseException:
        store.close()
        raise
    store.leave()
