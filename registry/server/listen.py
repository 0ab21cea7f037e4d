"""Where to listen: HOST:PORT as text, checked before anything is started."""

from __future__ import annotations

import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import Self

from core.errors import Conflict, InvalidInput, Unavailable

DEFAULT_PORT = 5000
START_SECONDS = 30.0
HINT = "write it as HOST:PORT, such as 127.0.0.1:5000 or [::1]:5000"


@dataclass(frozen=True, slots=True)
class Address:
    """A numeric address and a port; port 0 stands for any free one until `reserve` has found it."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `HOST:PORT`, `HOST` or `:PORT`; no host is loopback. Raises InvalidInput."""
        host, colon, port = text.rpartition(":")
        if not colon or (text.count(":") > 1 and not host.endswith("]")):
            host, port = text, str(DEFAULT_PORT)
        if not (port.isascii() and port.isdigit() and int(port[:6]) < 65536):
            raise InvalidInput(f"invalid port in {text!r}", HINT)
        return cls(_numeric(host.removeprefix("[").removesuffix("]") or "127.0.0.1", text), int(port))

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def reserve(self) -> Address:
        """The same with a port that is free at this moment. Raises Conflict where somebody listens there.

        granian shares ports between its workers (SO_REUSEPORT), so it would not notice somebody else's.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
                probe.listen(1)
            except OSError as error:
                hint = "stop what listens there, or choose another port with --listen"
                kind = Conflict if error.errno == 98 else Unavailable
                raise kind(f"cannot listen on {self}: {error.strerror}", hint) from error
            return Address(self.host, int(probe.getsockname()[1]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _numeric(host: str, text: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"cannot find the host in {text!r}: {error}", HINT) from error
    # `localhost` means 127.0.0.1 here, whichever the resolver names first: that is what clients fall back to
    return str(min(found, key=lambda one: one[0] != socket.AF_INET)[4][0])


def answering(address: Address, seconds: float = START_SECONDS) -> bool:
    """Wait until somebody accepts connections at `address`; False after `seconds` without."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection((address.host, address.port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.005)
    return False
