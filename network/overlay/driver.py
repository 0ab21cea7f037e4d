"""The overlay driver: on each host a bridge like any other, and on it a VXLAN device that knows who is on the other hosts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path

from core.closing import Closing
from core.errors import Conflict, InvalidInput, Unavailable, Unsupported
from core.value import replace
from network import links, options
from network.bridge import Bridge, bridge_name
from network.model import Endpoint, Network
from network.netlink import Netlink
from network.overlay import LEASE, allocation, vxlan
from network.overlay.etcd import Etcd, EtcdRefused, absent, delete, present, put, unchanged
from network.overlay.records import (
    DRIVER,
    ENDPOINTS,
    NETWORKS,
    Remote,
    address_key,
    belongs,
    records,
    remote_of,
    vni_of,
)
from network.overlay.settings import Cluster, require
from network.sandbox import Sandbox
from network.tables import Networks


class Overlay(Closing):
    """A `SharedDriver`. `claim` needs the agent; `attach` and the rest do without."""

    name = DRIVER
    gateways = True
    publishes = True

    def __init__(self, networks: Networks, state: Path) -> None:
        self._networks = networks
        self._state = state
        self._bridge = Bridge(networks, state)
        self._opened: tuple[Cluster, Etcd] | None = None

    def _cluster(self) -> tuple[Cluster, Etcd]:
        if self._opened is None:
            cluster = require(self._networks.root)
            self._opened = (cluster, Etcd(cluster))
        return self._opened

    def close(self) -> None:
        """Harmless to repeat."""
        if self._opened is not None:
            self._opened[1].close()

    def create(self, network: Network) -> Network:
        if "encrypted" in network.options:
            raise InvalidInput(
                "the overlay driver does not encrypt",
                "let the hosts' underlay be a WireGuard network: see docs/network.md",
            )
        self._bridge.create(network)
        return allocation.allocate(self._cluster()[1], network, self._networks.all())

    def remove(self, network: Network) -> None:
        allocation.remove(self._cluster()[1], network)

    def claim(self, network: Network, endpoint: Endpoint) -> Collection[str]:
        """One transaction for each address: it is this host's if nobody has it, and the network is still there."""
        cluster, etcd = self._cluster()
        lease = read_lease(self._state)
        for key, value in records(cluster, endpoint).items():
            try:
                if etcd.commit([absent(key), present(NETWORKS + network.id)], [put(key, value, lease)]):
                    continue
            except EtcdRefused as error:
                if error.missing:
                    raise Unavailable("this host's lease in etcd has just ended", "try again") from error
                raise
            found = etcd.get(key)
            if found is None:
                if etcd.get(NETWORKS + network.id) is None:
                    raise Conflict(f"network {network.name} has been removed on another host", "create it anew")
                continue  # it has just become free: the next try may have it
            remote = remote_of(found)
            if remote is None or remote.endpoint != endpoint.id:
                self._release(endpoint)
                return {item.key.rpartition("/")[2] for item in etcd.under(f"{ENDPOINTS}{network.id}/")[0]}
        return ()

    def _release(self, endpoint: Endpoint) -> None:
        """Give the endpoint's addresses back, but none that another has by now."""
        etcd = self._cluster()[1]
        for address in endpoint.plain:
            key = address_key(endpoint.network, address)
            item = etcd.get(key)
            remote = remote_of(item) if item else None
            if item and remote and remote.endpoint == endpoint.id:
                etcd.commit([unchanged(key, item.revision)], [delete(key)])

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox) -> None:
        cluster, etcd = self._cluster()
        with Netlink() as netlink:
            known = links.find(netlink, bridge_name(network))
            if not known:
                allocation.check_room(network, self._networks.all())
            network = _with_mtu(network, vxlan.mtu_of(netlink, cluster.underlay), cluster)
            self._bridge.attach(network, endpoint, sandbox)
            index = links.find(netlink, vxlan.device_name(network.id)) or self._raise(netlink, network, cluster)
            vxlan.settle(netlink, index, others(etcd, network, cluster))

    def _raise(self, netlink: Netlink, network: Network, cluster: Cluster) -> int:
        bridge = links.find(netlink, bridge_name(network))
        try:
            vxlan.add(netlink, network, vni_of(network), cluster.underlay, options.mtu(network), bridge)
        except FileExistsError as error:
            raise Conflict(
                f"the VXLAN identifier {vni_of(network)} of the network {network.name} is in use on this machine",
                "`ip -d link show type vxlan` shows by what",
            ) from error
        index = links.find(netlink, vxlan.device_name(network.id))
        links.set_alias(netlink, index, self._bridge.alias(network))
        return index

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        self._bridge.detach(network, endpoint)
        with contextlib.suppress(Unavailable, Unsupported):  # the agent does it when etcd is back, or the lease's end
            self._release(endpoint)

    def clear(self, network: Network) -> None:
        with Netlink() as netlink:
            links.delete(netlink, vxlan.device_name(network.id))
        self._bridge.clear(network)

    def inspect(self, network: Network) -> dict[str, str]:
        found = self._bridge.inspect(network)
        return found | {"vxlan": vxlan.device_name(network.id), "vni": str(vni_of(network))} if found else {}


def others(etcd: Etcd, network: Network, cluster: Cluster) -> list[Remote]:
    """Who is on the network, but on other hosts."""
    found = map(remote_of, etcd.under(f"{ENDPOINTS}{network.id}/")[0])
    return [one for one in found if one and one.host != cluster.id and belongs(network, one)]


def read_lease(state: Path) -> int:
    """What the agent has written. Raises Unavailable."""
    try:
        return int(json.loads((state / LEASE).read_bytes())["lease"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unavailable("no agent keeps this host's lease in etcd", "try again") from error


def _with_mtu(network: Network, underlay: int, cluster: Cluster) -> Network:
    """What goes into a packet of the underlay, where the user has not said anything else."""
    if not underlay:
        raise Unavailable(
            f"this host does not have the address {cluster.underlay}", "tell its own: lamella network cluster --address"
        )
    if options.MTU in network.options:
        return network
    return replace(network, options={**network.options, options.MTU: str(underlay - vxlan.OVERHEAD)})
