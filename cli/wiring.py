"""Where commands get their store, layers, client and the rest from: the only place that knows which goes with which."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cli.settings import Settings
    from core.progress import Progress
    from network.hub import Hub
    from registry.client.client import Client
    from snapshot.layers import Layers
    from store.store import Store


def open_store(settings: Settings, *, making_room: bool = False) -> Store:
    """The store below `settings.root`, made when missing; to be used as a context manager, or closed. `making_room`: for a
    command that works on a full disk too."""
    from store.store import Store

    return Store.open(settings.root, sync=settings.sync, making_room=making_room)


def open_layers(store: Store) -> Layers:
    """The store's layers as directories that can be mounted."""
    from snapshot.choose import choose
    from snapshot.layers import Layers

    return Layers(store, choose(store.root))


def open_client(settings: Settings, progress: Progress | None = None, *, tls_verify: bool = True) -> Client:
    """A registry client as the environment and the machine's files set it up. Opens nothing before it is used."""
    from cli.client import client_settings
    from registry.client.client import Client

    return Client(client_settings(settings, tls_verify=tls_verify), progress)


def open_hub(settings: Settings, *, shown: bool = False) -> Hub:
    """The networks of the store below `settings.root`, which is made when missing; a context manager. `shown`: what is shown
    may be old, and is said to be, where other hosts' networks cannot be asked for."""
    from network.hub import Hub
    from network.overlay import FILE
    from runtime.state import state_directory

    if not (settings.root / "catalog.db").exists():
        open_store(settings).close()
    hub = Hub(settings.root, state_directory(settings.root), sync=settings.sync)
    if (settings.root / FILE).exists():
        from cli.network_cluster import refreshed

        refreshed(hub, warn=shown)
    return hub


def swept_networks(settings: Settings) -> None:
    """Finish what killed processes left of containers and their networks."""
    from runtime.leaving import clear_unused
    from runtime.state import state_directory

    open_hub(settings).close()
    clear_unused(settings.root, state_directory(settings.root))
