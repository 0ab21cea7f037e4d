"""A driver that lays nothing and remembers who was attached, for tests of everything above drivers."""

from __future__ import annotations

from core.errors import Conflict, InvalidInput
from network.model import Endpoint, Network
from network.sandbox import Sandbox


class Memory:
    """A `NetworkDriver`. The option `refuse` makes it refuse a network."""

    name = "memory"
    gateways = True
    publishes = True

    def __init__(self) -> None:
        self.attached: dict[str, dict[str, Endpoint]] = {}

    def create(self, network: Network) -> Network:
        if "refuse" in network.options:
            raise InvalidInput("the option 'refuse' is refused", "leave it out")
        return network

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox) -> None:
        there = self.attached.setdefault(network.id, {})
        if endpoint.id in there:
            raise Conflict(f"endpoint {endpoint.id} is attached", "detach it first")
        there[endpoint.id] = endpoint

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        self.attached.get(network.id, {}).pop(endpoint.id, None)

    def clear(self, network: Network) -> None:
        self.attached.pop(network.id, None)

    def remove(self, network: Network) -> None:
        pass

    def inspect(self, network: Network) -> dict[str, str]:
        there = self.attached.get(network.id)
        return {} if there is None else {"endpoints": str(len(there))}
