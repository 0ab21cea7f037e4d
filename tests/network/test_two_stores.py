"""Two stores of one machine, which know of each other only by the routes that there are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from network.hub import Hub
from network.memory import Memory
from network.model import Endpoint, Network
from network.sandbox import Sandbox
from network.tables import new_id
from store.store import Store


class Slow(Memory):
    """Has begun to attach when `begun` is set, and goes on when `go_on` is."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def attach(self, network: Network, endpoint: Endpoint, sandbox: Sandbox) -> None:
        self.begun.set()
        assert self.go_on.wait(60)
        super().attach(network, endpoint, sandbox)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[Hub]]:
    made = []
    for name in ("one", "two"):
        Store.open(tmp_path / name, sync=False).close()
        (tmp_path / "run" / name).mkdir(parents=True)
        made.append(Hub(tmp_path / name, tmp_path / "run" / name, sync=False))
    yield made
    for hub in made:
        hub.close()


def hang_on(hub: Hub, driver: Memory) -> None:
    hub._drivers["bridge"] = driver
    network = hub.networks.find("bridge")
    hub.attach(network, Endpoint(new_id(), network.id, new_id(), "eth0", "", names=("box",)), Sandbox(-1))


def test_one_chooses_its_addresses_when_the_other_has_its_route(stores: list[Hub]) -> None:
    first, second = Slow(), Slow()
    second.go_on.set()
    threads = [
        threading.Thread(target=hang_on, args=(hub, driver))
        for hub, driver in zip(stores, (first, second), strict=True)
    ]
    threads[0].start()
    assert first.begun.wait(60)
    threads[1].start()
    waited = not second.begun.wait(0.5)
    first.go_on.set()
    for thread in threads:
        thread.join(60)
    assert waited and second.begun.is_set()
