"""A container that starts comes onto its networks, and off them when it has ended.

What must happen in the host's own namespaces is `networking.prepared`; `join` is for whoever keeps the container, in its mount
namespace. Everything that is made for a container ends with its keeper, but for its rows in the catalog and its ports in
the firewall: these go by `leave`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from core.errors import Unsupported
from core.rootless import outer_uid
from core.value import Value, replace
from network.hub import Hub, gateways
from network.model import Endpoint, Network
from network.ports import Held
from network.resolv import Resolv, asking_us, combined, reachable
from network.sandbox import Sandbox
from network.tables import new_id
from network.visiting import visit
from runtime.hosts import sandbox_hosts
from runtime.joins import joins_of
from runtime.networking import Networking, shared_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.container import Container


class Joined(Value):
    """What a container finds: two files, variables, and its sandbox; `held` are descriptors that its keeper has to inherit,
    `doors` those that a program of its own has to see to (`network.doors`)."""

    hosts: bytes
    resolv_conf: bytes
    sandbox: str = ""
    env: tuple[str, ...] = ()
    held: tuple[int, ...] = ()
    doors: tuple[tuple[int, str, int, str], ...] = ()


def join(container: Container, path: Path, directory: Path, proc: str) -> Joined:
    """Bring the container onto its networks. `path` is where its sandbox is to be named, in this mount namespace; `proc` is
    where the host's processes are to be seen.

    Raises Conflict for a port or address that is another's, NotFound for a network, Unavailable; nothing is left then.
    """
    net = container.net
    assert net is not None
    if shared_with(container.network):
        from runtime.sharing import share

        return share(container, path, directory, proc)
    joins = joins_of(container, directory)
    if not joins:
        return Joined(
            sandbox_hosts(container.hostname, [], container.add_hosts, ""), resolv_of(net, named=False).text()
        )
    root, state = directory.parent.parent, path.parent.parent
    held = Held()
    with Hub(root, state, proc=proc) as hub:
        networks = [hub.networks.find(one["network"]) for one in joins]
        outlet = way_out(networks, joins)
        ports = ()
        if outlet >= 0 and hub.driver(networks[outlet]).publishes:
            ports = _ports(container, networks[outlet], held)
        if outer_uid():
            from network.uplink import go_there

            go_there(state, proc)
        try:
            with Sandbox.create(path, proc) as sandbox:
                return _join(hub, container, joins, sandbox, path, held, ports, proc)
        except BaseException:
            held.release()
            hub.release(container.id)
            raise


def _join(
    hub: Hub,
    container: Container,
    joins: Sequence[dict[str, Any]],
    sandbox: Sandbox,
    path: Path,
    held: Held,
    ports: Any,
    proc: str,
) -> Joined:
    net = container.net or Networking()
    networks = [hub.networks.find(one["network"]) for one in joins]
    named = any(network.named for network in networks)
    life, alive = os.pipe()
    with os.fdopen(life):
        endpoints = _attach(hub, container, list(zip(networks, joins, strict=True)), sandbox, ports, life)
    links, env = _linked(hub, container) if net.links and not named else ([], [])
    for network, endpoint in zip(networks, endpoints, strict=True):
        if not network.named and (linking := hub.networks.linking(network)):
            from runtime.links import follow

            follow(hub, container, endpoint, linking, proc)
    own = [(address, container.hostname) for endpoint in endpoints for address in endpoint.plain]
    descriptors, doors = held.hand_over(), tuple[tuple[int, str, int, str], ...]()
    if descriptors and outer_uid():
        from network.doors import doors_of

        doors = doors_of(descriptors, endpoints)
    return Joined(
        sandbox_hosts(container.hostname, own + links, container.add_hosts, _gateway(hub, networks[0])),
        resolv_of(net, named=named).text(), str(path), tuple(env), (alive, *descriptors), doors,
    )  # fmt: skip


def _attach(
    hub: Hub, container: Container, joins: Sequence[tuple[Network, dict[str, Any]]], sandbox: Sandbox, ports: Any,
    life: int,
) -> list[Endpoint]:  # fmt: skip
    """An interface on each network, and a name where names are served as long as `life` is open at its other end."""
    outlet = way_out([network for network, _ in joins], [one for _, one in joins])
    endpoints = []
    with contextlib.ExitStack() as stack:
        sockets = list[int]()
        if any(network.named for network, _ in joins):
            from network.asking import asked_in

            sockets = stack.enter_context(asked_in(sandbox))
        for number, (network, one) in enumerate(joins):
            endpoint = new_endpoint(container, network, one, f"eth{number}", outlet=number == outlet)
            if number == outlet:
                endpoint = replace(endpoint, ports=ports)
            endpoints.append(hub.attach(network, endpoint, sandbox, (one["ip"], one["ip6"])))
        introduce(hub, container, endpoints, [life, *sockets])
    return endpoints


def _linked(hub: Hub, container: Container) -> tuple[list[tuple[str, str]], list[str]]:
    """The hosts' lines and the variables of `--link`."""
    from runtime.links import linked

    found = linked(hub, container)
    return [one.line for one in found], [pair for one in found for pair in one.variables(container.name)]


def _gateway(hub: Hub, network: Network) -> str:
    """What `host-gateway` means: the network's own, as it is since we are on it; what lamella chose may have moved then."""
    now = hub.networks.find(network.id)
    given = next((subnet.gateway for subnet in now.subnets if subnet.gateway), "")
    return given or next(iter(gateways(now)), "")


def way_out(networks: Sequence[Network], joins: Sequence[dict[str, Any]]) -> int:
    """Which of the networks has the default route: the one with the highest priority, then the first by name; -1 for none."""
    order = [
        (-int(one["priority"]), network.name, number)
        for number, (network, one) in enumerate(zip(networks, joins, strict=True))
        if not network.internal
    ]
    return min(order)[2] if order else -1


def new_endpoint(
    container: Container, network: Network, one: dict[str, Any], interface: str, *, outlet: bool
) -> Endpoint:
    """The endpoint that a join asks for, without addresses yet."""
    names: tuple[str, ...] = (container.name,)
    if network.named:
        names = tuple(dict.fromkeys((container.name, *one["aliases"], container.short_id, container.hostname)))
    return Endpoint(
        new_id(), network.id, container.id, interface, one["mac"], names=names, gateways=("?",) if outlet else (),
        options=one["options"], priority=int(one["priority"]),
        links=(*(container.net or Networking()).links, *one.get("links", ())),
    )  # fmt: skip


def _ports(container: Container, network: Network, held: Held) -> Any:
    from network.options import host_binding
    from network.ports import parse, wanted_of_exposed

    wanted = [one for text in container.ports for one in parse(text)]
    net = container.net
    if net is not None and net.publish_all:
        wanted += wanted_of_exposed((*container.exposed_ports, *net.exposed), wanted)
    if outer_uid() and any(one.protocol == "sctp" for one in wanted):
        raise Unsupported("only root can publish ports of sctp", "leave the port out, or run it as root")
    return tuple(held.take(wanted, host_binding(network), v6=network.ipv6))


def resolv_of(net: Networking, *, named: bool) -> Resolv:
    """What the container's resolv.conf says."""
    wanted = combined(Resolv.of_host(), net.dns, net.dns_search, net.dns_options)
    return asking_us(wanted) if named else wanted if not net.joins else reachable(wanted)


def introduce(hub: Hub, container: Container, endpoints: Sequence[Endpoint], descriptors: Sequence[int] = ()) -> None:
    """Tell the steward of the container: new to it with `descriptors` (what tells of its end, and the sockets it asks on, if
    any); else where it is now."""
    networks = [hub.networks.get(endpoint.network) for endpoint in endpoints]
    named = any(network and network.named for network in networks)
    found = visit(hub.state, wait=named)
    if found is None:
        return  # whoever was to start one has been killed, or ends: its next command does
    order = {"do": "join", "id": container.id, **_known(container, endpoints, networks)}
    with found:
        if named:
            found.tell(order, descriptors)
        else:  # it has nothing to ask, and need not wait until somebody could answer
            with contextlib.suppress(OSError):
                found.send(order, descriptors)


def _known(container: Container, endpoints: Sequence[Endpoint], networks: Sequence[Network | None]) -> dict[str, Any]:
    there, closed = {}, True
    for endpoint, network in zip(endpoints, networks, strict=True):
        if network is not None:
            closed = closed and network.internal
            if network.named:
                there[network.id] = {
                    "network": network.name, "names": endpoint.names, "addresses": endpoint.plain,
                }  # fmt: skip
    net, aliases = container.net or Networking(), dict[str, str]()
    servers = combined(Resolv.of_host(), net.dns, (), ()).servers
    links = [text for endpoint in endpoints for text in endpoint.links]
    if links:
        from runtime.links import parse_link

        aliases = {alias.lower(): name.lower() for name, alias in map(parse_link, links)}
    return {"networks": there, "upstreams": [] if closed else list(servers), "aliases": aliases}
