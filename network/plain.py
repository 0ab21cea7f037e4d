"""The drivers of the predefined networks `host` and `none`: nothing to lay, and nobody to attach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import Conflict
from network.model import Endpoint, Network

if TYPE_CHECKING:
    from network.sandbox import Sandbox


class Plain:
    """A `NetworkDriver` for a network that every container is on, or none."""

    gateways = False
    publishes = False

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self, network: Network) -> Network:
        raise Conflict(f'only one instance of "{self.name}" network is allowed', "use the one that is there")

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox) -> None:
        raise Conflict(
            f"container cannot be connected to the {network.name} network besides others",
            f"run it with --network {network.name}",
        )

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        pass

    def clear(self, network: Network) -> None:
        pass

    def remove(self, network: Network) -> None:
        pass

    def inspect(self, network: Network) -> dict[str, str]:
        return {}
