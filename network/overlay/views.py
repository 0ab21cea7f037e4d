"""What the agent knows of all endpoints, and how it shows: in the kernel's tables and in the files that the steward reads."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from core.errors import Unavailable
from core.files import write_file
from network import links
from network.elsewhere import file_of
from network.model import Network
from network.netlink import Netlink
from network.overlay import vxlan
from network.overlay.etcd import Item
from network.overlay.records import ENDPOINTS, NETWORKS, Remote, belongs, network_of, remote_of
from network.visiting import visit


class View:
    """Not for several threads. `own`: this host's keys."""

    def __init__(self, state: Path, host: str) -> None:
        self._state = state
        self._host = host
        self._networks: dict[str, Network] = {}
        self._remotes: dict[str, dict[str, Remote]] = {}  # by network and address
        self.own: dict[str, Item] = {}

    def load(self, items: Iterable[Item]) -> None:
        """Know just these. Shows nothing."""
        self._networks, self._remotes, self.own = {}, {network: {} for network in self._remotes}, {}
        for item in sorted(items, key=lambda item: not item.key.startswith(NETWORKS)):
            self._learn(item)

    def _learn(self, item: Item) -> Remote | None:
        """The remote that is new with it."""
        if item.key.startswith(NETWORKS):
            network = network_of(item)
            if network is not None:
                self._networks[network.id] = network
            return None
        remote = remote_of(item) if item.key.startswith(ENDPOINTS) else None
        if remote is None or remote.network not in self._networks:
            return None
        if remote.host == self._host:
            self.own[item.key] = item
        elif belongs(self._networks[remote.network], remote):
            self._remotes.setdefault(remote.network, {})[remote.address] = remote
            return remote
        return None

    def change(self, batch: Iterable[tuple[bool, Item]]) -> None:
        """Take in what happened, and show it."""
        touched = set()
        with Netlink() as netlink:
            for there, item in batch:
                network, _, address = item.key.removeprefix(ENDPOINTS).partition("/")
                before = self._remotes.get(network, {}).pop(address, None)
                self.own.pop(item.key, None)
                now = self._learn(item) if there else None
                if before == now:
                    continue
                touched.add(network)
                index = links.find(netlink, vxlan.device_name(network))
                if index and before:
                    vxlan.forget(netlink, index, before.address, before.mac)
                if index and now:
                    vxlan.lead(netlink, index, now)
        for network in touched:
            self._name(network)

    def show_all(self) -> None:
        """Show everything, whatever was shown before."""
        with Netlink() as netlink:
            for network, remotes in self._remotes.items():
                index = links.find(netlink, vxlan.device_name(network))
                if index:
                    vxlan.settle(netlink, index, remotes.values())
                self._name(network)

    def forget(self) -> None:
        """Nobody is to hear of any of them any more. Harmless to repeat."""
        self.load(())
        for network in self._remotes:
            self._name(network)

    def _name(self, network: str) -> None:
        """Tell the steward who is there: by a file, which the next steward finds as well."""
        path, found = file_of(self._state, network), self._remotes[network].values()
        if found:
            said = [{"names": one.names, "addresses": [one.address]} for one in found]
            write_file(path, json.dumps(said, separators=(",", ":")).encode(), mode=0o600, sync=False)
        else:
            path.unlink(missing_ok=True)
        visitor = visit(self._state)
        if visitor is None:
            return
        with visitor, contextlib.suppress(Unavailable):  # it has just ended; the next one reads the file
            visitor.tell({"do": "remote", "id": network, "file": str(path)})
