"""The generated files a container sees: /etc/hosts, /etc/hostname, /etc/resolv.conf."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import InvalidInput

LOCAL = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
IPV6 = "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"


def hosts(hostname: str, network: str, add_hosts: Iterable[str]) -> bytes:
    """/etc/hosts: the host's own for its network, else the loopback lines; then `name:address` from `--add-host`."""
    text = LOCAL + IPV6
    if network == "host":
        own = _read("/etc/hosts")
        text = own if own.endswith("\n") or not own else own + "\n"
    if hostname and hostname not in text:
        text += f"127.0.0.1\t{hostname}\n"
    return (text + "".join(map(_extra, add_hosts))).encode("utf-8", "surrogateescape")


def sandbox_hosts(hostname: str, lines: Iterable[tuple[str, str]], add_hosts: Iterable[str], gateway: str) -> bytes:
    """/etc/hosts of a container with a network of its own: `lines` are address and names, `gateway` is where the host is."""
    text = LOCAL + IPV6 + "".join(_extra(pair, gateway or "127.0.0.1") for pair in add_hosts)
    own = "".join(f"{address}\t{names}\n" for address, names in lines) or f"127.0.0.1\t{hostname}\n"
    return (text + own).encode("utf-8", "surrogateescape")


def _extra(pair: str, gateway: str = "127.0.0.1") -> str:
    name, _, address = pair.partition("=" if "=" in pair else ":")
    if not name or not address:
        raise InvalidInput(f"invalid --add-host: {pair!r}", "write it as name:address")
    return f"{gateway if address == 'host-gateway' else address.strip('[]')}\t{name}\n"


def resolv_conf(network: str) -> bytes:
    """/etc/resolv.conf: the host's own, since containers resolve from the host's network or not at all."""
    return _read("/etc/resolv.conf").encode("utf-8", "surrogateescape")


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
