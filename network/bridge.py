"""The bridge driver: a link-layer bridge in the host, a veth pair for each container, walls and ports in nftables."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from core.errors import Conflict, InvalidInput
from network import links, options
from network.firewall import Firewall, NftFailed, program
from network.ipam import mac_for
from network.model import Endpoint, Network
from network.netlink import Netlink
from network.routing import let_forward
from network.sysctl import read_sysctl, write_sysctl
from network.tables import Networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from network.sandbox import Sandbox

_ON_BRIDGES = ("bridge", "overlay")  # the drivers whose networks are in the table


class Bridge:
    """A `NetworkDriver`."""

    name = "bridge"
    gateways = True
    publishes = True

    def __init__(self, networks: Networks, state: Path, firewall: Firewall | None = None) -> None:
        self._networks = networks
        self._firewall = firewall or Firewall(state)

    def create(self, network: Network) -> Network:
        options.check(network)
        program()
        return network

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox) -> None:
        mtu, outer = options.mtu(network), outer_name(endpoint)
        with Netlink() as netlink:
            index = links.find(netlink, bridge_name(network))
            if index and not self._ours(netlink, network, index):
                raise Conflict(
                    f"the interface {bridge_name(network)} exists already, and is not lamella's",
                    f"remove it, or leave out {options.NAME}",
                )
            if index and links.is_on(netlink, index):
                self._publish(network, endpoint)
            else:
                index = self._raise(netlink, network, index)
            links.add_veth(netlink, outer, index, endpoint.interface, sandbox.fd, endpoint.mac, mtu)
            port = links.find(netlink, outer)
            links.set_port(netlink, port, links.HAIRPIN)
            if not options.open_inside(network) and not _bridge_is_filtered():
                links.set_port(netlink, port, links.ISOLATED)
        configure(sandbox, endpoint)

    def _raise(self, netlink: Netlink, network: Network, index: int) -> int:
        """Make the bridge, with the host's own addresses on it, or finish what was killed while it did; its index.

        It is switched on last: one that is on has everything, and one that is not yet called what the user wants says whose
        it is."""
        if not index:
            links.add_bridge(netlink, _own_name(network), options.mtu(network), mac_for(network.subnets[0].gateway))
            index = links.find(netlink, _own_name(network))
            links.set_alias(netlink, index, self.alias(network))
            if bridge_name(network) != _own_name(network):
                links.rename(netlink, index, bridge_name(network))
        links.set_alias(netlink, index, self.alias(network))
        bridge = bridge_name(network)
        if not any(subnet.v6 for subnet in network.subnets):
            write_sysctl(f"ipv6/conf/{bridge}/disable_ipv6", "1")
        for subnet in network.subnets:
            if subnet.gateway and (subnet.v6 or not options.inhibits(network)):
                links.add_address(netlink, index, f"{subnet.gateway}/{subnet.prefix}")
        # So that what comes from 127.0.0.1 may be answered; the firewall keeps what comes from the bridge away from there.
        write_sysctl(f"ipv4/conf/{bridge}/route_localnet", "1")
        let_forward(network)
        self.restore()
        links.switch_on(netlink, index)
        return index

    def alias(self, network: Network) -> str:
        """What an interface of the network's says of itself."""
        return f"{self._firewall.table} {network.name}"

    def _ours(self, netlink: Netlink, network: Network, index: int) -> bool:
        """A bridge with a name of its own says whose it is; the others are named by the network's ID."""
        named = links.find(netlink, _own_name(network)) != index
        return not named or links.alias_of(netlink, index) == self.alias(network)

    def _publish(self, network: Network, endpoint: Endpoint) -> None:
        try:
            if endpoint.ports:
                self._firewall.publish(bridge_name(network), endpoint)
            elif not self._firewall.stands():
                self.restore()
        except NftFailed:  # somebody has flushed the table
            self.restore()

    def restore(self, leaving: str = "") -> None:
        """Write the whole table from what the catalog says, but for the endpoint that is `leaving`, whatever became of it.
        Harmless to repeat."""
        up, endpoints = [], []
        with Netlink() as netlink:
            for network in self._networks.all():
                if network.driver in _ON_BRIDGES and links.find(netlink, bridge_name(network)):
                    up.append((network, bridge_name(network)))
                    endpoints += [one for one in self._networks.endpoints(network) if one.id != leaving]
        if up:
            self._firewall.replace(up, endpoints)
        else:
            self._firewall.remove()

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        if endpoint.ports and not self._firewall.unpublish(endpoint):
            self.restore(leaving=endpoint.id)

    def clear(self, network: Network) -> None:
        with Netlink() as netlink:
            gone = False
            for name in {bridge_name(network), _own_name(network)}:
                index = links.find(netlink, name)
                if index and self._ours(netlink, network, index):
                    gone = links.delete(netlink, name) or gone
            if gone:
                self.restore()

    def remove(self, network: Network) -> None:
        pass

    def inspect(self, network: Network) -> dict[str, str]:
        with Netlink() as netlink:
            index = links.find(netlink, bridge_name(network))
            return {"bridge": bridge_name(network), "mac": links.mac_of(netlink, index)} if index else {}


def remove_strays(state: Path, known: Collection[Network] = ()) -> None:
    """Take away the interfaces that are the store's and of none of the networks that are `known`, and its table with the last
    of all. The caller sees to it that nobody makes any meanwhile. Harmless to repeat."""
    firewall = Firewall(state)
    with Netlink() as netlink:
        own = links.with_alias(netlink, f"{firewall.table} ")
        strays = [name for name in own if not any(_is_of(network, name) for network in known)]
        for name in strays:
            links.delete(netlink, name)
    if len(strays) == len(own):
        with contextlib.suppress(OSError):  # a kernel that shows us no tables has none of ours
            if firewall.stands():
                firewall.remove()


def _is_of(network: Network, interface: str) -> bool:
    """Whether it is called as the network's are: by its ID, or as an option says."""
    return interface.endswith(f"-{network.id[:12]}") or interface in network.options.values()


def bridge_name(network: Network) -> str:
    """Its interface on the host."""
    return network.options.get(options.NAME) or _own_name(network)


def _own_name(network: Network) -> str:
    """The interface's name where the user chooses none, and until the user's is given to it."""
    return f"br-{network.id[:12]}"


def outer_name(endpoint: Endpoint) -> str:
    """The host's end of the pair."""
    return f"veth{endpoint.id[:11]}"


def configure(sandbox: Sandbox, endpoint: Endpoint) -> None:
    """In the sandbox: addresses, routes, and up. What a driver does when its interface is there."""
    with sandbox.entered(), Netlink() as netlink:
        index = links.find(netlink, endpoint.interface)
        if not any(":" in address for address in endpoint.addresses):
            write_sysctl(f"ipv6/conf/{endpoint.interface}/disable_ipv6", "1")
        for address in endpoint.addresses:
            links.add_address(netlink, index, address)
        links.switch_on(netlink, index)
        for gateway in endpoint.gateways:
            links.add_default_route(netlink, index, gateway)
        for name, value in options.sysctls(endpoint):
            if not write_sysctl(name, value):
                raise InvalidInput(f"cannot set the sysctl net/{name} to {value}", f"see {options.SYSCTLS}")


def _bridge_is_filtered() -> bool:
    """Whether frames that stay on a bridge pass the firewall as well: its rule for them then does, and lets published ports
    through, whose frames take the short way."""
    return read_sysctl("bridge/bridge-nf-call-iptables") == "1"
