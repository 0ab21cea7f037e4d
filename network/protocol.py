"""What a network driver is."""

from __future__ import annotations

from collections.abc import Collection

from network.model import Endpoint, Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from network.sandbox import Sandbox
else:
    Protocol = object


class NetworkDriver(Protocol):
    """How the networks of one kind are made real on this machine.

    The life of a network: `create` is asked once, before it is written down, and may refuse it or give it what it lacks;
    nothing need be made yet. Containers come and go by `attach` and `detach`: the first one on this machine finds nothing
    there, since no network lasts longer than the machine runs, so `attach` makes whatever is missing. `clear` is called when
    nobody hangs on the network any more, some time after the last `detach`, and before the network is forgotten: what was made
    for it goes. `remove` follows where it is forgotten. Every caller holds the store's network lock, so that a driver meets
    itself never; other stores' drivers it may meet.

    Any of them may have been killed at any point before: all but `attach` are harmless to repeat, and `attach` finds the
    remains of an endpoint of the same ID gone, since `detach` is called first.
    """

    name: str
    gateways: bool  # whether a network has gateways that nobody asked for
    publishes: bool  # whether ports of the host lead to its endpoints

    def create(self, network: Network) -> Network:
        """The network as it is to be written down. Raises InvalidInput for options that it does not have."""

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox) -> None:
        """Bring the endpoint's interface into the sandbox, with its addresses and routes, switched on; its ports lead there.

        Raises Conflict, Unavailable; the caller calls `detach` then.
        """

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        """Take away what `attach` made outside the sandbox. The sandbox may be gone, with the interface in it."""

    def clear(self, network: Network) -> None:
        """Take away what was made for the network as a whole; nobody hangs on it."""

    def remove(self, network: Network) -> None:
        """Tell whoever else was told of the network that it will be forgotten. Raises Unavailable: it is not, then."""

    def inspect(self, network: Network) -> dict[str, str]:
        """What there is on this machine, for people: interface names and the like. Empty where nothing is up."""


class SharedDriver(NetworkDriver, Protocol):
    """A driver of networks that several machines have: what one of them gives out, or forgets, holds for all.

    `create` makes the network known to all, `remove` unknown; `detach` gives back what `claim` has claimed.
    """

    def claim(self, network: Network, endpoint: Endpoint) -> Collection[str]:
        """Make the endpoint's addresses its own on every machine, before `attach`. Where one is another's already, none is
        claimed, and all that are taken are returned; else nothing. Raises Conflict, Unavailable."""
