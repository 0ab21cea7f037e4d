"""What all hosts together give out: names, ranges of addresses and VXLAN identifiers of networks.

A network is written in one transaction that holds only while no other came or went since everything was read: two hosts never
give out the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, ip_network

from core.errors import Conflict, InvalidInput, Unavailable
from core.value import replace
from network import ipam
from network.model import Network, Subnet
from network.overlay.etcd import Etcd, absent, delete, present, put, unchanged
from network.overlay.records import DRIVER, ENDPOINTS, FIRST_VNI, LAST_VNI, NETWORKS, TURN, VNI, network_of, vni_of
from network.tables import Networks

_TRIES = 50


def shared(etcd: Etcd) -> list[Network]:
    """The overlay networks that etcd knows, by name; nonsense is left out."""
    found = filter(None, map(network_of, etcd.under(NETWORKS)[0]))
    return sorted(found, key=lambda network: network.name)


def allocate(etcd: Etcd, network: Network, local: Sequence[Network]) -> Network:
    """Write the network down for all hosts, with what it lacks; as it is then. `local`: the networks that this host knows.

    Raises Conflict for a name, range or identifier that is another's; Unavailable where there is none left."""
    for _ in range(_TRIES):
        turn = etcd.get(TURN)
        others = shared(etcd)
        if any(other.id == network.id for other in others):  # written, but the answer was lost
            return next(other for other in others if other.id == network.id)
        if any(other.name == network.name for other in others):
            raise Conflict(f"network with name {network.name} already exists", "choose another name")
        settled = _with_vni(_with_subnets(network, [*others, *local]), others)
        changes = [put(NETWORKS + network.id, settled.encode()), put(TURN, network.id)]
        if etcd.commit([unchanged(TURN, turn.revision if turn else 0)], changes):
            return settled
    raise Unavailable("other hosts create networks all the time", "try again")


def remove(etcd: Etcd, network: Network) -> None:
    """Forget the network on all hosts. Harmless to repeat. Raises Conflict where a host has containers on it."""
    gone = [delete(NETWORKS + network.id), put(TURN, network.id)]
    if etcd.commit([present(NETWORKS + network.id), absent(f"{ENDPOINTS}{network.id}/")], gone):
        return
    if etcd.get(NETWORKS + network.id) is not None:
        raise Conflict(
            f"error while removing network: network {network.name} has active endpoints on other hosts",
            "stop these containers there; those of a dead host go with its lease",
        )


def learn(networks: Networks, etcd: Etcd) -> None:
    """Let the catalog have just the overlay networks that etcd has, but for those in use here. Harmless to repeat."""
    before = {network.id: network for network in networks.all() if network.driver == DRIVER}
    now = {network.id: network for network in shared(etcd)}
    for id, network in before.items():
        if id not in now:
            with contextlib.suppress(Conflict):
                networks.delete(network)
    for id, network in now.items():
        if id not in before:
            with contextlib.suppress(Conflict):  # a network of this host's own has the name
                networks.add(network)


def check_room(network: Network, local: Iterable[Network]) -> None:
    """Raises Conflict where this host uses the network's addresses for something else."""
    taken = [ip_network(s.network) for other in local if other.id != network.id for s in other.subnets]
    for subnet in network.subnets:
        if ipam.touches(ip_network(subnet.network), [*taken, *ipam.routes()]):
            raise Conflict(
                f"this host has another use for {subnet.network}, the subnet of the network {network.name}",
                "see `ip route` and `lamella network ls`; or create the network with another --subnet",
            )


def _with_subnets(network: Network, others: Iterable[Network]) -> Network:
    taken = [ip_network(subnet.network) for other in others for subnet in other.subnets]
    settled = ipam.settle(network, (), v4=False)
    for subnet in settled.subnets:
        if ipam.touches(ip_network(subnet.network), taken):
            raise Conflict(
                "invalid pool request: Pool overlaps with other one on this address space", "choose another --subnet"
            )
    subnets = settled.subnets
    if all(subnet.v6 for subnet in subnets):
        subnets = (_from_pool([*taken, *ipam.routes()]), *subnets)
    return replace(settled, subnets=tuple(replace(subnet, chosen=True) for subnet in subnets))


def _pool() -> Iterator[IPv4Network]:
    """Docker's: 10.0.0.0/8 in /24, from 10.0.1.0 on."""
    return (IPv4Network((0x0A000000 + (number << 8), 24)) for number in range(1, 1 << 16))


def _from_pool(taken: list[ipam.Range]) -> Subnet:
    for one in _pool():
        if not ipam.touches(one, taken):
            return Subnet(str(one), str(one[1]))
    raise Unavailable("all predefined address pools have been fully subnetted", "remove networks that nobody needs")


def _with_vni(network: Network, others: Iterable[Network]) -> Network:
    taken = {vni_of(other) for other in others}
    if network.options.get(VNI):
        number = vni_of(network)
        if not number:
            raise InvalidInput(f"invalid VXLAN identifier {network.options[VNI]!r}", f"use one from 1 to {LAST_VNI}")
        if number in taken:
            raise Conflict(
                f"the VXLAN identifier {number} is another network's", f"choose another one, or leave out {VNI}"
            )
        return network
    number = next(number for number in range(FIRST_VNI, LAST_VNI + 1) if number not in taken)
    return replace(network, options={**network.options, VNI: str(number)})
