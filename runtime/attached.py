"""What the catalog says of containers' networks, in Docker's shapes: for inspect, ps and port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from runtime.container import Container
from runtime.joins import joins_of
from runtime.networking import Networking, shared_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from network.model import Endpoint, Network, Port


class Attached:
    """One look at all networks and endpoints of the store at `root`, taken when first needed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _known(self) -> tuple[dict[str, Network], dict[str, list[Endpoint]]]:
        from network.tables import Networks

        networks = Networks(self._root)
        try:
            endpoints: dict[str, list[Endpoint]] = {}
            for endpoint in networks.every_endpoint():
                endpoints.setdefault(endpoint.container, []).append(endpoint)
            return {network.id: network for network in networks.all()}, endpoints
        finally:
            networks.close()

    def endpoints(self, container: Container) -> list[Endpoint]:
        """Where it hangs now, eth0 first; nowhere unless it runs."""
        found = self._known[1].get(container.id, []) if container.net is not None else []
        return sorted(found, key=lambda endpoint: (len(endpoint.interface), endpoint.interface))

    def network(self, text: str) -> Network | None:
        """The network with that ID or name."""
        return self._known[0].get(text) or next((one for one in self._known[0].values() if one.name == text), None)

    def names(self, container: Container) -> list[str]:
        """The networks it is on, or will be when it starts."""
        if shared_with(container.network):
            return []
        if container.net is None or not container.net.joins:
            return [container.network]
        return sorted(self._joins(container))

    def _joins(self, container: Container) -> dict[str, dict[str, Any]]:
        """What it has asked for on each network, by name."""
        joins = joins_of(container, f"{self._root}/containers/{container.id}")
        return {network.name if (network := self.network(one["network"])) else one["network"]: one for one in joins}

    def ports(self, container: Container) -> list[Port]:
        """What it publishes now."""
        return [port for endpoint in self.endpoints(container) for port in endpoint.ports]

    def shown_ports(self, container: Container) -> str:
        """The Ports column of ps: `0.0.0.0:8080->80/tcp, 443/tcp`."""
        ports = self.ports(container)
        return ", ".join([*_published(ports), *_unpublished(container, ports)]) if self.endpoints(container) else ""

    def settings(self, container: Container) -> dict[str, Any]:
        """`NetworkSettings` of inspect."""
        endpoints = self.endpoints(container)
        by_network = {endpoint.network: endpoint for endpoint in endpoints}
        networks, joins = {}, self._joins(container)
        for name in self.names(container):
            network = self.network(name)
            endpoint = by_network.get(network.id) if network else None
            networks[name] = _settings(network, endpoint, joins.get(name, {}))
        default = next((networks[n] for n in networks if n == "bridge"), None) or _address(None, None)
        return {
            "Bridge": "",
            "SandboxID": container.id if endpoints else "",
            "SandboxKey": "",
            "Ports": self._ports(container) if endpoints else {},
            **{key: default[key] for key in _address(None, None)},
            "Networks": networks,
        }

    def _ports(self, container: Container) -> dict[str, Any]:
        published = self.ports(container)
        found: dict[str, Any] = {f"{number}/{protocol}": None for number, protocol in all_exposed(container)}
        for port in published:
            key = f"{port.container_port}/{port.protocol}"
            found[key] = [*(found.get(key) or []), {"HostIp": port.host_address, "HostPort": str(port.host_port)}]
        return found


def all_exposed(container: Container) -> list[tuple[int, str]]:
    """The ports that the image and `--expose` name."""
    texts = (*container.exposed_ports, *(container.net or Networking()).exposed)
    if not texts:
        return []
    from network.ports import exposed

    return list(dict.fromkeys(port for text in texts for port in exposed(text)))


def _settings(network: Network | None, endpoint: Endpoint | None, join: dict[str, Any]) -> dict[str, Any]:
    wanted = {"IPv4Address": join.get("ip"), "IPv6Address": join.get("ip6")}
    given = {key: value for key, value in wanted.items() if value}
    return {
        "IPAMConfig": given or None,
        "Links": list(join.get("links", ())) or None,
        "Aliases": list(join.get("aliases", ())) or None,
        "DriverOpts": dict(join.get("options", {})) or None,
        "GwPriority": int(join.get("priority", 0)),
        "NetworkID": network.id if network and endpoint else "",
        **_address(network, endpoint),
        "DNSNames": list(endpoint.names) if network and endpoint and network.named else None,
    }


def _address(network: Network | None, endpoint: Endpoint | None) -> dict[str, Any]:
    v4, v6 = ("", ""), ("", "")
    gateways = {"4": "", "6": ""}
    for address in endpoint.addresses if endpoint else ():
        plain, _, prefix = address.partition("/")
        v4, v6 = (v4, (plain, prefix)) if ":" in plain else ((plain, prefix), v6)
    for subnet in network.subnets if network and endpoint and not network.internal else ():
        gateways["6" if subnet.v6 else "4"] = subnet.gateway
    return {
        "EndpointID": endpoint.id if endpoint else "",
        "Gateway": gateways["4"],
        "IPAddress": v4[0],
        "IPPrefixLen": int(v4[1] or 0),
        "IPv6Gateway": gateways["6"],
        "GlobalIPv6Address": v6[0],
        "GlobalIPv6PrefixLen": int(v6[1] or 0),
        "MacAddress": endpoint.mac if endpoint else "",
    }


def bindings(container: Container) -> dict[str, Any]:
    """`HostConfig.PortBindings`: what was asked for, not what came of it."""
    from network.ports import parse

    found: dict[str, Any] = {}
    for one in (one for text in container.ports for one in parse(text)):
        host = "" if not one.first else str(one.first) if one.first == one.last else f"{one.first}-{one.last}"
        key = f"{one.container_port}/{one.protocol}"
        found.setdefault(key, []).append({"HostIp": one.address, "HostPort": host})
    return found


def _published(ports: Iterable[Port]) -> list[str]:
    """Neighbours are shown as one range."""
    runs: list[tuple[Port, int]] = []
    for port in sorted(ports, key=lambda one: (one.host_address, one.protocol, one.container_port, one.host_port)):
        if runs:
            first, count = runs[-1]
            same = (first.host_address, first.protocol) == (port.host_address, port.protocol)
            if same and (port.host_port, port.container_port) == (
                first.host_port + count,
                first.container_port + count,
            ):
                runs[-1] = (first, count + 1)
                continue
        runs.append((port, 1))
    return [
        _run(port, count) for port, count in sorted(runs, key=lambda run: (run[0].container_port, run[0].host_address))
    ]


def _run(port: Port, count: int) -> str:
    address = f"[{port.host_address}]" if ":" in port.host_address else port.host_address

    def span(number: int) -> str:
        return str(number) if count == 1 else f"{number}-{number + count - 1}"

    return f"{address}:{span(port.host_port)}->{span(port.container_port)}/{port.protocol}"


def _unpublished(container: Container, ports: Sequence[Port]) -> list[str]:
    published = {(port.container_port, port.protocol) for port in ports}
    return [
        f"{number}/{protocol}"
        for number, protocol in sorted(all_exposed(container))
        if (number, protocol) not in published
    ]
