"""The macvlan driver: each container has an interface of its own on a link of the host, as if plugged into the same switch."""

from __future__ import annotations

from pathlib import Path

from core.errors import Conflict, InvalidInput, LamellaError, Unavailable, Unsupported
from core.value import Value, replace
from network import links
from network.bridge import configure
from network.model import Endpoint, Network
from network.netlink import Netlink
from network.sandbox import Sandbox
from network.sysctl import write_sysctl
from network.tables import Networks

PARENT = "parent"
MODE = "macvlan_mode"
MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
PASSTHRU = "passthru"
_LONGEST_NAME = 15


class Macvlan:
    """A `NetworkDriver`. The link below is the user's; one named `eth0.50` that is not there becomes a VLAN of `eth0` while
    somebody needs it, and without any name it is a pair of links that lead nowhere."""

    name = "macvlan"
    gateways = False  # a router out there has one, or there is none
    publishes = False

    def __init__(self, networks: Networks, state: Path) -> None:
        self._networks = networks
        self._alias = f"lamella_{state.name} {self.name}"

    def create(self, network: Network) -> Network:
        mode(network)
        parent = network.options.get(PARENT, "")
        if not parent:
            return replace(network, internal=True)
        if parent == "lo":
            raise InvalidInput("loopback interface is not a valid macvlan parent link", "name another interface")
        self._check_alone(network)
        with Netlink() as netlink:
            if not _exists(netlink, parent):
                Vlan.parse(parent).lower(netlink)
        return network

    def _check_alone(self, network: Network) -> None:
        """In the mode passthru a parent has one network. Docker's words, and a name."""
        parent = network.options[PARENT]
        for other in self._on(parent):
            hint = f"that is {other.name}: use another parent, or a VLAN of it such as {parent}.50"
            if mode(network) == PASSTHRU:
                text = (
                    f"cannot use mode passthru, macvlan network {other.id} is already using parent interface {parent}"
                )
                raise Conflict(text, hint)
            if mode(other) == PASSTHRU:
                text = f"macvlan network {other.id} is already using parent interface {parent} in mode passthru"
                raise Conflict(text, hint)

    def _on(self, parent: str) -> list[Network]:
        return [one for one in self._networks.all() if one.driver == self.name and parent_of(one) == parent]

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox) -> None:
        chosen = mode(network)
        # Linux before 6.15 refuses a name that the host has too, which may well have an eth0.
        name = f"mv{endpoint.id[:12]}"
        try:
            with Netlink() as netlink:
                lower = self._raise(netlink, network)
                links.add_macvlan(netlink, lower, name, sandbox.fd, endpoint.mac, MODES[chosen])
            with sandbox.entered(), Netlink() as netlink:
                index = links.find(netlink, name)
                links.rename(netlink, index, endpoint.interface)
                if chosen == PASSTHRU:  # it came with the parent's address; this gives both the one that was asked for
                    links.set_mac(netlink, index, endpoint.mac)
            configure(sandbox, endpoint)
        except OSError as error:
            raise Conflict(
                f"failed to create the macvlan port: {(error.strerror or str(error)).lower()}",
                f"see what else is on {parent_of(network)} (in the mode passthru there can be one container), and whether it is"
                f" switched on: ip -d link show {parent_of(network)}",
            ) from error

    def _raise(self, netlink: Netlink, network: Network) -> int:
        """The index of the parent, which is made if it is ours to make, or finished if that was killed while it was made: it is
        switched on last."""
        parent = parent_of(network)
        index = links.find(netlink, parent)
        if index and (links.is_on(netlink, index) or not self._ours(netlink, index, network)):
            return index
        if parent == _own_name(network):
            _make_isolated(netlink, parent, f"dp-{network.id[:12]}")
        elif not index:
            self._make_vlan(netlink, network)
        index = links.find(netlink, parent)
        links.set_alias(netlink, index, self._alias)
        links.switch_on(netlink, index)
        return index

    def _make_vlan(self, netlink: Netlink, network: Network) -> None:
        parent = parent_of(network)
        half = _own_name(network)  # until it says whose it is
        if not links.find(netlink, half):
            Vlan.parse(parent).make(netlink, half)
        index = links.find(netlink, half)
        links.set_alias(netlink, index, self._alias)
        links.rename(netlink, index, parent)

    def _ours(self, netlink: Netlink, index: int, network: Network) -> bool:
        own = index == links.find(netlink, _own_name(network))
        return own or links.alias_of(netlink, index) == self._alias

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        pass  # all there is of it is in the sandbox

    def clear(self, network: Network) -> None:
        parent = parent_of(network)
        if any(self._networks.endpoints(other) for other in self._on(parent)):
            return
        with Netlink() as netlink:
            for name in {parent, _own_name(network)}:
                index = links.find(netlink, name)
                if index and self._ours(netlink, index, network):
                    links.delete(netlink, name)

    def remove(self, network: Network) -> None:
        pass

    def inspect(self, network: Network) -> dict[str, str]:
        return {PARENT: parent_of(network)} if self._networks.endpoints(network) else {}


class Vlan(Value):
    """`eth0.50`: the frames of the link `base` that wear the 802.1q tag `id`."""

    base: str
    id: int

    @classmethod
    def parse(cls, name: str) -> Vlan:
        """Raises InvalidInput."""
        base, dot, id = name.rpartition(".")
        if not dot or "." in base or len(name) > _LONGEST_NAME:
            raise InvalidInput(
                f"invalid subinterface vlan name {name}, example formatting is eth0.10",
                f"no interface is called {name[:40]}: `ip link` lists them",
            )
        if not id.isdecimal() or not id.isascii():
            raise InvalidInput(f"unable to parse a valid vlan id from: {id} (ex. eth0.10 for vlan 10)")
        if not 1 <= int(id[:9]) <= 4094:
            raise InvalidInput(f"vlan id must be between 1-4094, received: {id}", "choose another number")
        return cls(base, int(id))

    def lower(self, netlink: Netlink) -> int:
        """The index of `base`. Raises InvalidInput."""
        index = links.find(netlink, self.base) if self.base else 0
        if not index:
            text = f"-o parent interface was not found on the host: {self.base}"
            raise InvalidInput(text, "`ip link` lists the interfaces")
        return index

    def make(self, netlink: Netlink, name: str) -> None:
        """Make it under another name, not switched on. Raises Unsupported, Unavailable."""
        try:
            links.add_vlan(netlink, name, self.lower(netlink), self.id)
        except OSError as error:
            text = f"failed to create {self.base}.{self.id} vlan link: {(error.strerror or str(error)).lower()}"
            raise _vlan_refused(error)(
                text, "see `modprobe 8021q`, and `ip -d link` for what has the tag already"
            ) from error


def _vlan_refused(error: OSError) -> type[LamellaError]:
    import errno

    return Unsupported if error.errno == errno.EOPNOTSUPP else Unavailable


def _make_isolated(netlink: Netlink, name: str, peer: str) -> None:
    """A link that leads nowhere but is on: one end of a pair, whose other end lets nothing into the host.

    Without addresses, and with the reverse path looked for, no IPv4 packet from there has a way in; IPv6 is off."""
    links.add_pair(netlink, name, peer)
    for end in (name, peer):
        write_sysctl(f"ipv6/conf/{end}/disable_ipv6", "1")
        write_sysctl(f"ipv4/conf/{end}/rp_filter", "1")
    links.switch_on(netlink, links.find(netlink, peer))


def _exists(netlink: Netlink, name: str) -> bool:
    return len(name) <= _LONGEST_NAME and links.find(netlink, name) > 0


def mode(network: Network) -> str:
    """Raises InvalidInput."""
    text = network.options.get(MODE) or "bridge"
    if text not in MODES:
        raise InvalidInput(
            f"requested macvlan mode '{text}' is not valid, 'bridge' mode is the macvlan driver default",
            f"there are {', '.join(MODES)}",
        )
    return text


def parent_of(network: Network) -> str:
    """The link below, which is the network's own where none is named."""
    return network.options.get(PARENT) or _own_name(network)


def _own_name(network: Network) -> str:
    return f"dm-{network.id[:12]}"
