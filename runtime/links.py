"""`--link` on the default bridge, as it was before networks had names: lines of /etc/hosts, and variables that tell of ports."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from core.errors import Conflict, InvalidInput, NotFound
from network.hub import Hub
from network.model import Endpoint
from network.ports import exposed, parse
from runtime.directories import Directories

if TYPE_CHECKING:
    from runtime.container import Container

_NOT_PASSED = ("HOME", "HOSTNAME", "PATH")


def parse_link(text: str) -> tuple[str, str]:
    """Container and alias of a `--link`. Raises InvalidInput."""
    name, colon, alias = text.partition(":")
    alias = alias if colon else name
    if not name or not alias or ":" in alias:
        raise InvalidInput(f"invalid --link: {text!r}", "write it as CONTAINER[:ALIAS]")
    return name.removeprefix("/"), alias.rpartition("/")[2]


class Linked:
    """A container that another one is linked to, as it runs now."""

    def __init__(self, container: Container, endpoint: Endpoint, alias: str) -> None:
        self.container, self.endpoint, self.alias = container, endpoint, alias

    @property
    def line(self) -> tuple[str, str]:
        """Address and names, as /etc/hosts has them."""
        names = dict.fromkeys((self.alias, self.container.short_id, self.container.name))
        return self.endpoint.plain[0], " ".join(names)

    def variables(self, owner: str) -> list[str]:
        """What the container `owner` is told of it, `NAME=value`."""
        prefix = self.alias.upper().replace("-", "_")
        address = self.endpoint.plain[0]
        found = [f"{prefix}_NAME=/{owner}/{self.alias}"]
        ports = self._ports()
        if ports:
            number, protocol = ports[0]
            found.append(f"{prefix}_PORT={protocol}://{address}:{number}")
        for first, last, protocol in _runs(ports):
            if first != last:
                found += [
                    f"{prefix}_PORT_{first}_{protocol.upper()}_START={protocol}://{address}:{first}",
                    f"{prefix}_PORT_{first}_{protocol.upper()}_END={protocol}://{address}:{last}",
                ]
        for number, protocol in ports:
            name = f"{prefix}_PORT_{number}_{protocol.upper()}"
            found += [
                f"{name}={protocol}://{address}:{number}", f"{name}_ADDR={address}", f"{name}_PORT={number}",
                f"{name}_PROTO={protocol}",
            ]  # fmt: skip
        own = (pair for pair in self.container.env if pair.partition("=")[0] not in _NOT_PASSED)
        return found + [f"{prefix}_ENV_{pair}" for pair in own]

    def _ports(self) -> list[tuple[int, str]]:
        net = self.container.net
        texts = (*self.container.exposed_ports, *(net.exposed if net else ()))
        ports = {port for text in texts for port in exposed(text)}
        ports |= {(one.container_port, one.protocol) for text in self.container.ports for one in parse(text)}
        return sorted(ports, key=lambda port: (port[0], port[1] != "tcp"))


def _runs(ports: list[tuple[int, str]]) -> list[tuple[int, int, str]]:
    """First, last and protocol of each run of neighbouring ports."""
    runs: list[tuple[int, int, str]] = []
    for number, protocol in sorted(ports, key=lambda port: (port[1], port[0])):
        if runs and runs[-1][2] == protocol and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number, protocol)
        else:
            runs.append((number, number, protocol))
    return runs


def linked(hub: Hub, container: Container) -> list[Linked]:
    """Whom the container is linked to. Raises NoSuchContainer, and Conflict for one that does not run on the bridge."""
    found = []
    bridge = hub.networks.find("bridge")
    endpoints = {endpoint.container: endpoint for endpoint in hub.networks.endpoints(bridge)}
    directories = Directories(hub.networks.root)
    for text in container.net.links if container.net else ():
        name, alias = parse_link(text)
        for id, endpoint in endpoints.items():
            other = directories.load(id)
            if other is not None and (other.name == name or other.id.startswith(name)):
                found.append(Linked(other, endpoint, alias))
                break
        else:
            raise _not_there(directories, name, container)
    return found


def follow(hub: Hub, container: Container, endpoint: Endpoint, linking: Iterable[Endpoint], proc: str) -> None:
    """Those of `linking` that are linked to the container find it where it is now, at `endpoint`. One that ends meanwhile is
    left out. `proc` is where the host's processes are to be seen."""
    from runtime.rejoining import sandbox_path

    directories = Directories(hub.networks.root)
    for other in linking:
        found = [
            alias
            for name, alias in map(parse_link, other.links)
            if container.name == name or container.id.startswith(name)
        ]
        owner = directories.load(other.container) if found else None
        keeper = directories.status(owner).keeper if owner else 0
        if keeper:
            with contextlib.suppress(OSError):
                path = sandbox_path(hub.state, keeper, proc).with_name("hosts")
                lines = [Linked(container, endpoint, alias).line for alias in found]
                path.write_bytes(relinked(path.read_bytes(), lines))  # in place: it is mounted


def relinked(hosts: bytes, lines: Iterable[tuple[str, str]]) -> bytes:
    """/etc/hosts with these addresses and names, in place of the lines that begin with the same name."""
    new = {names.split()[0].encode(): f"{address}\t{names}".encode() for address, names in lines}
    kept = [line for line in hosts.splitlines() if not (words := line.split())[1:] or words[1] not in new]
    return b"\n".join([*kept, *new.values(), b""])


def _not_there(directories: Directories, name: str, container: Container) -> Exception:
    everybody = map(directories.load, os.listdir(directories.root / "containers"))
    if not any(other and name and (other.name == name or other.id.startswith(name)) for other in everybody):
        return NotFound(f"could not get container for {name}: No such container: {name}", "`lamella ps -a` lists them")
    return Conflict(
        f"Cannot link to a non running container: /{name} AS /{container.name}/{name}",
        "start it first, on the network `bridge`; on networks of your own names do without links",
    )
