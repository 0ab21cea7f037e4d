"""Packets that go from one interface of this machine to another: bridges need that, and nobody else is to get it by the way."""

from __future__ import annotations

from network.firewall import nft
from network.model import Network
from network.sysctl import read_sysctl, write_sysctl

_SWITCHES = {"ip": "ipv4/ip_forward", "ip6": "ipv6/conf/all/forwarding"}
_GUARD = """
table {family} lamella_forwarding
delete table {family} lamella_forwarding
table {family} lamella_forwarding {{
 set others {{ type ifname; elements = {{ {names} }} }}
 chain between {{
  type filter hook forward priority filter; policy accept;
  iifname @others oifname @others drop
 }}
}}
"""


def let_forward(network: Network) -> None:
    """Let the kernel forward what the network needs. Harmless to repeat.

    A machine that forwarded nothing must not become a router between the networks it is in: none of the interfaces that
    it has then gets packets of another. Interfaces that come later, such as other engines' bridges, are left alone.
    """
    for family in {"ip6" if subnet.v6 else "ip" for subnet in network.subnets}:
        if read_sysctl(_SWITCHES[family]) == "0":
            nft(_GUARD.format(family=family, names=", ".join(f'"{name}"' for name in _others())))
            write_sysctl(_SWITCHES[family], "1")


def _others() -> list[str]:
    """The interfaces there are, but for lamella's own."""
    from network import links
    from network.netlink import Netlink

    with Netlink() as netlink:
        own = links.with_alias(netlink, "lamella_")
        names = links.names(netlink)
    return [name for name in names if name not in own and '"' not in name]
