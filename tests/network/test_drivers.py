"""Every driver keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import Conflict, NotFound, Unsupported
from network.bridge import Bridge
from network.hub import Hub
from network.macvlan import MODE, Macvlan
from network.memory import Memory
from network.model import Network
from network.options import MTU
from network.overlay.driver import Overlay
from network.overlay.settings import Cluster, write
from network.protocol import NetworkDriver
from network.remote import Remote
from tests.conftest import needs
from tests.suites.etcds import OwnEtcd
from tests.suites.networks import DriverContract
from tests.suites.plugged import example

pytestmark = needs("nft")


class TestBridge(DriverContract):
    bad_options = {MTU: "many"}

    @pytest.fixture
    def driver(self, hub: Hub) -> NetworkDriver:
        return Bridge(hub.networks, hub.state)


@needs("etcd")
class TestOverlay(DriverContract):
    bad_options = {"encrypted": ""}

    @pytest.fixture
    def driver(self, hub: Hub, tmp_path: Path) -> Iterator[NetworkDriver]:
        with OwnEtcd(tmp_path) as etcd:
            write(hub.networks.root, Cluster((etcd.url,), "127.0.0.1", "0" * 32))
            with Overlay(hub.networks, hub.state) as driver:
                yield driver


class TestMacvlan(DriverContract):
    bad_options = {MODE: "sideways"}

    @pytest.fixture
    def driver(self, hub: Hub) -> NetworkDriver:
        return Macvlan(hub.networks, hub.state)


class TestRemote(DriverContract):
    """With the plug-in of `examples/network-plugin`."""

    bad_options = {"colour": "red"}

    @pytest.fixture
    def driver(self, hub: Hub) -> Iterator[NetworkDriver]:
        with example("network-plugin") as plugin:
            yield Remote(plugin.name, hub.networks, hub.state)


class TestMemory(DriverContract):
    bad_options = {"refuse": "yes"}
    real = False

    @pytest.fixture
    def driver(self, hub: Hub) -> NetworkDriver:
        return Memory()


def test_there_is_one_host_and_one_none(hub: Hub) -> None:
    for driver in ("host", "null"):
        with pytest.raises(Conflict, match="only one instance"):
            hub.create(Network("", "second", driver, ""))


def test_a_driver_that_is_not_here_is_said_by_name(hub: Hub) -> None:
    with pytest.raises(NotFound, match='could not find plugin weave in v1 plugin registry: plugin "weave" not found'):
        hub.create(Network("", "second", "weave", ""))


def test_an_ordinary_user_hears_what_needs_root_and_what_nobody_has(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("network.drivers.outer_uid", lambda: 1000)
    with pytest.raises(Unsupported, match="networks of the driver macvlan need root"):
        hub.create(Network("", "second", "macvlan", ""))
    with pytest.raises(NotFound, match="could not find plugin weave in v1 plugin registry"):
        hub.create(Network("", "second", "weave", ""))
