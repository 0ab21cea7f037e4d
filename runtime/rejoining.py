"""What changes for containers that run: they are introduced to a new steward, connected and disconnected."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import Conflict, InvalidInput, LamellaError
from core.files import write_file
from core.value import replace
from network.asking import asked_in
from network.elsewhere import files
from network.hub import Hub, gateways
from network.model import Endpoint, Network
from network.plain import Plain
from network.sandbox import Sandbox
from network.visiting import Visit
from runtime.container import Container
from runtime.directories import Directories
from runtime.joining import introduce, new_endpoint, resolv_of, way_out
from runtime.joins import OVERRIDE, joins_of
from runtime.networking import Networking, shared
from runtime.stewarding import steward


def sandbox_path(state: Path, keeper: int, proc: str = "/proc") -> Path:
    """The sandbox that the keeper's mount namespace has a name for, seen from the host."""
    return Path(f"{proc}/{keeper}/root{state}/box/netns")


def introduce_all(root: Path, state: Path, visit: Visit) -> None:
    """Tell a new steward of every container that hangs on a network. One that ends meanwhile is left out."""
    for network, path in files(state):
        visit.tell({"do": "remote", "id": network, "file": str(path)})
    with Hub(root, state) as hub:
        for id in {endpoint.container for endpoint in hub.networks.every_endpoint()}:
            with contextlib.suppress(OSError, LamellaError):
                _introduce(hub, id)


def _introduce(hub: Hub, id: str) -> None:
    directories = Directories(hub.networks.root)
    container = directories.load(id)
    keeper = directories.status(container).keeper if container else 0
    if container is None or not keeper:
        return
    life = os.pidfd_open(keeper)
    try:
        with Sandbox.open(sandbox_path(hub.state, keeper)) as sandbox:
            if directories.status(container).keeper == keeper:
                _introduce_anew(hub, container, hub.networks.endpoints_of(id), sandbox, life)
    finally:
        os.close(life)


def _introduce_anew(hub: Hub, container: Container, endpoints: list[Endpoint], sandbox: Sandbox, life: int) -> None:
    networks = [hub.networks.get(endpoint.network) for endpoint in endpoints]
    if any(network is not None and network.named for network in networks):
        with asked_in(sandbox) as sockets:
            introduce(hub, container, endpoints, [life, *sockets])
    else:
        introduce(hub, container, endpoints, [life])


def connect(hub: Hub, directories: Directories, container: Container, wanted: dict[str, Any]) -> None:
    """Put the container on one more network, as `wanted` says (see `Networking.joins`): at once where it runs, and whenever
    it starts. Raises Conflict where it is on it, or has no network of its own."""
    network = hub.networks.find(wanted["network"])
    if network.name in ("host", "none"):
        raise Plain(network.driver).alone()
    _check_own(container)
    if wanted["aliases"] and not network.named:
        raise InvalidInput(
            "network-scoped alias is supported only for containers in user defined networks", "leave --alias out"
        )
    joins = joins_of(container, directories.directory(container))
    if any(hub.networks.find(one["network"]).id == network.id for one in joins):
        raise Conflict(
            f"endpoint with name {container.name} already exists in network {network.name}", "it is connected already"
        )
    with _sandbox(hub, directories, container) as sandbox:
        if sandbox is not None:
            around = shared(directories.root, hub.state, container, network.id)
            with steward(directories.root, hub.state), around:
                _connect_now(hub, container, network, wanted, sandbox, [*joins, wanted])
    _keep(directories, container, [*joins, wanted])


def _check_own(container: Container) -> None:
    if container.network == "none":
        raise Plain("null").alone()
    if container.net is None or container.network == "host" or container.network.startswith("container:"):
        raise Conflict(
            "container sharing network namespace with another container or host cannot be connected to any other network",
            f"run it with --network NETWORK instead of {container.network}",
        )


def _connect_now(
    hub: Hub,
    container: Container,
    network: Network,
    wanted: dict[str, Any],
    sandbox: Sandbox,
    joins: list[dict[str, Any]],
) -> None:
    endpoints = hub.networks.endpoints_of(container.id)
    taken = {endpoint.interface for endpoint in endpoints}
    interface = next(name for name in (f"eth{number}" for number in range(len(taken) + 1)) if name not in taken)
    endpoint = new_endpoint(container, network, wanted, interface, outlet=False)
    try:
        endpoint = hub.attach(network, endpoint, sandbox, (wanted["ip"], wanted["ip6"]))
    except BaseException:
        sandbox.remove_interface(interface)  # what a driver had made, who was refused then
        raise
    _choose_way_out(hub, [*endpoints, endpoint], sandbox)
    everywhere = hub.networks.endpoints_of(container.id)
    if network.named and not any(
        there and there.named for there in map(hub.networks.get, (e.network for e in endpoints))
    ):
        _give_names(hub, container, everywhere, sandbox)
    else:
        introduce(hub, container, everywhere)


def _give_names(hub: Hub, container: Container, endpoints: list[Endpoint], sandbox: Sandbox) -> None:
    """A container that had none so far, on the default bridge alone, asks the steward from now on."""
    keeper = Directories(hub.networks.root).status(container).keeper
    life = os.pidfd_open(keeper)
    try:
        _introduce_anew(hub, container, endpoints, sandbox, life)
    finally:
        os.close(life)
    path = sandbox_path(hub.state, keeper).with_name("resolv.conf")
    path.write_bytes(resolv_of(container.net or Networking(), named=True).text())  # in place: it is mounted


def _choose_way_out(hub: Hub, endpoints: list[Endpoint], sandbox: Sandbox) -> None:
    """Let the default route go where it must now that these are the container's endpoints."""
    from network.sandbox import move_default_routes

    networks = [network for network in (hub.networks.get(endpoint.network) for endpoint in endpoints) if network]
    order = [{"priority": endpoint.priority} for endpoint in endpoints]
    outlet = way_out(networks, order)
    routes = []
    for number, (endpoint, network) in enumerate(zip(endpoints, networks, strict=True)):
        wanted = gateways(network, endpoint) if number == outlet else ()
        if wanted != endpoint.gateways:
            hub.networks.put_endpoint(replace(endpoint, gateways=wanted))
        routes += [(endpoint.interface, gateway) for gateway in wanted]
    move_default_routes(sandbox, routes)


def disconnect(hub: Hub, directories: Directories, container: Container, network: Network) -> None:
    """Take the container off the network, at once where it runs. Raises Conflict where it is not on it."""
    if network.name == "host":
        raise Plain("host").alone()
    _check_own(container)
    joins = joins_of(container, directories.directory(container))
    left = [one for one in joins if hub.networks.find(one["network"]).id != network.id]
    if len(left) == len(joins):
        raise Conflict(f"container {container.id} is not connected to network {network.name}", "see `lamella inspect`")
    with _sandbox(hub, directories, container) as sandbox:
        endpoints = hub.networks.endpoints_of(container.id)
        for endpoint in endpoints:
            if endpoint.network == network.id:
                hub.detach(endpoint)
                if sandbox is not None:
                    sandbox.remove_interface(endpoint.interface)
        if sandbox is not None:
            left_endpoints = hub.networks.endpoints_of(container.id)
            _choose_way_out(hub, left_endpoints, sandbox)
            with steward(directories.root, hub.state):
                introduce(hub, container, left_endpoints)
    _keep(directories, container, left)


@contextlib.contextmanager
def _sandbox(hub: Hub, directories: Directories, container: Container) -> Iterator[Sandbox | None]:
    """The container's sandbox; None where it does not run."""
    keeper = directories.status(container).keeper
    if not keeper:
        yield None
        return
    with Sandbox.open(sandbox_path(hub.state, keeper)) as sandbox:
        yield sandbox


def _keep(directories: Directories, container: Container, joins: list[dict[str, Any]]) -> None:
    path = directories.directory(container) / OVERRIDE
    write_file(path, json.dumps(joins, separators=(",", ":")).encode(), mode=0o600)


def follow_name(root: Path, state: Path, container: Container, before: str) -> None:
    """A container that was called `before` is found under its name of now, where it runs."""
    with Hub(root, state) as hub:
        endpoints = hub.networks.endpoints_of(container.id)
        for endpoint in endpoints:
            names = dict.fromkeys((container.name, *(name for name in endpoint.names if name != before)))
            hub.networks.put_endpoint(replace(endpoint, names=tuple(names)))
        if endpoints:
            with steward(root, state):
                introduce(hub, container, hub.networks.endpoints_of(container.id))
