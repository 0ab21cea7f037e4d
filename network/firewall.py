"""The store's own nftables table: walls between bridges, ways out, and published ports.

Its rules never change; networks and ports are elements of its sets and maps, so that a packet's way is as short with a
thousand ports as with one. Nothing here accepts what another table drops: Docker's, podman's, ufw's and firewalld's rules
hold for our packets as for all others.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.errors import Unavailable, Unsupported
from network.model import Endpoint, Network, Port

_NETFILTER, _GET_TABLE, _INET = 12, 10 << 8 | 1, 1  # a netlink family, a request of its nf_tables, a family of tables
_PLACES = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin")
_RULES = """
table inet {table} {{
 set bridges {{ type ifname; }}
 set pairs {{ type ifname . ifname; }}
 set internal {{ type ifname; }}
 set ways_out4 {{ type ipv4_addr; flags interval; }}
 set ways_out6 {{ type ipv6_addr; flags interval; }}
 set hairpins4 {{ type ipv4_addr . ifname; flags interval; }}
 set hairpins6 {{ type ipv6_addr . ifname; flags interval; }}
 map any4 {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
 map any6 {{ type inet_proto . inet_service : ipv6_addr . inet_service; }}
 map one4 {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
 map one6 {{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }}
 chain early {{
  type filter hook prerouting priority raw; policy accept;
  iifname @bridges ip daddr 127.0.0.0/8 drop
 }}
 chain arriving {{
  type nat hook prerouting priority dstnat; policy accept;
  ip daddr 127.0.0.0/8 return
  fib daddr type local goto published
 }}
 chain local {{
  type nat hook output priority -100; policy accept;
  fib daddr type local goto published
 }}
 chain published {{
  dnat ip to ip daddr . meta l4proto . th dport map @one4
  dnat ip6 to ip6 daddr . meta l4proto . th dport map @one6
  meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4
  meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6
 }}
 chain leaving {{
  type nat hook postrouting priority srcnat; policy accept;
  oifname @bridges ip saddr 127.0.0.0/8 masquerade
  ct status dnat ip saddr . oifname @hairpins4 masquerade
  ct status dnat ip6 saddr . oifname @hairpins6 masquerade
  oifname != @bridges ip saddr @ways_out4 masquerade
  oifname != @bridges ip6 saddr @ways_out6 masquerade
 }}
 chain between {{
  type filter hook forward priority filter; policy accept;
  iifname . oifname @pairs accept
  iifname @internal drop
  oifname @internal drop
  ct state established,related accept
  oifname @bridges ct status dnat accept
  oifname @bridges drop
 }}
}}
"""


class Firewall:
    """The table of the store whose run-time state is in `state`. nft does each change in one transaction."""

    def __init__(self, state: Path) -> None:
        self.table = f"lamella_{state.name}"

    def replace(self, networks: Iterable[tuple[Network, str]], endpoints: Iterable[Endpoint]) -> None:
        """Make the table what these networks (each with its bridge) and endpoints need. Harmless to repeat."""
        lines = [f"table inet {self.table}", f"delete table inet {self.table}", _RULES.format(table=self.table)]
        for network, bridge in networks:
            lines += [self._element("add", name, [value]) for name, value in _network_elements(network, bridge)]
        nft("\n".join([*lines, *self._ports("add", list(endpoints)), ""]))

    def stands(self) -> bool:
        """Whether the table is there."""
        return is_there(self.table)

    def publish(self, bridge: str, endpoint: Endpoint) -> None:
        """Let the endpoint's ports lead to it. Raises NftFailed where the table is not as it was left."""
        known = self._element("add", "bridges", [f'"{bridge}"'])
        nft("\n".join([known, *self._ports("add", [endpoint]), ""]))

    def unpublish(self, endpoint: Endpoint) -> bool:
        """Undo `publish`; False where the table did not know all of it."""
        lines = self._ports("delete", [endpoint])
        try:
            if lines:
                nft("\n".join([*lines, ""]))
        except NftFailed:
            return False
        return True

    def remove(self) -> None:
        """Take the whole table away. Harmless to repeat."""
        nft(f"table inet {self.table}\ndelete table inet {self.table}\n")

    def _ports(self, verb: str, endpoints: Sequence[Endpoint]) -> list[str]:
        found: dict[
            str, dict[str, str]
        ] = {}  # a key has one value, also where a killed container's row still claims it
        for endpoint in endpoints:
            for port in endpoint.ports:
                for name, key, value in _port_elements(port, endpoint):
                    found.setdefault(name, {})[key] = f"{key} : {value}"
        return [self._element(verb, name, list(values.values())) for name, values in found.items()]

    def _element(self, verb: str, name: str, values: Sequence[str]) -> str:
        return f"{verb} element inet {self.table} {name} {{ {', '.join(values)} }}"


def is_there(table: str) -> bool:
    """Whether there is such an `inet` table: asked of the kernel itself, in a hundredth of the time that nft takes. Raises
    OSError where it would not say."""
    from network.netlink import Netlink, attribute, is_missing

    with Netlink(_NETFILTER) as netlink:
        try:
            return bool(netlink.ask(_GET_TABLE, struct.pack("=BBH", _INET, 0, 0) + attribute(1, table)))
        except OSError as error:
            if is_missing(error):
                return False
            raise


def _network_elements(network: Network, bridge: str) -> Iterable[tuple[str, str]]:
    from network.options import masquerades, open_inside

    yield "bridges", f'"{bridge}"'
    if open_inside(network):
        yield "pairs", f'"{bridge}" . "{bridge}"'
    if network.internal:
        yield "internal", f'"{bridge}"'
    for subnet in network.subnets:
        kind = "6" if subnet.v6 else "4"
        yield f"hairpins{kind}", f'{subnet.network} . "{bridge}"'
        if masquerades(network, v6=subnet.v6) and not network.internal:
            yield f"ways_out{kind}", subnet.network


def _port_elements(port: Port, endpoint: Endpoint) -> Iterable[tuple[str, str, str]]:
    """Map, key and value."""
    for address in endpoint.plain:
        if (":" in address) != (":" in port.host_address):
            continue
        kind = "6" if ":" in address else "4"
        key = f"{port.protocol} . {port.host_port}"
        target = f"{address} . {port.container_port}"
        if port.host_address in ("0.0.0.0", "::"):
            yield f"any{kind}", key, target
        else:
            yield f"one{kind}", f"{port.host_address} . {key}", target


class NftFailed(Unavailable):
    """nft refused a script; `said` is what it wrote."""


def nft(script: str) -> None:
    """Give nft a script: all of it happens, or nothing. Raises Unsupported without nft, NftFailed where it refuses."""
    with nft_beside(script):
        pass


@contextlib.contextmanager
def nft_beside(script: str) -> Iterator[None]:
    """The same, while the block does something else."""
    given, said = os.memfd_create("nft"), os.memfd_create("said")
    try:
        os.write(given, script.encode())
        os.lseek(given, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        pid = os.posix_spawn(program(), ["nft", "-f", "-"], {"LC_ALL": "C"}, file_actions=actions, setsigmask=[])
        try:
            yield
        finally:
            status = os.waitpid(pid, 0)[1]
        if os.waitstatus_to_exitcode(status):
            text = os.pread(said, 2000, 0).decode(errors="replace").strip()
            raise NftFailed(f"nft cannot change the firewall: {text}", "`nft list ruleset` shows what is there")
    finally:
        os.close(given)
        os.close(said)


def program() -> str:
    """Where nft is. Raises Unsupported."""
    for place in _PLACES:
        if os.access(f"{place}/nft", os.X_OK):
            return f"{place}/nft"
    raise Unsupported("nft is not installed: networks need it", "install nftables, or use --network host")
