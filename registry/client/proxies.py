"""Which proxy a request goes through (the conventions of HTTP_PROXY, HTTPS_PROXY and NO_PROXY)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

from registry.client.tls import is_loopback
from registry.client.transport import origin


def proxy_for(url: str, proxies: Mapping[str, str], no_proxy: Sequence[str]) -> dict[str, str]:
    """`requests`' proxies for `url`: empty when it is reached directly, as loopback always is."""
    scheme, host, port = origin(url)
    proxy = proxies.get(scheme)
    if not proxy or is_loopback(host) or any(_excludes(entry, host, port) for entry in no_proxy):
        return {}
    return {scheme: proxy if "://" in proxy else f"http://{proxy}"}


def _excludes(entry: str, host: str, port: int) -> bool:
    entry = entry.strip().lower()
    if entry == "*":
        return True
    with contextlib.suppress(ValueError):
        return ip_address(host.strip("[]")) in ip_network(entry, strict=False)
    name, _, wanted = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    if wanted and wanted != str(port):
        return False
    name = name.removeprefix("*").lstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))
