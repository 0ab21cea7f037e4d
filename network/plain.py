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
        raise self.alone()

    def alone(self) -> Conflict:
        """What is to be said to who would have a container on this network and on another."""
        what = (
            "container cannot be disconnected from host network or connected to host network"
            if self.name == "host"
            else "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        )
        return Conflict(what, f"run it with --network {'host' if self.name == 'host' else 'none'} alone")

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        pass

    def clear(self, network: Network) -> None:
        pass

    def remove(self, network: Network) -> None:
        pass

    def inspect(self, network: Network) -> dict[str, str]:
        return {}
