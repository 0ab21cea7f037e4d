"""What hosts write into etcd for each other, and what is believed of it: any of them may have written nonsense.

`/lamella/networks/<id>` is a network, `/lamella/hosts/<underlay address>` a host, `/lamella/endpoints/<network>/<address>` who
has an address; the last two hang on their host's lease. `/lamella/turn` is written with every network that comes or goes.
"""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from core.errors import LamellaError
from core.value import Value
from network.model import Endpoint, Network, Subnet
from network.overlay.etcd import Item
from network.overlay.settings import Cluster, is_host

ALL = "/lamella/"
NETWORKS, HOSTS, ENDPOINTS, TURN = (f"{ALL}{name}" for name in ("networks/", "hosts/", "endpoints/", "turn"))
VNI = "com.docker.network.driver.overlay.vxlanid_list"
DRIVER = "overlay"
FIRST_VNI, LAST_VNI = 4096, (1 << 24) - 1
_ID = re.compile(r"[0-9a-f]{64}")
_HOST_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,252}")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_MOST_NAMES = 64
_MOST = 1 << 16  # bytes of one value
_NONSENSE = (ValueError, TypeError, KeyError, AttributeError, LamellaError, RecursionError)


class Remote(Value):
    """An endpoint as etcd tells of it. `host` is the ID of the host it is on, `underlay` where that is to be found."""

    network: str
    address: str
    endpoint: str
    host: str
    underlay: str
    mac: str
    names: tuple[str, ...] = ()


def address_key(network: str, address: str) -> str:
    return f"{ENDPOINTS}{network}/{address}"


def records(cluster: Cluster, endpoint: Endpoint) -> dict[str, bytes]:
    """The endpoint's keys and what they say."""
    said = {
        "endpoint": endpoint.id, "host": cluster.id, "underlay": cluster.underlay, "mac": endpoint.mac.lower(),
        "names": list(endpoint.names),
    }  # fmt: skip
    value = json.dumps(said, separators=(",", ":")).encode()
    return {address_key(endpoint.network, address): value for address in endpoint.plain}


def remote_of(item: Item) -> Remote | None:
    """What an item below ENDPOINTS says; None for nonsense."""
    try:
        network, _, text = item.key.removeprefix(ENDPOINTS).partition("/")
        data = _data(item)
        names = data["names"]
        found = Remote(
            network, text, data["endpoint"], data["host"], str(IPv4Address(data["underlay"])), data["mac"],
            tuple(name for name in names[:_MOST_NAMES] if _NAME.fullmatch(name)),
        )  # fmt: skip
        good = (
            _ID.fullmatch(network), _ID.fullmatch(found.endpoint), _HOST_ID.fullmatch(found.host), _MAC.fullmatch(found.mac),
            str(ip_address(text)) == text and "%" not in text, not int(found.mac[:2], 16) & 1, is_host(IPv4Address(found.underlay)),
        )  # fmt: skip
    except _NONSENSE:
        return None
    return found if all(good) else None


def belongs(network: Network, remote: Remote) -> bool:
    """Whether the address may be somebody's there: inside, and not the gateway's, nor with the gateway's hardware address."""
    from network.ipam import mac_for

    address = ip_address(remote.address)
    return any(
        address in ip_network(subnet.network)
        and remote.address != subnet.gateway
        and remote.mac != mac_for(subnet.gateway)
        for subnet in network.subnets
    )


def network_of(item: Item) -> Network | None:
    """What an item below NETWORKS says; None for nonsense."""
    try:
        data = _data(item)
        data["subnets"] = tuple(_subnet(one) for one in data["subnets"])
        found = Network(**data)
        good = (
            found.id == item.key.removeprefix(NETWORKS), _ID.fullmatch(found.id), _NAME.fullmatch(found.name),
            found.driver == DRIVER, not found.predefined, found.subnets, vni_of(found),
            *(isinstance(one, bool) for one in (found.internal, found.attachable, found.ipv6)),
            isinstance(found.created, str),
            *(isinstance(text, str) for known in (found.options, found.labels) for pair in known.items() for text in pair),
        )  # fmt: skip
        _check_options(found)
    except _NONSENSE:
        return None
    return found if all(good) else None


def _check_options(network: Network) -> None:
    from network import options

    options.check(network)


def _subnet(data: dict[str, Any]) -> Subnet:
    from network.ipam import check

    subnet = Subnet(**data | {"chosen": True})
    if not all(
        isinstance(text, str) for text in (subnet.network, subnet.gateway, subnet.ip_range, *subnet.reserved.values())
    ):
        raise TypeError("not texts")
    whole = ip_network(subnet.network)
    if whole.prefixlen < (32 if subnet.v6 else 8) or whole.is_loopback or whole.is_multicast or whole.is_link_local:
        raise ValueError("no range that containers can have")
    return check(subnet)


def vni_of(network: Network) -> int:
    """Its VXLAN network identifier; 0 where it has none that can be."""
    text = network.options.get(VNI, "")
    number = int(text) if text.isdecimal() and text.isascii() and len(text) < 9 else 0
    return number if 0 < number <= LAST_VNI else 0


def host_of(item: Item) -> tuple[str, str] | None:
    """ID and name of the host that an item below HOSTS tells of; None for nonsense."""
    try:
        data = _data(item)
        found = (data["id"], data["name"])
        good = _HOST_ID.fullmatch(found[0]), _NAME.fullmatch(found[1]), IPv4Address(item.key.removeprefix(HOSTS))
    except _NONSENSE:
        return None
    return found if all(good) else None


def _data(item: Item) -> dict[str, Any]:
    if len(item.value) > _MOST:
        raise ValueError("too long")
    data = json.loads(item.value)
    if not isinstance(data, dict):
        raise TypeError("not an object")
    return data
