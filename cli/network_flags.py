"""What run's network flags mean when they ask for more than `--network host` or `none`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from core.errors import InvalidInput
from runtime.networking import SHARING, Networking, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OWN = "use a network of your own: lamella network create NAME"
LINK_WARNING = (
    "WARNING: --link is a legacy feature: put both containers on a network of their own (lamella network create), where they"
    " find each other by name\n"
)
FIREWALLD_WARNING = (
    "WARNING: firewalld lets every published port through, whatever its zones say, unless it has StrictForwardPorts=yes: publish"
    " on 127.0.0.1 what is for this machine alone\n"
)


def parse(networks: Sequence[str], flags: Mapping[str, Any]) -> tuple[str, Networking]:
    """The mode, and everything else. Raises InvalidInput for what contradicts itself."""
    joins = [_join(text) for text in networks]
    mode = "bridge" if joins[0]["network"] == "default" else joins[0]["network"]
    joins[0]["network"] = mode
    shared = mode in ("host", "none") or mode.startswith(SHARING)
    if len(joins) > 1 and any(
        one["network"] in ("host", "none") or one["network"].startswith(SHARING) for one in joins
    ):
        raise InvalidInput("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    if shared:
        _check_shared(mode, flags)
        joins = []
    else:
        _complete(joins[0], flags)
    _check(flags)
    if not shared and (flags["publish"] or flags["publish_all"]):
        _warn_of_firewalld(flags["publish"], everywhere=flags["publish_all"])
    if flags["link"]:
        sys.stderr.write(LINK_WARNING)
    return mode, Networking(
        tuple(joins), tuple(flags["dns"]), tuple(flags["dns_search"]), tuple(flags["dns_option"]), tuple(flags["link"]),
        tuple(flags["expose"]), flags["publish_all"],
    )  # fmt: skip


def _join(text: str) -> dict[str, Any]:
    """`NAME`, or `name=NAME,alias=A,ip=…`."""
    if "=" not in text:
        return join(text)
    one = join("")
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        key = {"name": "network", "mac-address": "mac", "gw-priority": "priority"}.get(key.strip(), key.strip())
        if not equals:
            raise InvalidInput(
                f"invalid field {pair!r}: must be a key=value pair", "as in name=net,alias=web,ip=10.0.0.5"
            )
        if key == "alias":
            one["aliases"].append(value)
        elif key == "driver-opt":
            name, _, option = value.partition("=")
            one["options"][name] = option
        elif key in ("network", "ip", "ip6", "mac", "priority"):
            one[key] = value
        else:
            raise InvalidInput(
                f"invalid field key {pair.partition('=')[0]}", "there are name, alias, ip, ip6, mac-address"
            )
    if not one["network"]:
        raise InvalidInput(f"network name is not specified: {text}", "as in name=net,alias=web")
    return one


def _complete(one: dict[str, Any], flags: Mapping[str, Any]) -> None:
    """What flags of their own say counts for the first network."""
    one["aliases"] += flags["network_alias"]
    if one["network"] == "bridge" and one["aliases"]:
        raise InvalidInput(
            "network-scoped aliases are only supported for user-defined networks",
            "create one: lamella network create NAME",
        )
    for key, flag in (("ip", "ip"), ("ip6", "ip6"), ("mac", "mac_address")):
        one[key] = one[key] or flags[flag] or ""


def _check_shared(mode: str, flags: Mapping[str, Any]) -> None:
    """Docker's rules for what cannot go together with a network that is not the container's own."""
    if mode == SHARING:
        raise InvalidInput("invalid network mode: invalid container format container:<name|id>", "name the container")
    if mode.startswith(SHARING):
        refused = {
            "publish": "port publishing", "publish_all": "port publishing", "expose": "port exposing", "hostname": "hostname",
            "dns": "dns", "add_host": "custom host-to-IP mapping", "link": "links", "mac_address": "mac-address",
        }  # fmt: skip
        for flag, what in refused.items():
            if flags[flag]:
                raise InvalidInput(
                    f"conflicting options: {what} and the container type network mode",
                    "give these to the container whose network is shared",
                )
    elif flags["publish"] or flags["publish_all"]:
        sys.stderr.write(f"WARNING: Published ports are discarded when using {mode} network mode\n")
    if flags["link"] and mode == "host":
        raise InvalidInput(f"conflicting options: links cannot be used with the {mode} network", _OWN)
    if flags["network_alias"]:
        raise InvalidInput("network-scoped aliases are only supported for user-defined networks", _OWN)
    if flags["ip"] or flags["ip6"]:
        raise InvalidInput("user specified IP address is supported on user defined networks only", _OWN)


def _warn_of_firewalld(ports: Sequence[str], *, everywhere: bool) -> None:
    """It accepts whatever has been led elsewhere (`ct status dnat accept`): that must not happen without a word."""
    import contextlib
    from pathlib import Path

    from core.rootless import outer_uid
    from network.firewall import is_there
    from network.ports import parse as parse_port

    addresses = [one.address for text in ports for one in parse_port(text)]
    if outer_uid() or not (everywhere or any(not one.startswith(("127.", "::1")) for one in addresses)):
        return
    settings = ""
    with contextlib.suppress(OSError, ValueError):
        settings = Path("/etc/firewalld/firewalld.conf").read_text()
    with contextlib.suppress(OSError):
        if is_there("firewalld") and "\nStrictForwardPorts=yes" not in settings:
            sys.stderr.write(FIREWALLD_WARNING)


def _check(flags: Mapping[str, Any]) -> None:
    """Raises InvalidInput for what does not even look right. Loads only what the flags need: most containers have none."""
    if flags["publish"] or flags["expose"]:
        from network.ports import exposed, parse

        for text in flags["publish"]:
            parse(text)
        for text in flags["expose"]:
            exposed(text)
    if flags["link"]:
        from runtime.links import parse_link

        for text in flags["link"]:
            parse_link(text)
    addresses = [text for text in (*flags["dns"], flags["ip"], flags["ip6"]) if text]
    if addresses:
        from network.ipam import parse_address

        for text in addresses:
            parse_address(text)
    if flags["mac_address"]:
        from network.links import check_mac

        check_mac(flags["mac_address"])
