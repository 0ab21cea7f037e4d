"""The values of the network room: networks, their subnets, and the endpoints by which containers hang on them."""

from __future__ import annotations

from collections.abc import Mapping

from core import plain_json as json
from core.value import Value, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

PREDEFINED = ("bridge", "host", "none")
DEFAULT_IPAM = "default"  # the driver of addresses that is lamella's own


class Subnet(Value):
    """A range of addresses, `172.18.0.0/16`. Containers get theirs from `ip_range` where one is given; `reserved` (name →
    address) is never given away. `chosen`: by the user; another one may be taken instead of one that lamella chose. `pool` is
    the ID under which an IPAM driver knows it."""

    network: str
    gateway: str = ""
    ip_range: str = ""
    reserved: Mapping[str, str] = field(default_factory=dict, hash=False)
    chosen: bool = True
    pool: str = ""

    @property
    def prefix(self) -> str:
        """The length, as it is written behind an address."""
        return self.network.partition("/")[2]

    @property
    def v6(self) -> bool:
        return ":" in self.network


class Network(Value):
    """`id` is 64 hex digits; `created` is RFC 3339; `options` are the driver's own. Without subnets it has none yet, or its
    driver needs none. `ipam` is who gives addresses out."""

    id: str
    name: str
    driver: str
    created: str
    subnets: tuple[Subnet, ...] = ()
    internal: bool = False
    attachable: bool = False
    ipv6: bool = False
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    ipam: str = DEFAULT_IPAM
    ipam_options: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def predefined(self) -> bool:
        """Whether every store has it."""
        return self.name in PREDEFINED

    @property
    def scope(self) -> str:
        """Who knows of it: this host alone, or others too."""
        return "global" if self.driver == "overlay" else "local"

    @property
    def named(self) -> bool:
        """Whether containers find each other by name there."""
        return not self.predefined

    def encode(self) -> str:
        """As JSON."""
        mappings = {"options": self.options, "labels": self.labels, "ipam_options": self.ipam_options}
        data = dict(vars(self)) | {name: dict(mapping) for name, mapping in mappings.items()}
        data["subnets"] = [dict(vars(subnet)) | {"reserved": dict(subnet.reserved)} for subnet in self.subnets]
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self:
        """What `encode` gave."""
        data = json.loads(text)
        data["subnets"] = tuple(Subnet(**subnet) for subnet in data["subnets"])
        return cls(**data)


class Port(Value):
    """A port of the host that leads into a container; `host_address` is `0.0.0.0` or `::` for every address."""

    host_address: str
    host_port: int
    container_port: int
    protocol: str

    def meets(self, other: Port) -> bool:
        """Whether only one of both can be: the same port of the host, on the same address or on every one."""
        if (self.protocol, self.host_port) != (other.protocol, other.host_port):
            return False
        everywhere = "::" if ":" in self.host_address else "0.0.0.0"
        return self.host_address == other.host_address or everywhere in (self.host_address, other.host_address)


class Endpoint(Value):
    """Where a container hangs on a network.

    `addresses` are written with their prefix length. `names` are what others call the container there, its own name first.
    `gateways` is empty where the container's default route goes another way; `way_out` is where it would go, if not to the
    network's own. `options` are for the driver. `links` are `container:alias`: what it alone calls others there.
    """

    id: str
    network: str
    container: str
    interface: str
    mac: str
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    priority: int = 0
    way_out: tuple[str, ...] | None = None
    links: tuple[str, ...] = ()

    @property
    def plain(self) -> tuple[str, ...]:
        """The addresses without prefix lengths."""
        return tuple(address.partition("/")[0] for address in self.addresses)

    def encode(self) -> str:
        """As JSON."""
        data = dict(vars(self)) | {"options": dict(self.options)}
        data["ports"] = [list(vars(port).values()) for port in self.ports]
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self:
        """What `encode` gave."""
        data: dict[str, Any] = json.loads(text)
        data["ports"] = tuple(Port(*port) for port in data["ports"])
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return cls(**values)
