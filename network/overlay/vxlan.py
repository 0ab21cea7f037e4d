"""VXLAN devices (RFC 7348) on a `Netlink` socket: nothing is learnt, nothing is flooded, all that they know is told to them."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable

from network.links import family_of, mac_bytes
from network.model import Network
from network.netlink import CREATE, DUMP, EXCL, GETLINK, NEWLINK, Netlink, attribute, attributes, is_missing
from network.overlay.records import Remote

PORT = 4789
OVERHEAD = 50  # bytes: Ethernet, VXLAN, UDP and IPv4 headers around each frame
_GETADDR, _NEWNEIGH, _DELNEIGH, _GETNEIGH = 22, 28, 29, 30
_REPLACE = 0x100
_LINK, _NEIGHBOUR = struct.Struct("=BxHiII"), struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_NAME, _MTU, _MASTER, _INFO = 3, 4, 10, 18
_KIND, _DATA = 1, 2
_ID, _LOCAL, _LEARNING, _PROXY, _UDP_PORT = 1, 4, 7, 11, 15
_TARGET, _MAC = 1, 2
_PERMANENT, _SELF, _BRIDGE = 0x80, 0x02, 7


def device_name(network: str) -> str:
    """The device of the network with that ID."""
    return f"vx-{network[:12]}"


def add(netlink: Netlink, network: Network, vni: int, underlay: str, mtu: int, bridge: int) -> None:
    """Make the network's device on the bridge with that index, switched on. Raises FileExistsError where another device of this
    machine has the VNI."""
    data = attribute(_ID, vni) + attribute(_LOCAL, socket.inet_aton(underlay)) + attribute(_LEARNING, b"\0")
    data += attribute(_PROXY, b"\1") + attribute(_UDP_PORT, struct.pack("!H", PORT))
    info = attribute(_INFO, attribute(_KIND, "vxlan") + attribute(_DATA, data))
    given = attribute(_NAME, device_name(network.id)) + attribute(_MTU, mtu) + attribute(_MASTER, bridge)
    netlink.request(NEWLINK, _LINK.pack(0, 0, 0, 1, 1) + given + info, CREATE | EXCL)


def lead(netlink: Netlink, index: int, remote: Remote) -> None:
    """Who asks for the address gets its hardware address from the device itself, which sends what goes there to its host.
    Harmless to repeat."""
    mac = attribute(_MAC, mac_bytes(remote.mac))
    there = attribute(_TARGET, socket.inet_aton(remote.underlay))
    netlink.request(_NEWNEIGH, _NEIGHBOUR.pack(_BRIDGE, index, _PERMANENT, _SELF, 0) + mac + there, CREATE | _REPLACE)
    netlink.request(_NEWNEIGH, _about(index, remote.address) + mac, CREATE | _REPLACE)


def forget(netlink: Netlink, index: int, address: str, mac: str) -> None:
    """Undo `lead`. Harmless to repeat."""
    for head in (
        _about(index, address),
        _NEIGHBOUR.pack(_BRIDGE, index, 0, _SELF, 0) + attribute(_MAC, mac_bytes(mac)),
    ):
        try:
            netlink.request(_DELNEIGH, head)
        except OSError as error:
            if not is_missing(error):
                raise


def settle(netlink: Netlink, index: int, remotes: Iterable[Remote]) -> None:
    """Let the device know exactly these. Harmless to repeat."""
    wanted = {remote.address: remote for remote in remotes}
    for address, mac in known(netlink, index).items():
        if address not in wanted or wanted[address].mac != mac:
            forget(netlink, index, address, mac)
    for remote in wanted.values():
        lead(netlink, index, remote)


def known(netlink: Netlink, index: int) -> dict[str, str]:
    """The addresses that the device answers for, with their hardware addresses."""
    found = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for answer in netlink.ask(_GETNEIGH, _NEIGHBOUR.pack(family, 0, 0, 0, 0), DUMP):
            _, there, state, _, _ = _NEIGHBOUR.unpack_from(answer)
            if there == index and state & _PERMANENT:
                said = attributes(answer[_NEIGHBOUR.size :])
                found[socket.inet_ntop(family, said[_TARGET])] = said[_MAC].hex(":")
    return found


def _about(index: int, address: str) -> bytes:
    family = family_of(address)
    return _NEIGHBOUR.pack(family, index, _PERMANENT, 0, 0) + attribute(_TARGET, socket.inet_pton(family, address))


def v4_addresses(netlink: Netlink) -> list[tuple[int, str]]:
    """Every v4 address of this machine, with the index of its interface."""
    found = []
    for answer in netlink.ask(_GETADDR, struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, 0), DUMP):
        with contextlib.suppress(KeyError):
            raw = attributes(answer[8:])[2]
            found.append((int(struct.unpack_from("=I", answer, 4)[0]), socket.inet_ntoa(raw)))
    return found


def v4_address_of(netlink: Netlink, index: int) -> str:
    """The first one of the interface; empty where it has none."""
    return next((address for there, address in v4_addresses(netlink) if there == index), "")


def mtu_of(netlink: Netlink, address: str) -> int:
    """The MTU of the interface that has the address; 0 where none has."""
    index = next((there for there, one in v4_addresses(netlink) if one == address), 0)
    if not index:
        return 0
    answer = netlink.ask(GETLINK, _LINK.pack(0, 0, index, 0, 0))[0]
    return int(struct.unpack("=I", attributes(answer[_LINK.size :])[_MTU])[0])
