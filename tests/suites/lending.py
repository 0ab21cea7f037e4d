"""An IPAM plug-in that keeps a ledger: who misuses it is refused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network
from typing import Any

from tests.suites.plugged import SOCKETS, plugin


class Ledger:
    """`pools` are the ranges that are lent, by ID, each with the addresses lent of it; `wrongs` what it had not lent; `calls` is all that it was asked."""

    def __init__(self) -> None:
        self.name = f"lamella-test-{os.urandom(4).hex()}"
        self.pools: dict[str, set[str]] = {}
        self.macs: list[str] = []
        self.wrongs: list[str] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.instead: dict[str, Any] = {}
        self._there = contextlib.ExitStack()

    def start(self) -> None:
        SOCKETS.mkdir(parents=True, exist_ok=True)
        self.calls = self._there.enter_context(plugin(SOCKETS / f"{self.name}.sock", self._answer))

    def stop(self) -> None:
        """Harmless to repeat."""
        self._there.close()

    @property
    def lent(self) -> dict[str, list[str]]:
        return {pool: sorted(addresses) for pool, addresses in self.pools.items()}

    def _answer(self, method: str, body: dict[str, Any]) -> Any:
        if method in self.instead:
            return self.instead[method]
        return getattr(self, method.replace("IpamDriver.", "").replace("Plugin.", ""))(body)

    def Activate(self, body: dict[str, Any]) -> Any:
        return {"Implements": ["IpamDriver"]}

    def GetCapabilities(self, body: dict[str, Any]) -> Any:
        return {"RequiresMACAddress": True}

    def GetDefaultAddressSpaces(self, body: dict[str, Any]) -> Any:
        return {"LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "everywhere"}

    def RequestPool(self, body: dict[str, Any]) -> Any:
        floor = body["Options"].get("floor", "1")
        pool = body["Pool"] or (f"fd99:{floor}::/64" if body["V6"] else f"10.99.{floor}.0/24")
        if body["AddressSpace"] != "here" or pool in self.pools:
            return {"Err": f"{pool} is lent already"}
        self.pools[pool] = set()
        return {"PoolID": pool, "Pool": pool, "Data": {}}

    def ReleasePool(self, body: dict[str, Any]) -> Any:
        if self.pools.get(body["PoolID"]):
            return {"Err": "addresses of it are lent"}
        self.pools.pop(body["PoolID"], None)
        return {}

    def RequestAddress(self, body: dict[str, Any]) -> Any:
        network, lent = ip_network(body["PoolID"]), self.pools[body["PoolID"]]
        free = (str(one) for one in network.hosts() if int(one) - int(network[0]) >= 50 and str(one) not in lent)
        chosen = body["Address"] or next(free)
        if chosen in lent:
            return {"Err": "Address already in use"}
        self.macs += [mac] if (mac := body["Options"].get("com.docker.network.endpoint.macaddress")) else []
        lent.add(chosen)
        return {"Address": f"{chosen}/{network.prefixlen}", "Data": {}}

    def ReleaseAddress(self, body: dict[str, Any]) -> Any:
        address = str(ip_interface(body["Address"]).ip)
        if address not in self.pools.get(body["PoolID"], ()):
            self.wrongs.append(f"{address} is not lent")
            return {"Err": self.wrongs[-1]}
        self.pools[body["PoolID"]].remove(address)
        return {}


@contextlib.contextmanager
def ledger() -> Iterator[Ledger]:
    """One that is there."""
    made = Ledger()
    made.start()
    try:
        yield made
    finally:
        made.stop()
