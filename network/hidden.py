"""The bridge driver of an ordinary user: the same bridges and walls, in a namespace of the store's own (see `uplink`).

Ports of the host cannot lead there by rules: a program of the container's hands them on (see `doors`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Unavailable
from network.bridge import Bridge
from network.bridge import remove_strays as remove_strays_here
from network.firewall import Firewall
from network.model import Endpoint, Network
from network.tables import Networks
from network.uplink import go_there

if TYPE_CHECKING:
    from network.sandbox import Sandbox


class Walls(Firewall):
    """A firewall that knows of no ports."""

    def _ports(self, verb: str, endpoints: Sequence[Endpoint]) -> list[str]:
        return []


class Hidden(Bridge):
    """A `NetworkDriver`. `proc` is where the host's processes are to be seen. Whoever asks it to do anything is where the
    bridges are from then on: no way leads back from there to the host's own namespace."""

    def __init__(self, networks: Networks, state: Path, proc: str) -> None:
        super().__init__(networks, state, Walls(state))
        self._state, self._proc = state, proc

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox) -> None:
        if not go_there(self._state, self._proc):
            raise Unavailable("the namespace of this store's bridges is gone", "try again")
        super().attach(network, endpoint, sandbox)

    def clear(self, network: Network) -> None:
        if go_there(self._state, self._proc):
            super().clear(network)

    def inspect(self, network: Network) -> dict[str, str]:
        return super().inspect(network) if go_there(self._state, self._proc) else {}


def remove_strays(state: Path, known: Collection[Network] = ()) -> None:
    """See `bridge.remove_strays`."""
    if go_there(state):
        remove_strays_here(state, known)
