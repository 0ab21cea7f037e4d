"""What a store's networks have on the machine goes when the store has gone, and nothing of another store's."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from network import steward, sweeping
from network.bridge import bridge_name
from network.firewall import Firewall
from network.hub import Hub
from network.links import with_alias
from network.model import Endpoint, Network, Subnet
from network.netlink import Netlink
from network.tables import new_id
from runtime.leaving import clear
from runtime.state import state_directory
from store.store import Store
from tests.conftest import needs
from tests.suites.networks import fresh

pytestmark = needs("nft")
Put = Callable[[Hub, str, str], tuple[Network, Endpoint]]


@pytest.fixture
def put() -> Iterator[Put]:
    """put(hub, name, subnet): a network with somebody on it; the sandboxes are open until the test's end."""
    opened = []

    def one(hub: Hub, name: str, subnet: str) -> tuple[Network, Endpoint]:
        network = hub.create(Network("", name, "bridge", "", (Subnet(subnet),)))
        sandbox = fresh()
        opened.append(sandbox)
        return network, hub.attach(network, Endpoint(new_id(), network.id, new_id(), "eth0", ""), sandbox)

    yield one
    for sandbox in opened:
        sandbox.close()


def seen(state: Path) -> tuple[set[str], bool]:
    """The store's interfaces, and whether its table is there."""
    firewall = Firewall(state)
    with Netlink() as netlink:
        return set(with_alias(netlink, f"{firewall.table} ")), firewall.stands()


@pytest.fixture
def next_door(tmp_path: Path) -> Iterator[Hub]:
    """The networks of another store."""
    root = tmp_path / "other"
    Store.open(root, sync=False).close()
    with Hub(root, state_directory(root), sync=False) as made:
        yield made
    sweeping.remove_strays(made.state)
    shutil.rmtree(made.state)


def test_with_its_store_all_of_it_goes_and_nothing_of_the_next(hub: Hub, next_door: Hub, put: Put) -> None:
    theirs, _ = put(next_door, "theirs", "10.231.40.0/24")
    ours, _ = put(hub, "ours", "10.231.41.0/24")
    assert seen(hub.state) == ({bridge_name(ours)}, True)
    hub.networks.close()
    shutil.rmtree(hub.networks.root)
    for _ in range(2):
        clear(hub.networks.root, hub.state)
        assert seen(hub.state) == (set(), False)
    assert seen(next_door.state) == ({bridge_name(theirs)}, True)


def test_a_store_made_anew_in_the_same_place_has_nothing_of_the_old_one(hub: Hub, put: Put) -> None:
    """Another one's catalog knows none of the networks, but has a `bridge` too."""
    root, state = hub.networks.root, hub.state
    bridge = hub.networks.find("bridge")
    with fresh() as sandbox:
        hub.attach(bridge, Endpoint(new_id(), bridge.id, new_id(), "eth0", ""), sandbox)
    assert seen(state) == ({bridge_name(bridge)}, True)
    hub.networks.close()
    shutil.rmtree(root)
    Store.open(root, sync=False).close()
    with Hub(root, state, sync=False) as anew:
        network, endpoint = put(anew, "anew", "10.231.42.0/24")
        sweeping.sweep(root, state, lambda id: id == endpoint.container)
        assert seen(state) == ({bridge_name(network)}, True)
        anew.detach(endpoint)
    sweeping.sweep(root, state, lambda id: False)
    assert seen(state) == (set(), False)


def test_a_table_without_a_bridge_goes_too(hub: Hub, put: Put) -> None:
    network, endpoint = put(hub, "ours", "10.231.43.0/24")
    hub.detach(endpoint)
    subprocess.run(["ip", "link", "delete", bridge_name(network)], check=True)
    assert seen(hub.state) == (set(), True)
    sweeping.sweep(hub.networks.root, hub.state, lambda id: False)
    assert seen(hub.state) == (set(), False)


def test_a_steward_whose_clearing_fails_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does in the middle of a store that is being deleted."""
    monkeypatch.setattr(steward, "LINGER", 0.01)
    for answers, calls in (([False, False, True], 3), ([False] * 100, steward.MOST_FAILURES + 1)):
        left = list(answers)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(str(tmp_path / f"{calls}.sock"))
            listening.listen()
            steward.Steward(listening, str(tmp_path / "lock"), lambda left=left: left.pop(0)).run()  # type: ignore[misc]
        assert len(answers) - len(left) == calls
