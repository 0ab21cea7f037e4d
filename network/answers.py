"""What network plug-ins answer, checked: names, addresses, routes. Anything that makes no sense is refused, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Any

from core.errors import InvalidInput, Unavailable
from core.value import Value
from network.links import check_mac
from network.model import Endpoint

MOST_ROUTES = 256
_INTERFACE = r"[^\s/:\x00-\x1f]{1,15}"


class Nonsense(Unavailable):
    """The plug-in's answer cannot be used."""

    def __init__(self, plugin: str, what: str, value: object) -> None:
        super().__init__(
            f"the plug-in {plugin} answers with {what}: {str(value)[:200]!r}", "ask whoever wrote the plug-in"
        )


class Route(Value):
    """`via` is empty for what is on the link itself."""

    target: str
    via: str = ""


class Joined(Value):
    """`interface` is the host's, still; `gateways` are empty where the plug-in names none."""

    interface: str
    gateways: tuple[str, ...]
    routes: tuple[Route, ...]


def mac(plugin: str, answer: Mapping[str, Any], endpoint: Endpoint, *, asked: bool) -> str:
    """The hardware address that CreateEndpoint answers with; empty where it leaves the choice. `asked`: the endpoint must have
    its own. Raises Nonsense, also where the plug-in changes an address that it was given."""
    given = _dict(plugin, answer, "Interface")
    for key in ("Address", "AddressIPv6"):
        text = _text(plugin, given, key)
        if text and not any(_same(text, own) for own in endpoint.addresses):
            raise Nonsense(plugin, "another address than the endpoint has", text)
    text = _text(plugin, given, "MacAddress").lower()
    if not text:
        return ""
    try:
        check_mac(text)
    except InvalidInput as error:
        raise Nonsense(plugin, "what is no hardware address", text) from error
    if int(text[:2], 16) & 1 or not text.strip("0:"):
        raise Nonsense(plugin, "a hardware address that no interface can have", text)
    if asked and text != endpoint.mac.lower():
        raise Nonsense(plugin, "another hardware address than was asked for", text)
    return text


def _same(text: str, own: str) -> bool:
    try:
        return ip_interface(text) == ip_interface(own)
    except ValueError:
        return False


def joined(plugin: str, answer: Mapping[str, Any]) -> Joined:
    """What Join answers. Raises Nonsense."""
    name = _text(plugin, _dict(plugin, answer, "InterfaceName"), "SrcName")
    if not re.fullmatch(_INTERFACE, name) or name in (".", ".."):
        raise Nonsense(plugin, "what is no interface's name", name)
    gateways = [
        str(_gateway(plugin, text, version))
        for key, version in (("Gateway", 4), ("GatewayIPv6", 6))
        if (text := _text(plugin, answer, key))
    ]
    routes = answer.get("StaticRoutes") or []
    if not isinstance(routes, list) or len(routes) > MOST_ROUTES:
        raise Nonsense(plugin, f"what is no list of at most {MOST_ROUTES} routes", routes)
    return Joined(name, tuple(gateways), tuple(_route(plugin, route) for route in routes))


def _gateway(plugin: str, text: str, version: int) -> IPv4Address | IPv6Address:
    try:
        found = ip_address(text)
    except ValueError as error:
        raise Nonsense(plugin, "what is no gateway", text) from error
    if found.version != version or found.is_loopback or found.is_multicast or found.is_unspecified:
        raise Nonsense(plugin, "what is no gateway", text)
    return found


def _route(plugin: str, route: Any) -> Route:
    if not isinstance(route, dict):
        raise Nonsense(plugin, "what is no route", route)
    try:
        target = ip_network(_text(plugin, route, "Destination"), strict=False)
    except ValueError as error:
        raise Nonsense(plugin, "a route to what is no network", route) from error
    if not target.prefixlen or target.is_multicast or target.is_loopback:
        raise Nonsense(plugin, "a route that it cannot ask for", route)
    if route.get("RouteType", 0) == 1:
        return Route(str(target))
    return Route(str(target), str(_gateway(plugin, _text(plugin, route, "NextHop"), target.version)))


def _dict(plugin: str, answer: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = answer.get(key) or {}
    if not isinstance(found, dict):
        raise Nonsense(plugin, f"a strange {key}", found)
    return found


def _text(plugin: str, answer: Mapping[str, Any], key: str) -> str:
    found = answer.get(key) or ""
    if not isinstance(found, str):
        raise Nonsense(plugin, f"a strange {key}", found)
    return found
