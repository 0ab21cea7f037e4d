"""How a store finds etcd and what its host is called there: one file, written by `lamella network cluster`."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import InvalidInput, Unsupported
from core.files import write_file
from core.value import Value
from network.overlay import FILE

DEFAULT_SECONDS = 30
_PORT = 2379


class Cluster(Value):
    """`endpoints` are URLs of one etcd, any of which will do; `underlay` is this host's address that the others send to.
    `seconds`: after so long without a word this host counts as dead. `id` tells the host from others, whatever its address."""

    endpoints: tuple[str, ...]
    underlay: str
    id: str
    seconds: int = DEFAULT_SECONDS
    ca: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    password: str = ""


def read(root: Path) -> Cluster | None:
    """What the store at `root` was told; None where it shares no networks. Raises InvalidInput for a damaged file."""
    try:
        data = json.loads((root / FILE).read_bytes())
        return Cluster(**data | {"endpoints": tuple(data["endpoints"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"{root / FILE} is damaged: {error}", "write it anew with `lamella network cluster`"
        ) from error


def require(root: Path) -> Cluster:
    """The same; raises Unsupported where the store shares no networks."""
    found = read(root)
    if found is None:
        raise Unsupported(
            "overlay networks need etcd, and this host does not know one",
            "tell it: lamella network cluster --etcd http://HOST:2379",
        )
    return found


def write(root: Path, cluster: Cluster) -> None:
    """Harmless to repeat."""
    write_file(root / FILE, json.dumps(vars(cluster), indent=1).encode(), mode=0o600)


def forget(root: Path) -> None:
    """Harmless to repeat."""
    (root / FILE).unlink(missing_ok=True)


def check_urls(texts: Iterable[str]) -> tuple[str, ...]:
    """URLs as `--etcd` gives them, several in one with commas between. Raises InvalidInput."""
    found = tuple(part.strip().rstrip("/") for text in texts for part in text.split(",") if part.strip())
    for url in found:
        place_of(url)
    if not found:
        raise InvalidInput("no address of etcd is given", "as in --etcd http://10.0.0.1:2379")
    return found


def place_of(url: str) -> tuple[bool, str, int]:
    """Whether it is TLS, the host, the port. Raises InvalidInput."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and not parts.path and not parts.username:
            return parts.scheme == "https", parts.hostname, parts.port or _PORT
    raise InvalidInput(f"invalid address of etcd: {url!r}", "write it as http://HOST:2379 or https://HOST:2379")


def underlay_of(text: str, urls: Iterable[str]) -> str:
    """The host's own v4 address: `text` itself, that of the interface `text`, or the one from which it reaches etcd.

    Raises InvalidInput."""
    found = _address_of(text) if text else next(filter(None, map(_from_here, urls)), "")
    try:
        address = IPv4Address(found)
    except ValueError:
        what = f"{text!r} is neither an IPv4 address nor an interface that has one" if text else "no way leads to etcd"
        raise InvalidInput(what, "name this host's own address: --address 10.0.0.2") from None
    if not is_host(address):
        raise InvalidInput(
            f"other hosts cannot reach this one at {address}", "name another address: --address 10.0.0.2"
        )
    return str(address)


def is_host(address: IPv4Address) -> bool:
    """Whether another host may have it."""
    return not (address.is_loopback or address.is_multicast or address.is_unspecified or address.is_reserved)


def _from_here(url: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(place_of(url)[1:])
        except OSError:
            return ""
        return str(sock.getsockname()[0])


def _address_of(text: str) -> str:
    from network import links
    from network.netlink import Netlink
    from network.overlay.vxlan import v4_address_of

    with contextlib.suppress(ValueError):
        return str(IPv4Address(text))
    with Netlink() as netlink:
        index = links.find(netlink, text) if len(text) < 16 else 0
        return v4_address_of(netlink, index) if index else ""
