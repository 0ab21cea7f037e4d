"""Links, addresses and routes: the few that drivers make, on a `Netlink` socket."""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that alone would take longer to load than a container to join
import contextlib
import struct

from core.errors import InvalidInput
from core.words import HEX
from network.netlink import (
    CREATE,
    DELLINK,
    DELROUTE,
    DUMP,
    EXCL,
    GETADDR,
    GETLINK,
    NEWADDR,
    NEWLINK,
    NEWROUTE,
    SETLINK,
    Netlink,
    attribute,
    attributes,
    is_missing,
)

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_UP, _LOOPBACK = 1, 8
_ADDRESS, _NAME, _MTU, _LOWER, _MASTER, _INFO, _ALIAS, _NS_FD = 1, 3, 4, 5, 10, 18, 20, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER, _MACVLAN_MODE, _VLAN_ID = 1, 2, 1, 1, 1
_BRIDGE, _PORT_INFO, _NESTED = 7, 12, 0x8000
HAIRPIN, ISOLATED = 4, 33
_NODAD = 0x02
_ONLINK = 4
_SCOPE_LINK = 253


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return _LINK.pack(0, 0, index, flags, change)


def check_mac(text: str) -> None:
    """Raises InvalidInput."""
    parts = text.lower().split(":")
    if len(parts) != 6 or any(len(part) != 2 or set(part) - HEX for part in parts):
        raise InvalidInput(f"{text} is not a valid mac address", "write it as 02:42:ac:11:00:02")


def mac_bytes(mac: str) -> bytes:
    """The six bytes of `02:42:…`."""
    return bytes.fromhex(mac.replace(":", ""))


def find(netlink: Netlink, name: str) -> int:
    """The index of the link `name`; 0 where there is none."""
    try:
        answers = netlink.ask(GETLINK, _link() + attribute(_NAME, name))
    except OSError as error:
        if is_missing(error):
            return 0
        raise
    return int(_LINK.unpack_from(answers[0])[2]) if answers else 0


def mac_of(netlink: Netlink, index: int) -> str:
    """The link's hardware address."""
    answer = netlink.ask(GETLINK, _link(index))[0]
    return attributes(answer[_LINK.size :]).get(_ADDRESS, b"").hex(":")


def with_alias(netlink: Netlink, beginning: str) -> list[str]:
    """The names of the links that say of themselves something that begins so."""
    found = []
    for answer in netlink.ask(GETLINK, _link(), DUMP):
        known = attributes(answer[_LINK.size :])
        if known.get(_ALIAS, b"").startswith(beginning.encode()):
            found.append(known[_NAME].rstrip(b"\0").decode())
    return found


def names(netlink: Netlink) -> list[str]:
    """The names of all links."""
    found = (attributes(answer[_LINK.size :]) for answer in netlink.ask(GETLINK, _link(), DUMP))
    return [known[_NAME].rstrip(b"\0").decode(errors="replace") for known in found]


def set_port(netlink: Netlink, index: int, flag: int) -> None:
    """Switch a flag of a bridge's port on: HAIRPIN or ISOLATED."""
    netlink.ask(SETLINK, _LINK.pack(_BRIDGE, 0, index, 0, 0) + attribute(_PORT_INFO | _NESTED, attribute(flag, b"\1")))


def alias_of(netlink: Netlink, index: int) -> str:
    """What the link says of itself."""
    answer = netlink.ask(GETLINK, _link(index))[0]
    return attributes(answer[_LINK.size :]).get(_ALIAS, b"").rstrip(b"\0").decode(errors="replace")


def set_alias(netlink: Netlink, index: int, text: str) -> None:
    netlink.request(SETLINK, _link(index) + attribute(_ALIAS, text))


def add_bridge(netlink: Netlink, name: str, mtu: int, mac: str) -> None:
    """Make a bridge, not switched on. Harmless where there is one of that name."""
    info = attribute(_INFO, attribute(_INFO_KIND, "bridge"))
    given = attribute(_NAME, name) + attribute(_MTU, mtu) + attribute(_ADDRESS, mac_bytes(mac))
    with contextlib.suppress(FileExistsError):
        netlink.request(NEWLINK, _link() + given + info, CREATE | EXCL)


def is_in_use(netlink: Netlink, index: int) -> bool:
    """Whether the host does something with the link: it has an address, is part of a bridge, or says that it is lamella's."""
    answer = netlink.ask(GETLINK, _link(index))[0]
    known = attributes(answer[_LINK.size :])
    mine = known.get(_ALIAS, b"").startswith(b"lamella_")
    if _LINK.unpack_from(answer)[3] & _LOOPBACK or _MASTER in known or mine:
        return True
    addresses = (struct.unpack_from("=BBBBI", one) for one in netlink.ask(GETADDR, bytes(8), DUMP))
    return any(on == index and scope < _SCOPE_LINK for _, _, _, scope, on in addresses)


def move(netlink: Netlink, index: int, netns: int, name: str) -> None:
    """Move the link to the namespace behind `netns`, where it is switched off and called `name`."""
    netlink.request(SETLINK, _link(index) + attribute(_NS_FD, netns) + attribute(_NAME, name))


def rename(netlink: Netlink, index: int, name: str) -> None:
    """Give a link that is not switched on another name."""
    netlink.request(SETLINK, _link(index) + attribute(_NAME, name))


def is_on(netlink: Netlink, index: int) -> bool:
    """Whether the link is switched on."""
    return bool(_LINK.unpack_from(netlink.ask(GETLINK, _link(index))[0])[3] & _UP)


def add_veth(netlink: Netlink, name: str, bridge: int, peer: str, netns: int, mac: str, mtu: int) -> None:
    """Make a pair: `name` here, on the bridge with that index; `peer` in the namespace behind the descriptor `netns`.
    The end here is switched on; the other cannot be before it has this one."""
    inner = _link() + attribute(_NAME, peer) + attribute(_NS_FD, netns) + attribute(_MTU, mtu)
    inner += attribute(_ADDRESS, mac_bytes(mac))
    data = attribute(_INFO_DATA, attribute(_VETH_PEER, inner))
    info = attribute(_INFO, attribute(_INFO_KIND, "veth") + data)
    given = attribute(_NAME, name) + attribute(_MTU, mtu) + attribute(_MASTER, bridge)
    netlink.request(NEWLINK, _link(0, _UP, _UP) + given + info, CREATE | EXCL)


def add_pair(netlink: Netlink, name: str, peer: str) -> None:
    """Make two links that lead to each other, both here and not switched on. Harmless where they are."""
    with contextlib.suppress(FileExistsError):
        _add(netlink, name, "veth", attribute(_VETH_PEER, _link() + attribute(_NAME, peer)))


def add_macvlan(netlink: Netlink, lower: int, name: str, netns: int, mac: str, mode: int) -> None:
    """Make a link with a hardware address of its own on the one with the index `lower`, in the namespace behind `netns`."""
    given = attribute(_LOWER, lower) + attribute(_NS_FD, netns) + attribute(_ADDRESS, mac_bytes(mac))
    _add(netlink, name, "macvlan", attribute(_MACVLAN_MODE, mode), given)


def add_vlan(netlink: Netlink, name: str, lower: int, id: int) -> None:
    """Make a link of the frames of `lower` that wear the tag `id`, not switched on."""
    _add(netlink, name, "vlan", attribute(_VLAN_ID, struct.pack("=H", id)), attribute(_LOWER, lower))


def _add(netlink: Netlink, name: str, kind: str, data: bytes, given: bytes = b"") -> None:
    info = attribute(_INFO, attribute(_INFO_KIND, kind) + attribute(_INFO_DATA, data))
    netlink.request(NEWLINK, _link() + attribute(_NAME, name) + given + info, CREATE | EXCL)


def set_mac(netlink: Netlink, index: int, mac: str) -> None:
    netlink.request(SETLINK, _link(index) + attribute(_ADDRESS, mac_bytes(mac)))


def delete(netlink: Netlink, name: str) -> bool:
    """Remove a link; False where there was none."""
    try:
        netlink.request(DELLINK, _link() + attribute(_NAME, name))
    except OSError as error:
        if is_missing(error):
            return False
        raise
    return True


def switch_on(netlink: Netlink, index: int) -> None:
    netlink.request(SETLINK, _link(index, _UP, _UP))


def add_address(netlink: Netlink, index: int, address: str) -> None:
    """Give the link an address with a prefix length. Harmless to repeat."""
    plain, _, prefix = address.partition("/")
    family = family_of(plain)
    raw = socket.inet_pton(family, plain)
    # A v6 address is ours for certain, and the bridge may send our own question back: nobody is asked whether it is free.
    head = struct.pack("=BBBBI", family, int(prefix), _NODAD if family == socket.AF_INET6 else 0, 0, index)
    given = attribute(1, raw) + attribute(2, raw)
    if family == socket.AF_INET and int(prefix) < 31:
        given += attribute(4, broadcast(raw, int(prefix)))
    with contextlib.suppress(FileExistsError):
        netlink.request(NEWADDR, head + given, CREATE | EXCL)


def broadcast(raw: bytes, prefix: int) -> bytes:
    """The last address of the subnet that the v4 address `raw` is in."""
    number = int.from_bytes(raw, "big") | ((1 << (32 - prefix)) - 1)
    return number.to_bytes(4, "big")


def add_default_route(netlink: Netlink, index: int, gateway: str) -> None:
    """All that goes nowhere else goes to `gateway` through the link. Harmless to repeat."""
    with contextlib.suppress(FileExistsError):
        netlink.request(NEWROUTE, _route(index, gateway), CREATE | EXCL)


def add_route(netlink: Netlink, index: int, target: str, gateway: str) -> None:
    """What goes to the network `target` goes through the link: to `gateway`, or to whom it is for if that is empty.
    Harmless to repeat."""
    with contextlib.suppress(FileExistsError):
        netlink.request(NEWROUTE, _route(index, gateway, target), CREATE | EXCL)


def clear_default_routes(netlink: Netlink) -> None:
    """Take away every default route of this namespace. Harmless to repeat."""
    for family in (socket.AF_INET, socket.AF_INET6):
        head = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 254, 0, 0, 0, 0)
        with contextlib.suppress(ProcessLookupError, OSError):
            while True:
                netlink.request(DELROUTE, head)


def _route(index: int, gateway: str, target: str = "") -> bytes:
    family = family_of(gateway or target)
    plain, _, prefix = target.partition("/")
    table, static, unicast = 254, 4, 1
    scope, flags = (0, _ONLINK) if gateway else (_SCOPE_LINK, 0)
    route = struct.pack("=BBBBBBBBI", family, int(prefix or 0), 0, 0, table, static, scope, unicast, flags)
    if plain:
        route += attribute(1, socket.inet_pton(family, plain))
    if gateway:
        route += attribute(5, socket.inet_pton(family, gateway))
    return route + attribute(4, index)


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
