"""/etc/resolv.conf: the host's, a container's, and who answers what no container is called."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from core.value import Value

OWN = "127.0.0.11"  # where a container on a network with names asks
_FALLBACK = ("8.8.8.8", "8.8.4.4")  # Docker's, for a host that only asks itself
_STUB = "/run/systemd/resolve/resolv.conf"


class Resolv(Value):
    """The lines of a resolv.conf."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def of_host(cls, path: str = "/etc/resolv.conf") -> Resolv:
        """This machine's; empty where it has none."""
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read(1 << 20)
        except OSError:
            return cls()
        found: dict[str, tuple[str, ...]] = {"nameserver": (), "search": (), "options": ()}
        for line in text.splitlines():
            words = line.split()
            if len(words) < 2 or words[0].startswith(("#", ";")):
                continue
            if words[0] == "nameserver":
                found["nameserver"] += (words[1].partition("%")[0],)
            elif words[0] in ("search", "domain"):
                found["search"] = tuple(words[1:])
            elif words[0] == "options":
                found["options"] += tuple(words[1:])
        return cls(tuple(filter(_is_address, found["nameserver"])), found["search"], found["options"])

    def text(self) -> bytes:
        """As the file has it."""
        lines = [f"nameserver {server}" for server in self.servers]
        if self.search and self.search != (".",):
            lines.append("search " + " ".join(self.search))
        if self.options:
            lines.append("options " + " ".join(self.options))
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def combined(host: Resolv, servers: Sequence[str], search: Sequence[str], options: Sequence[str]) -> Resolv:
    """The host's, with what the user asks for in place of each kind of line."""
    return Resolv(
        tuple(servers) or host.servers,
        tuple(search) or host.search,
        tuple(options) or host.options,
    )


def reachable(wanted: Resolv) -> Resolv:
    """Without servers that only the host itself reaches, for a container that asks them itself."""
    servers = outside(wanted.servers) or outside(Resolv.of_host(_STUB).servers) or _FALLBACK
    return Resolv(tuple(servers), wanted.search, wanted.options)


def asking_us(wanted: Resolv) -> Resolv:
    """For a container on a network with names."""
    options = wanted.options
    if not any(option.startswith("ndots:") for option in options):
        options = (*options, "ndots:0")
    return Resolv((OWN,), wanted.search, options)


def outside(servers: Iterable[str]) -> tuple[str, ...]:
    """Those that are not on a loopback address."""
    return tuple(server for server in servers if not ipaddress.ip_address(server).is_loopback)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
