"""What every network driver must do: `DriverContract` is run by each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import syscalls
from core.errors import InvalidInput
from core.value import replace
from network import ipam
from network.hub import Hub
from network.links import find, switch_on
from network.model import Endpoint, Network
from network.netlink import Netlink
from network.protocol import NetworkDriver
from network.sandbox import Sandbox
from network.tables import new_id
from tests.suites.contained import inside


class DriverContract:
    """Derive from it, and give `driver` and `network`, and `bad_options`: those that the driver refuses."""

    bad_options: dict[str, str]
    real = True  # whether interfaces are made

    @pytest.fixture
    def driver(self, hub: Hub) -> NetworkDriver:
        raise NotImplementedError

    @pytest.fixture
    def network(self, hub: Hub, driver: NetworkDriver) -> Iterator[Network]:
        made = Network(new_id(), f"net-{os.urandom(3).hex()}", driver.name, "2026-01-01T00:00:00Z")
        made = ipam.settle(driver.create(made), hub.networks.all())
        hub.networks.add(made)
        yield made
        for _ in range(2):
            driver.clear(made)
            driver.remove(made)

    def _endpoint(self, hub: Hub, network: Network) -> Endpoint:
        made = Endpoint(new_id(), network.id, new_id(), "eth0", "", gateways=("?",))
        made = ipam.take(hub.networks, network, made)
        made = replace(made, gateways=tuple(subnet.gateway for subnet in network.subnets))
        hub.networks.put_endpoint(made)
        return made

    def test_a_network_comes_up_with_its_first_endpoint_and_goes_when_it_is_cleared(
        self, hub: Hub, driver: NetworkDriver, network: Network, tmp_path: Path
    ) -> None:
        assert driver.inspect(network) == {}
        endpoint = self._endpoint(hub, network)

        def attach() -> None:
            with (
                Sandbox.create(tmp_path / "netns") if self.real else Sandbox.open(Path("/proc/self/ns/net")) as sandbox
            ):
                driver.attach(network, endpoint, sandbox)
                assert driver.inspect(network)
                if self.real:
                    with sandbox.entered(), Netlink() as netlink:
                        assert find(netlink, "eth0")

        if self.real:
            inside(attach)
        else:
            attach()
        driver.detach(network, endpoint)
        hub.networks.delete_endpoint(endpoint)
        driver.clear(network)
        assert driver.inspect(network) == {}

    def test_all_but_attach_may_be_repeated_and_come_without_anything_being_there(
        self, hub: Hub, driver: NetworkDriver, network: Network
    ) -> None:
        endpoint = self._endpoint(hub, network)
        for _ in range(2):
            driver.detach(network, endpoint)
        hub.networks.delete_endpoint(endpoint)
        for _ in range(2):
            driver.clear(network)
        assert driver.inspect(network) == {}

    def test_options_that_make_no_sense_are_refused_before_anything_is_written(
        self, driver: NetworkDriver, network: Network
    ) -> None:
        with pytest.raises(InvalidInput):
            driver.create(replace(network, options=self.bad_options))


def fresh() -> Sandbox:
    """A network namespace without a name, gone when it is closed."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        made = Sandbox(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        with Netlink() as netlink:
            switch_on(netlink, 1)
        syscalls.setns(before, syscalls.CLONE_NEWNET)
    finally:
        os.close(before)
    return made
