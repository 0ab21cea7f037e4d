"""EXPOSE's ports in the config's form."""

from __future__ import annotations

import re
from collections.abc import Iterable

from builder.dockerfile.expand import ExpansionError

_PROTOCOLS = ("tcp", "udp", "sctp")
_HINT = "write it as PORT[-PORT][/tcp|udp|sctp], such as 8080 or 53/udp"


def exposed(words: Iterable[str]) -> tuple[str, ...]:
    """`80`, `53/udp`, `8000-8002` as `80/tcp`, `53/udp`, ...: sorted by number, each once. Raises ExpansionError.

    What `run -p` would take (`127.0.0.1:8080:80`) is accepted too; only the container's port counts.
    """
    found = {port for word in words for port in _ports(word)}
    return tuple(f"{number}/{protocol}" for number, protocol in sorted(found))


def _ports(word: str) -> Iterable[tuple[int, str]]:
    address, _, container = word.rpartition(":")
    ports, _, protocol = container.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise ExpansionError(f"invalid protocol {protocol!r} in the port {word!r}", _HINT)
    first, last = _range(ports, word)
    ip, colon, host = address.rpartition(":")
    if host:
        low, high = _range(host, word)
        if last - first not in (0, high - low):
            raise ExpansionError(f"the ranges in the port {word!r} differ in length", _HINT)
    if colon and ip:
        _check_address(ip, word)
    return [(number, protocol) for number in range(first, last + 1)]


def _range(text: str, word: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
    if not found or last < first or last > 65535:
        raise ExpansionError(f"invalid port: {word!r}", _HINT)
    return first, last


def _check_address(text: str, word: str) -> None:
    import ipaddress

    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ExpansionError(f"invalid IP address in the port {word!r}", _HINT) from None
