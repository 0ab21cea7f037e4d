"""`-p` in all its forms, and the ports of the host that really are free for it.

A published port is held by a bound socket of the container's keeper for as long as it runs: no other program can take it,
and it is free the moment the keeper has ended.
"""

from __future__ import annotations

import _socket as socket  # what `socket` is made of: that alone would take longer to load than a container to join
import errno
from collections.abc import Iterable, Iterator

from core.errors import Conflict, InvalidInput, Unavailable
from core.value import Value
from network.model import Port

_PROTOCOLS = {"tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0), "sctp": (socket.SOCK_STREAM, 132)}
_UNKNOWN = (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT)
_BACKLOG = 1
FORM = "write it as [IP:][HOSTPORT:]PORT[/tcp|udp|sctp]"


class Wanted(Value):
    """A port of a container to be published: on one of the host's ports from `first` to `last`, 0 for any."""

    address: str
    first: int
    last: int
    container_port: int
    protocol: str


def parse(text: str) -> list[Wanted]:
    """What one `-p` asks for, a value for each port of the container. Raises InvalidInput."""
    rest, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidInput(f"invalid proto: {protocol}", FORM)
    address, host, container = _split(rest, text)
    if not container:
        raise InvalidInput(f"no port specified: {text}<empty>", FORM)
    inner, outer = _range(container, "containerPort"), _range(host, "hostPort") if host else (0, 0)
    count = inner[1] - inner[0] + 1
    if host and outer[0] and outer[1] - outer[0] + 1 != count and count != 1:
        raise InvalidInput(f"invalid ranges specified for container and host Ports: {container} and {host}", FORM)
    if count == 1:
        return [Wanted(address, *outer, inner[0], protocol)]
    step = 1 if outer[0] else 0
    return [
        Wanted(address, outer[0] + number * step, outer[0] + number * step, inner[0] + number, protocol)
        for number in range(count)
    ]


def _split(rest: str, text: str) -> tuple[str, str, str]:
    """Address, host port, container port."""
    if rest.startswith("["):
        import re

        found = re.fullmatch(r"\[([^\]]*)\]:([^:]*):([^:]*)", rest)
        if found:
            return (_address(found[1], text), found[2], found[3])
    parts = rest.split(":")
    if len(parts) > 3:  # a v6 address without brackets, as Docker takes it too
        parts = [":".join(parts[:-2]), *parts[-2:]]
    address = _address(parts[0], text) if len(parts) == 3 and parts[0] else ""
    return (address, parts[-2] if len(parts) > 1 else "", parts[-1])


def _address(text: str, whole: str) -> str:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, text))
        except OSError:
            continue
    raise InvalidInput(f"invalid IP address: {text}", f"in {whole!r}; {FORM}")


def _range(text: str, what: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = [first, last if dash else first]
    if not all(
        number.isdecimal() and number.isascii() and len(number) < 6 and int(number) < 65536 for number in numbers
    ):
        raise InvalidInput(f"invalid {what}: {text}", FORM)
    start, end = map(int, numbers)
    if start > end or (what == "containerPort" and not start):
        raise InvalidInput(f"invalid {what}: {text}", FORM)
    return start, end


def exposed(text: str) -> list[tuple[int, str]]:
    """Ports and protocols of an EXPOSE or `--expose`: `80`, `53/udp`, `7000-7009/tcp`. Raises InvalidInput."""
    port, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidInput(f"invalid proto: {protocol}", "write it as PORT[-PORT][/tcp|udp|sctp]")
    first, last = _range(port, "containerPort")
    return [(number, protocol) for number in range(first, last + 1)]


class Held:
    """Sockets that keep ports of the host. A context manager: they are let go if the block raises."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def hand_over(self) -> list[int]:
        """Their descriptors, which are now the caller's to close or to be inherited by who is to keep them."""
        descriptors = [sock.detach() for sock in self._sockets]
        self._sockets = []
        return descriptors

    def release(self) -> None:
        """Harmless to repeat."""
        while self._sockets:
            self._sockets.pop().close()

    def take(self, wanted: Iterable[Wanted], default: str = "", *, v6: bool = False) -> list[Port]:
        """Hold a port for each that is wanted; where they ended up. `v6`: without an address also on the v6 ones.

        Raises Conflict, in Docker's words, where a port is another's; all that was held is let go then.
        """
        found: list[Port] = []
        try:
            for one in wanted:
                found += self._take(one, default, v6)
        except BaseException:
            self.release()
            raise
        return found

    def _take(self, wanted: Wanted, default: str, v6: bool) -> list[Port]:
        address = wanted.address or default or "0.0.0.0"
        both = v6 and not wanted.address and not default
        taken: OSError | None = None
        for number in range(wanted.first, wanted.last + 1):
            try:
                real = self._hold(address, number, wanted.protocol)
                ports = [Port(address, real, wanted.container_port, wanted.protocol)]
                if both:
                    self._hold("::", real, wanted.protocol)
                    ports.append(Port("::", real, wanted.container_port, wanted.protocol))
                return ports
            except OSError as error:
                taken = error
        raise _refused(address, wanted, taken)

    def _hold(self, address: str, number: int, protocol: str) -> int:
        kind, transport = _PROTOCOLS[protocol]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            sock = socket.socket(family, kind | socket.SOCK_CLOEXEC, transport)
        except OSError as error:
            if error.errno in _UNKNOWN and number:  # a protocol that nobody on this machine can use either
                return number
            raise
        try:
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, number))
            if kind == socket.SOCK_STREAM:
                sock.listen(_BACKLOG)  # or another program could have the same
        except BaseException:
            sock.close()
            raise
        self._sockets.append(sock)
        return int(sock.getsockname()[1])


def _refused(address: str, wanted: Wanted, error: OSError | None) -> Conflict | Unavailable:
    shown = f"[{address}]" if ":" in address else address
    if error is not None and error.errno == errno.EADDRINUSE:
        if wanted.first != wanted.last:
            return Conflict("all ports are allocated", f"{shown}:{wanted.first}-{wanted.last} has no free port left")
        return Conflict(
            f"Bind for {shown}:{wanted.first} failed: port is already allocated",
            "stop who uses it (`lamella ps`, `ss -lnp`), or publish on another port",
        )
    if error is not None and error.errno == errno.EADDRNOTAVAIL:
        return Conflict(
            f"failed to bind host port for {shown}:{wanted.first}: cannot assign requested address",
            "this machine does not have that address",
        )
    hint = "choose another port"
    if error is not None and error.errno == errno.EACCES:
        hint = "an ordinary user may publish from port 1024 on, or from what the sysctl net.ipv4.ip_unprivileged_port_start says"
    return Unavailable(f"failed to bind host port for {shown}:{wanted.first}: {error}", hint)


def wanted_of_exposed(texts: Iterable[str], already: Iterable[Wanted]) -> Iterator[Wanted]:
    """For `-P`: each exposed port that is not published by name, on any free port of the host."""
    named = {(one.container_port, one.protocol) for one in already}
    for text in texts:
        for number, protocol in exposed(text):
            if (number, protocol) not in named:
                named.add((number, protocol))
                yield Wanted("", 0, 0, number, protocol)
