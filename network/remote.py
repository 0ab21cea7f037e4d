"""Networks that a plug-in makes (NetworkDriver of Docker's plug-in protocol): it lays the wires, lamella gives the addresses and
brings the interface that it names into the container."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from core.errors import Conflict, InvalidInput, LamellaError, NotFound, Unavailable
from core.plugins import LONG, MethodMissing, Plugin, PluginError, PluginNotFound, find
from core.value import replace
from network import answers, ipam, links
from network.bridge import configure
from network.model import Endpoint, Network, Subnet
from network.netlink import Netlink
from network.sandbox import Sandbox
from network.tables import Networks
from network.told import Told, told

KIND = "NetworkDriver"
_PATIENCE = 10.0  # seconds for a plug-in to hear that something is gone: it may hear of it later


class Remote:
    """A `NetworkDriver`. The plug-in hears of a network when it is created, and again with its first endpoint after the machine
    has been restarted; and of the end of what it knows also after it has been away."""

    gateways = True
    publishes = True  # the plug-in does, or it does not know how, and they are forgotten

    def __init__(self, name: str, networks: Networks, state: Path) -> None:
        self.name = name
        self._networks = networks
        self._state = state

    def create(self, network: Network) -> Network:
        plugin = self._plugin()
        try:
            self._check_scope(plugin.call(f"{KIND}.GetCapabilities", {}))
            network = ipam.settle(network, self._networks.all())
            # What it is told now must not move to other addresses later.
            network = replace(network, subnets=tuple(replace(subnet, chosen=True) for subnet in network.subnets))
            self._introduce(plugin, network)
        except PluginError as error:
            Told(self.name, network.id).forget(self._state)
            raise InvalidInput(f"remote: {error.message}", f"the plug-in {self.name} says so") from error
        return network

    def _plugin(self) -> Plugin:
        """Raises NotFound, in Docker's words; InvalidInput, Unavailable."""
        return known(self.name, KIND)

    def _check_scope(self, answer: dict[str, Any]) -> None:
        if answer.get("Scope") not in ("local", "global"):
            raise Unavailable(
                f"invalid capability: expecting 'local' or 'global', got {str(answer.get('Scope'))[:100]}",
                f"ask whoever wrote the plug-in {self.name}",
            )

    def _introduce(self, plugin: Plugin, network: Network) -> None:
        Told(self.name, network.id).write(self._state)
        four, six = ([_ipam_data(one) for one in network.subnets if one.v6 == v6] for v6 in (False, True))
        options: dict[str, Any] = {
            "com.docker.network.enable_ipv6": network.ipv6, "com.docker.network.generic": dict(network.options),
        }  # fmt: skip
        if network.internal:
            options["com.docker.network.internal"] = True
        body = {"NetworkID": network.id, "Options": options, "IPv4Data": four, "IPv6Data": six}
        plugin.call(f"{KIND}.CreateNetwork", body, seconds=LONG)

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox) -> None:
        plugin = self._plugin()
        if not Told(self.name, network.id).holds(self._state):
            with contextlib.suppress(PluginError):  # that it knows the network, most likely
                self._introduce(plugin, network)
        try:
            endpoint, joined = self._join(plugin, endpoint, sandbox)
        except PluginError as error:
            what = f"failed to create endpoint {_called(endpoint)} on network {network.name}"
            raise Unavailable(f"{what}: remote: {error.message}", f"the plug-in {self.name} says so") from error
        try:
            mac = _bring(joined.interface, endpoint.interface, endpoint.mac, sandbox)
            endpoint = replace(endpoint, mac=mac)
            self._networks.put_endpoint(endpoint)
            configure(sandbox, endpoint)
            with sandbox.entered(), Netlink() as netlink:
                index = links.find(netlink, endpoint.interface)
                for route in joined.routes:
                    links.add_route(netlink, index, route.target, route.via)
            self._publish(plugin, network, endpoint)
        except OSError as error:
            text = f"the interface {joined.interface} of the plug-in {self.name}: {error.strerror or error}"
            raise Unavailable(text, "ask whoever wrote the plug-in") from error

    def _publish(self, plugin: Plugin, network: Network, endpoint: Endpoint) -> None:
        """Have the endpoint's ports lead to it. They are held by the container's keeper, as any network's."""
        if not endpoint.ports:
            return
        body = {"NetworkID": network.id, "EndpointID": endpoint.id, "Options": _options(endpoint)}
        try:
            plugin.call(f"{KIND}.ProgramExternalConnectivity", body, seconds=LONG)
        except MethodMissing:
            self._networks.put_endpoint(replace(endpoint, ports=()))
        except PluginError as error:
            what = f"driver failed programming external connectivity on endpoint {_called(endpoint)} ({endpoint.id})"
            raise Unavailable(f"{what}: remote: {error.message}", f"the plug-in {self.name} says so") from error

    def _join(self, plugin: Plugin, endpoint: Endpoint, sandbox: Sandbox) -> tuple[Endpoint, answers.Joined]:
        """Tell the plug-in of the endpoint; what that is then, with a hardware address if it must have one, and what the
        plug-in has for it."""
        Told(self.name, endpoint.network, endpoint.id).write(self._state)
        asked = endpoint.mac != ipam.mac_for(endpoint.plain[0] if endpoint.plain else "")
        both = {"NetworkID": endpoint.network, "EndpointID": endpoint.id}
        given = {
            "Address": next((one for one in endpoint.addresses if ":" not in one), ""),
            "AddressIPv6": next((one for one in endpoint.addresses if ":" in one), ""),
            "MacAddress": endpoint.mac if asked else "",
        }
        options = _options(endpoint)
        answer = plugin.call(f"{KIND}.CreateEndpoint", {**both, "Interface": given, "Options": options}, seconds=LONG)
        mac = answers.mac(self.name, answer, endpoint, asked=asked)
        body = {**both, "SandboxKey": sandbox.key, "Options": options}
        joined = answers.joined(self.name, plugin.call(f"{KIND}.Join", body, seconds=LONG))
        endpoint = replace(endpoint, mac=mac or given["MacAddress"], way_out=joined.gateways)
        return replace(endpoint, gateways=joined.gateways if endpoint.gateways else ()), joined

    def detach(self, network: Network, endpoint: Endpoint) -> None:
        _untell(self._state, Told(self.name, network.id, endpoint.id))

    def clear(self, network: Network) -> None:
        pass  # the plug-in keeps the network until it is removed

    def remove(self, network: Network) -> None:
        known = Told(self.name, network.id)
        with contextlib.suppress(PluginError, MethodMissing):  # it does not know it (any more)
            self._plugin().call(f"{KIND}.DeleteNetwork", {"NetworkID": network.id}, seconds=LONG)
        known.forget(self._state)

    def inspect(self, network: Network) -> dict[str, str]:
        there = [one for one in told(self._state) if one.network == network.id and one.endpoint]
        return {"endpoints": str(len(there))} if there else {}


def known(name: str, kind: str = "") -> Plugin:
    """The plug-in of that name; with `kind` it must say that it implements that. Raises as `core.plugins.find`, in Docker's
    words where there is none."""
    try:
        return find(name, kind)
    except PluginNotFound as error:
        text = f"could not find plugin {name} in v1 plugin registry: {error.message}"
        raise NotFound(text, f"{error.hint}; or use another driver (bridge, macvlan)") from error


def _called(endpoint: Endpoint) -> str:
    return endpoint.names[0] if endpoint.names else endpoint.id[:12]


def tell_of_ends(networks: Networks, state: Path) -> None:
    """Tell plug-ins that are here of all that has gone since they were last told. Harmless to repeat."""
    endpoints = {endpoint.id for endpoint in networks.every_endpoint()}
    silent: set[str] = set()  # everybody waits for us: one that does not answer is asked once
    for known in list(told(state)):
        gone = known.endpoint not in endpoints if known.endpoint else networks.get(known.network) is None
        if gone and known.plugin not in silent and not _untell(state, known):
            silent.add(known.plugin)


def _untell(state: Path, known: Told) -> bool:
    """Say that it is gone; False where nobody hears it: that is left for later."""
    if not known.holds(state):
        return True
    body = {"NetworkID": known.network, **({"EndpointID": known.endpoint} if known.endpoint else {})}
    try:
        plugin = find(known.plugin)
        for method in (
            ("RevokeExternalConnectivity", "Leave", "DeleteEndpoint") if known.endpoint else ("DeleteNetwork",)
        ):
            with contextlib.suppress(PluginError, MethodMissing):  # it does not know it
                plugin.call(f"{KIND}.{method}", body, seconds=_PATIENCE)
    except LamellaError:
        return False
    known.forget(state)
    return True


def _bring(name: str, inside: str, mac: str, sandbox: Sandbox) -> str:
    """Move the host's interface `name` into the sandbox, to be called `inside`; its hardware address, which is `mac` if that
    is not empty. Raises Unavailable where it is not there, Conflict for one that is somebody's."""
    with Netlink() as netlink:
        index = links.find(netlink, name)
        if not index:
            raise Unavailable(f"the interface {name} that the plug-in names is not there", "see `ip link`")
        if links.is_in_use(netlink, index):
            raise Conflict(f"the interface {name} that the plug-in names is the host's own", "it stays where it is")
        links.move(netlink, index, sandbox.fd, inside)
    with sandbox.entered(), Netlink() as netlink:
        index = links.find(netlink, inside)
        if mac:
            links.set_mac(netlink, index, mac)
        return links.mac_of(netlink, index)


def _options(endpoint: Endpoint) -> dict[str, Any]:
    """The driver's options that the user gave for the endpoint, and its ports, in the protocol's shape."""
    numbers = {"tcp": 6, "udp": 17, "sctp": 132}
    exposed = {(numbers[port.protocol], port.container_port): None for port in endpoint.ports}
    return {
        **endpoint.options,
        "com.docker.network.endpoint.exposedports": [{"Proto": proto, "Port": port} for proto, port in exposed],
        "com.docker.network.portmap": [
            {
                "Proto": numbers[port.protocol], "IP": "", "Port": port.container_port, "HostPort": port.host_port,
                "HostIP": "" if port.host_address == "0.0.0.0" else port.host_address, "HostPortEnd": port.host_port,
            }
            for port in endpoint.ports
        ],
    }  # fmt: skip


def _ipam_data(subnet: Subnet) -> dict[str, Any]:
    """A subnet in the protocol's shape."""
    return {
        "AddressSpace": "LocalDefault",
        "Pool": subnet.network,
        "Gateway": f"{subnet.gateway}/{subnet.prefix}" if subnet.gateway else "",
        "AuxAddresses": {name: f"{address}/{subnet.prefix}" for name, address in subnet.reserved.items()},
    }
