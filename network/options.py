"""The options of bridges, under the names that Docker gave them."""

from __future__ import annotations

from core.errors import InvalidInput, Unsupported
from network.model import Endpoint, Network

_PREFIX = "com.docker.network.bridge."
NAME = _PREFIX + "name"
ICC = _PREFIX + "enable_icc"
MASQUERADE = _PREFIX + "enable_ip_masquerade"
HOST_BINDING = _PREFIX + "host_binding_ipv4"
MTU = "com.docker.network.driver.mtu"
SYSCTLS = "com.docker.network.endpoint.sysctls"
_BY_INTERFACE = (["net", "ipv4"], ["net", "ipv6"], ["net", "mpls"])
_MTU_OLD = _PREFIX + "mtu"
INHIBIT = _PREFIX + "inhibit_ipv4"
_SWITCHES = (ICC, MASQUERADE, INHIBIT)
_MODES = (_PREFIX + "gateway_mode_ipv4", _PREFIX + "gateway_mode_ipv6")
_KNOWN_MODES = ("nat", "nat-unprotected", "routed", "isolated")
_TRUSTED = _PREFIX + "trusted_host_interfaces"
_WORDS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
DEFAULT_MTU = 1500


def check(network: Network) -> None:
    """Raises InvalidInput for a value that an option cannot have, Unsupported for one that we do not have; options that nobody here knows are kept as they are."""
    for name in _SWITCHES:
        _switch(network, name)
    _check_mode(network)
    mtu(network)
    name = network.options.get(NAME, "")
    if name and (len(name) > 15 or "/" in name or any(c.isspace() or c in ':"' for c in name) or name in (".", "..")):
        raise InvalidInput(f"invalid bridge name {name!r}", "an interface's name has at most 15 letters and digits")
    if network.options.get(HOST_BINDING):
        from network.ipam import parse_address

        parse_address(network.options[HOST_BINDING])


def _check_mode(network: Network) -> None:
    """What another engine's walls would be is refused, rather than to stand without them, or behind more."""
    for option in _MODES:
        text = network.options.get(option) or "nat"
        if text not in _KNOWN_MODES:
            raise InvalidInput(f"unknown gateway mode {text}", f"there are {', '.join(_KNOWN_MODES)}")
        if text != "nat":
            raise Unsupported(
                f"the gateway mode {text} is not supported", f"leave out {option}; see --internal and macvlan"
            )
    if network.options.get(_TRUSTED):
        raise Unsupported("no interface of the host is trusted", f"leave out {_TRUSTED}, and publish ports")


def inhibits(network: Network) -> bool:
    """Whether the host has no IPv4 address on it: somebody else is the gateway."""
    return _switch(network, INHIBIT, "false")


def _switch(network: Network, name: str, default: str = "true") -> bool:
    text = network.options.get(name, default).lower()
    if text not in _WORDS:
        raise InvalidInput(f"failed to parse {name} value: {network.options[name]}", "use true or false")
    return _WORDS[text]


def open_inside(network: Network) -> bool:
    """Whether containers on it may talk to each other."""
    return _switch(network, ICC)


def masquerades(network: Network, *, v6: bool = False) -> bool:
    """Whether what leaves it wears the host's address."""
    return _switch(network, MASQUERADE)


def mtu(network: Network) -> int:
    """In bytes."""
    text = network.options.get(MTU) or network.options.get(_MTU_OLD) or str(DEFAULT_MTU)
    if not text.isdecimal() or not 68 <= int(text) <= 65535:
        raise InvalidInput(f"failed to parse {MTU} value: {text}", "an MTU is a number of bytes between 68 and 65535")
    return int(text)


def sysctls(endpoint: Endpoint) -> list[tuple[str, str]]:
    """Settings below `/proc/sys/net` for the endpoint's interface, with their values. Raises InvalidInput."""
    found = []
    for text in filter(None, endpoint.options.get(SYSCTLS, "").split(",")):
        name, equals, value = text.strip().partition("=")
        parts = name.replace("/", ".").split(".")
        known = len(parts) == 5 and parts[:2] in _BY_INTERFACE and parts[3] == "IFNAME" and parts[4].isidentifier()
        if not (known and equals and parts[2].isidentifier()):
            raise InvalidInput(f"invalid sysctl setting {text!r}", "write it as net.ipv4.conf.IFNAME.log_martians=1")
        found.append(("/".join((*parts[1:3], endpoint.interface, parts[4])), value))
    return found


def host_binding(network: Network) -> str:
    """Where ports are published that name no address of the host; empty: everywhere."""
    return network.options.get(HOST_BINDING, "")
