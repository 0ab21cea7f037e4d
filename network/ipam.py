"""Which addresses a network has, and which of them an endpoint gets.

Subnets that nobody chose come from Docker's pools, the first that no other network and no route of this machine touches.
Addresses are given in turn, so that one that has just become free is not given at once to somebody else.
"""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that alone would take longer to load than a container to join
import contextlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from core.errors import Conflict, InvalidInput, Unavailable
from core.sqlite import Connection
from core.value import replace
from network.model import Endpoint, Network, Subnet
from network.tables import Networks

Address = IPv4Address | IPv6Address
Range = IPv4Network | IPv6Network


def pools(first: int = 18) -> Iterator[IPv4Network]:
    """172.17–172.31 as /16, then 192.168 in /20. The very first is the default bridge's."""
    for second in range(first, 32):
        yield IPv4Network(f"172.{second}.0.0/16")
    yield from IPv4Network("192.168.0.0/16").subnets(new_prefix=20)


def routes() -> list[Range]:
    """Where this machine's own routes lead, the default ones left out."""
    found: list[Range] = []
    with contextlib.suppress(OSError), open("/proc/net/route", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            words = line.split()
            target, mask = (int.from_bytes(bytes.fromhex(words[i]), "little") for i in (1, 7))
            if mask:
                found.append(ip_network((target, mask.bit_count())))
    with contextlib.suppress(OSError), open("/proc/net/ipv6_route", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[1] != "00" and not words[0].startswith(("fe8", "ff")):
                text = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(words[0]))
                found.append(ip_network((text, int(words[1], 16)), strict=False))
    return found


def touches(one: Range, others: Iterable[Range]) -> bool:
    """Whether it shares an address with any of the others."""
    return any(one.version == other.version and one.overlaps(other) for other in others)


def settle(network: Network, others: Iterable[Network], *, v4: bool = True, gateways: bool = True) -> Network:
    """The network with subnets: the user's own, checked, or one of each kind it needs from the pools. Without `gateways` they
    have those that the user gave, and no others.

    Raises Conflict where a chosen one overlaps with those of `others`, Unavailable where the pools are used up.
    """
    taken = [ip_network(subnet.network) for other in others if other.id != network.id for subnet in other.subnets]
    chosen = [check(subnet, gateway=gateways) for subnet in network.subnets if subnet.chosen]
    for subnet in chosen:
        if touches(ip_network(subnet.network), taken):
            raise Conflict(
                "invalid pool request: Pool overlaps with other one on this address space", "choose another --subnet"
            )
    found = chosen
    taken += [ip_network(subnet.network) for subnet in chosen]
    if v4 and not any(not subnet.v6 for subnet in found):
        found = [_from_pools(taken, 17 if network.predefined else 18), *found]
    if network.ipv6 and not any(subnet.v6 for subnet in found):
        found = [*found, _local_v6(network.id)]
    if not gateways:
        found = [subnet if subnet.chosen else replace(subnet, gateway="") for subnet in found]
    return replace(network, subnets=tuple(found), ipv6=network.ipv6 or any(subnet.v6 for subnet in found))


def _from_pools(taken: list[Range], first: int) -> Subnet:
    in_the_way = taken + routes()
    for pool in pools(first):
        if not touches(pool, in_the_way):
            return Subnet(str(pool), str(pool[1]), chosen=False)
    raise Unavailable(
        "all predefined address pools have been fully subnetted",
        "remove networks that nobody needs: `lamella network prune`",
    )


def _local_v6(id: str) -> Subnet:
    """A unique local /64 (RFC 4193), the same for the same network."""
    raw = b"\xfd" + bytes.fromhex(id[:14]) + bytes(8)
    network = IPv6Network((raw, 64))
    return Subnet(str(network), str(network[1]), chosen=False)


def check(subnet: Subnet, *, gateway: bool = True) -> Subnet:
    """A subnet that the user has written, with its gateway, or with one if there must be. Raises InvalidInput."""
    network = parse_range(subnet.network, "subnet")
    if subnet.ip_range and not _within(parse_range(subnet.ip_range, "ip-range"), network):
        raise InvalidInput(f"no matching subnet for range {subnet.ip_range!r}", "an --ip-range is a part of a --subnet")
    for address in filter(None, (subnet.gateway, *subnet.reserved.values())):
        if parse_address(address) not in network:
            raise InvalidInput(f"no matching subnet for address {address}", f"{network} does not have it")
    return replace(
        subnet, network=str(network), gateway=subnet.gateway or (str(_first(subnet, network)) if gateway else "")
    )


def _first(subnet: Subnet, network: Range) -> Address:
    if network.num_addresses < 4:
        raise InvalidInput(f"the subnet {network} is too small", "it needs a gateway and an address for each container")
    start = parse_range(subnet.ip_range, "ip-range") if subnet.ip_range else network
    reserved = {parse_address(address) for address in subnet.reserved.values()}
    return next(address for address in _usable(start, network) if address not in reserved)


def _within(part: Range, whole: Range) -> bool:
    return part.version == whole.version and part.network_address in whole and part.broadcast_address in whole


def parse_range(text: str, what: str) -> Range:
    """Raises InvalidInput."""
    try:
        return ip_network(_without_zone(text), strict=False)
    except ValueError as error:
        raise InvalidInput(
            f"invalid {what} {text}: invalid CIDR address: {text}", "write it as ADDRESS/PREFIX"
        ) from error


def parse_address(text: str) -> Address:
    """Raises InvalidInput."""
    try:
        return ip_address(_without_zone(text))
    except ValueError as error:
        raise InvalidInput(f"invalid IP address {text}", "write it as 172.20.0.5, or fd00::5") from error


def _without_zone(text: str) -> str:
    """An interface of this machine (`fe80::1%eth0`) is no part of an address on a network. Raises ValueError for one."""
    if "%" in text:
        raise ValueError(text)
    return text


def _usable(part: Range, network: Range) -> Iterator[Address]:
    """The addresses of `part` that a host may have."""
    ends = {network.network_address} | ({network.broadcast_address} if network.version == 4 else set())
    number, last = int(part.network_address), int(part.broadcast_address)
    kind = IPv4Address if network.version == 4 else IPv6Address
    while number <= last:
        address = kind(number)
        if address not in ends:
            yield address
        number += 1


def take(
    networks: Networks, network: Network, endpoint: Endpoint, wanted: Iterable[str] = (), taken: Iterable[str] = ()
) -> Endpoint:
    """The endpoint with an address of each subnet, written down; `wanted` ones where it names some. `taken`: those that are
    in use elsewhere.

    Raises Conflict for an address in use, Unavailable where none is left, InvalidInput for one that cannot be.
    """
    asked = [parse_address(text) for text in wanted if text]
    for address in asked:
        _check_wanted(network, address)
    with networks.transaction(durable=False) as connection:
        networks.put_endpoint(endpoint)
        given = []
        for subnet in network.subnets:
            own = next((address for address in asked if address in ip_network(subnet.network)), None)
            given.append(_take_one(connection, network, subnet, endpoint.id, own, taken))
        mac = endpoint.mac or mac_for(given[0].partition("/")[0] if given else "")
        endpoint = replace(endpoint, addresses=tuple(given), mac=mac)
        networks.put_endpoint(endpoint)
    return endpoint


def _check_wanted(network: Network, address: Address) -> None:
    if not network.named:
        raise InvalidInput(
            "user specified IP address is supported on user defined networks only", "create one with --subnet"
        )
    if not any(subnet.chosen for subnet in network.subnets):
        raise InvalidInput(
            "user specified IP address is supported only when connecting to networks with user configured subnets",
            "create the network with --subnet",
        )
    if not any(address in ip_network(subnet.network) for subnet in network.subnets):
        raise InvalidInput(
            f"no configured subnet or ip-range contain the IP address {address}",
            "its subnets: " + ", ".join(subnet.network for subnet in network.subnets),
        )


def _take_one(
    connection: Connection,
    network: Network,
    subnet: Subnet,
    endpoint: str,
    wanted: Address | None,
    taken: Iterable[str],
) -> str:
    used = {
        row[0] for row in connection.execute("SELECT address FROM network_addresses WHERE network = ?", (network.id,))
    }
    used |= {str(ip_address(text)) for text in (subnet.gateway, *subnet.reserved.values()) if text}
    used |= set(taken)
    key = f"{network.id} {subnet.network}"
    if wanted is not None:
        if str(wanted) in used:
            raise Conflict("Address already in use", f"{wanted} is another container's, or the gateway's")
        address = str(wanted)
    else:
        row = connection.execute("SELECT address FROM network_last WHERE subnet = ?", (key,)).fetchone()
        address = _next(network, subnet, used, row[0] if row else "")
        connection.execute("INSERT OR REPLACE INTO network_last VALUES (?, ?)", (key, address))
    connection.execute("INSERT INTO network_addresses VALUES (?, ?, ?)", (network.id, address, endpoint))
    return f"{address}/{subnet.prefix}"


def _next(network: Network, subnet: Subnet, used: set[str], last: str) -> str:
    """The first free address after `last`, or from the beginning."""
    whole = ip_network(subnet.network)
    part = ip_network(subnet.ip_range) if subnet.ip_range else whole
    start = int(ip_address(last)) + 1 if last and ip_address(last) in part else int(part.network_address)
    first, final = int(part.network_address), int(part.broadcast_address)
    kind = IPv4Address if whole.version == 4 else IPv6Address
    ends = {str(whole.network_address)} | ({str(whole.broadcast_address)} if whole.version == 4 else set())
    for begin, end in ((start, final), (first, start - 1)):
        number = begin
        while number <= end:
            address = str(kind(number))
            if address not in used and address not in ends:
                return address
            number += 1
    raise Unavailable(
        f"no available {'IPv6' if whole.version == 6 else 'IPv4'} addresses on this network's address pools:"
        f" {network.name} ({network.id})",
        "remove containers from it, or create one with a larger --subnet",
    )


def mac_for(address: str) -> str:
    """The hardware address that goes with an IP address: the same one again for the next who gets it, so that neighbours
    that remember it are right."""
    if not address:
        import os

        return (b"\x02\x42" + os.urandom(4)).hex(":")
    return (b"\x02\x42" + ip_address(address).packed[-4:]).hex(":")
