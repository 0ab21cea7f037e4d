"""Addresses that a plug-in gives out (IpamDriver of Docker's plug-in protocol): a pool for each subnet of a network, and of it an
address for each container that comes.

What is to be given back is written down first, in the store's run-time state, and crossed out when the plug-in has heard it:
one that is away hears it later. What it answers is not believed before it has been looked at.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, LamellaError, NotFound, Unavailable
from core.files import write_file
from core.plugins import LONG, MethodMissing, Plugin, PluginError, PluginNotFound, find
from core.value import Value, replace
from network.answers import Nonsense
from network.ipam import mac_for, parse_range
from network.model import Endpoint, Network, Subnet

KIND = "IpamDriver"
_PATIENCE = 10.0  # seconds to hear that something is given back: it may hear of it later
_GATEWAY = {"RequestAddressType": "com.docker.network.gateway"}
_MAC = "com.docker.network.endpoint.macaddress"
_LONGEST = 1000  # characters of a pool's ID


class Loan(Value):
    """An address of a pool that `plugin` has given; the pool itself where `address` is empty."""

    plugin: str
    pool: str
    address: str = ""

    def path(self, state: Path) -> Path:
        name = blake2b("\0".join(vars(self).values()).encode(), digest_size=16).hexdigest()
        return state / f"lent.{int(not self.address)}{name}"  # addresses come before their pools


class Lender:
    """The IPAM driver `name`. `state` is the store's run-time directory."""

    def __init__(self, name: str, state: Path) -> None:
        self._name = name
        self._state = state

    def pools(self, network: Network, *, gateways: bool) -> Network:
        """The network with a pool for each subnet that it is to have, and with their gateways if there must be such.

        Raises NotFound where there is no such plug-in, InvalidInput with what it says against it, Unavailable."""
        catch_up(self._state)
        plugin, asked = self._plugin(), [(subnet, subnet.v6) for subnet in network.subnets] or [(Subnet(""), False)]
        if network.ipv6 and not any(v6 for _, v6 in asked):
            asked.append((Subnet(""), True))
        lent: list[Subnet] = []
        try:
            spaces = plugin.call(f"{KIND}.GetDefaultAddressSpaces", {})
            for subnet, v6 in asked:
                lent.append(
                    self._pool(plugin, _text(self._name, spaces, "LocalDefaultAddressSpace"), network, subnet, v6)
                )
                lent[-1] = self._with_gateway(plugin, lent[-1], gateways)
        except BaseException as error:
            self._give_back(_loans(self._name, lent))
            if isinstance(error, (PluginError, MethodMissing)):
                raise InvalidInput(f"ipam: {error.message}", f"the plug-in {self._name} says so") from error
            raise
        return replace(network, subnets=tuple(lent))

    def _pool(self, plugin: Plugin, space: str, network: Network, subnet: Subnet, v6: bool) -> Subnet:
        body = {
            "AddressSpace": space, "Pool": subnet.network, "SubPool": subnet.ip_range,
            "Options": dict(network.ipam_options), "V6": v6,
        }  # fmt: skip
        answer = plugin.call(f"{KIND}.RequestPool", body, seconds=LONG)
        id, text = _text(self._name, answer, "PoolID"), _text(self._name, answer, "Pool")
        if not 0 < len(id) <= _LONGEST:
            raise Nonsense(self._name, "what is no pool's ID", id)
        try:
            range = parse_range(text, "pool")
            if (range.version == 6) != v6 or (subnet.network and range != parse_range(subnet.network, "subnet")):
                raise ValueError
        except (InvalidInput, ValueError) as error:
            self._give_back([Loan(self._name, id)])
            raise Nonsense(self._name, "another pool than was asked for", text) from error
        data = answer.get("Data")
        said = data.get(_GATEWAY["RequestAddressType"]) if isinstance(data, dict) else ""
        gateway = subnet.gateway or _address(self._name, said, str(range))
        return replace(subnet, network=str(range), gateway=gateway, chosen=True, pool=id)

    def _with_gateway(self, plugin: Plugin, subnet: Subnet, gateways: bool) -> Subnet:
        """With its gateway and reserved addresses taken out of the pool."""
        if gateways or subnet.gateway:
            found = self._ask(plugin, subnet, subnet.gateway, _GATEWAY).partition("/")[0]
            subnet = replace(subnet, gateway=subnet.gateway or found)
        for address in subnet.reserved.values():
            self._ask(plugin, subnet, address, {})
        return subnet

    def _ask(self, plugin: Plugin, subnet: Subnet, wanted: str, options: Mapping[str, str]) -> str:
        """An address of the pool. Raises Nonsense for one that it does not have, or that was not asked for."""
        body = {"PoolID": subnet.pool, "Address": wanted, "Options": dict(options)}
        text = plugin.call(f"{KIND}.RequestAddress", body, seconds=LONG).get("Address")
        found = _address(self._name, text, subnet.network)
        if not found or (wanted and found != str(ip_interface(wanted).ip)):
            self._give_back([Loan(self._name, subnet.pool, found)] if found else [])
            raise Nonsense(self._name, "another address than was asked for", text)
        return found

    def addresses(self, network: Network, endpoint: Endpoint, wanted: Iterable[str]) -> tuple[Endpoint, list[str]]:
        """The endpoint with a hardware address if the plug-in must know that, and an address of each subnet: `wanted` ones
        where it names some. Raises NotFound, Unavailable with what the plug-in says."""
        catch_up(self._state)
        plugin, asked = self._plugin(), [ip_interface(text).ip for text in wanted if text]
        loans: list[Loan] = []
        try:
            options = {}
            if self._wants_macs(plugin):
                endpoint = replace(endpoint, mac=endpoint.mac or mac_for(""))
                options = {_MAC: endpoint.mac}
            for subnet in network.subnets:
                own = next((str(address) for address in asked if address in parse_range(subnet.network, "subnet")), "")
                loans.append(Loan(self._name, subnet.pool, self._ask(plugin, subnet, own, options)))
        except BaseException as error:
            self._give_back(loans)
            if isinstance(error, (PluginError, MethodMissing)):
                raise Unavailable(f"ipam: {error.message}", f"the plug-in {self._name} says so") from error
            raise
        return endpoint, [loan.address for loan in loans]

    def _wants_macs(self, plugin: Plugin) -> bool:
        with contextlib.suppress(PluginError, MethodMissing):  # an old one has no capabilities
            return plugin.call(f"{KIND}.GetCapabilities", {}).get("RequiresMACAddress") is True
        return False

    def release(self, network: Network, endpoint: Endpoint) -> None:
        """Give the endpoint's addresses back. Harmless to repeat."""
        pairs = [(subnet, address) for subnet in network.subnets for address in endpoint.plain]
        self._give_back(
            Loan(self._name, subnet.pool, address) for subnet, address in pairs if _is_in(address, subnet.network)
        )

    def release_pools(self, network: Network) -> None:
        """Give all that the network has back. Harmless to repeat."""
        self._give_back(_loans(self._name, network.subnets))

    def _give_back(self, loans: Iterable[Loan]) -> None:
        for loan in loans:
            write_file(loan.path(self._state), json.dumps(vars(loan)).encode(), mode=0o600, sync=False)
        catch_up(self._state)

    def _plugin(self) -> Plugin:
        try:
            return find(self._name, KIND)
        except PluginNotFound as error:
            text = f"could not find plugin {self._name} in v1 plugin registry: {error.message}"
            raise NotFound(text, f"{error.hint}; or leave --ipam-driver out") from error


def catch_up(state: Path) -> None:
    """Tell plug-ins that are here of all that is to be given back. Harmless to repeat."""
    silent: set[str] = set()  # everybody waits for us: one that does not answer is asked once
    for path, loan in list(_noted(state)):
        if loan.plugin not in silent and not _hears(loan):
            silent.add(loan.plugin)
        elif loan.plugin not in silent:
            path.unlink(missing_ok=True)


def _noted(state: Path) -> Iterator[tuple[Path, Loan]]:
    for path in sorted(state.glob("lent.*")):
        with contextlib.suppress(FileNotFoundError):
            yield path, Loan(**json.loads(path.read_bytes()))


def _hears(loan: Loan) -> bool:
    method, body = ("ReleaseAddress", {"Address": loan.address}) if loan.address else ("ReleasePool", {})
    try:
        with contextlib.suppress(PluginError, MethodMissing):  # it does not know it
            find(loan.plugin).call(f"{KIND}.{method}", {"PoolID": loan.pool, **body}, seconds=_PATIENCE)
    except LamellaError:
        return False
    return True


def _loans(name: str, subnets: Iterable[Subnet]) -> Iterator[Loan]:
    for subnet in subnets:
        for address in (subnet.gateway, *subnet.reserved.values(), ""):
            if address or subnet.pool:
                yield Loan(name, subnet.pool, address)


def _text(plugin: str, answer: Mapping[str, Any], key: str) -> str:
    found = answer.get(key) or ""
    if not isinstance(found, str):
        raise Nonsense(plugin, f"a strange {key}", found)
    return found


def _address(plugin: str, text: object, range: str) -> str:
    """Without its prefix length; empty for none. Raises Nonsense for one that is not of the range."""
    if not text:
        return ""
    if not isinstance(text, str) or not _is_in(text, range):
        raise Nonsense(plugin, f"an address that {range} does not have", text)
    return str(ip_interface(text).ip)


def _is_in(text: str, range: str) -> bool:
    try:
        return "%" not in text and ip_interface(text).ip in parse_range(range, "subnet")
    except (ValueError, InvalidInput):
        return False
