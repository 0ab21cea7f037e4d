"""Addresses that an IPAM plug-in gives out: what it is asked, that it gets everything back, and that nothing it answers is
believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import Conflict, InvalidInput, LamellaError, NotFound, Unavailable
from network.hub import Hub
from network.memory import Memory
from network.model import Endpoint, Network, Subnet
from network.sandbox import Sandbox
from network.tables import new_id
from tests.conftest import needs
from tests.suites.lending import Ledger, ledger

pytestmark = needs("nft")


@pytest.fixture
def book(hub: Hub) -> Iterator[Ledger]:
    """The plug-in, for a store whose bridges are not made."""
    hub._drivers["bridge"] = Memory()
    with ledger() as made:
        yield made


def create(hub: Hub, book: Ledger, *subnets: Subnet, ipv6: bool = False, **options: str) -> Network:
    return hub.create(Network("", "lab", "bridge", "", subnets, ipv6=ipv6, ipam=book.name, ipam_options=options))


def come(hub: Hub, network: Network, *wanted: str) -> Endpoint:
    made = Endpoint(new_id(), network.id, new_id(), "eth0", "", names=("box",))
    return hub.attach(network, made, Sandbox(-1), wanted)


def test_pools_gateways_and_addresses_are_asked_for_in_the_protocol_s_shape(hub: Hub, book: Ledger) -> None:
    network = create(hub, book, ipv6=True, floor="7")
    assert [(one.network, one.gateway, one.chosen) for one in network.subnets] == [
        ("10.99.7.0/24", "10.99.7.50", True), ("fd99:7::/64", "fd99:7::32", True),
    ]  # fmt: skip
    one = come(hub, network)
    assert one.addresses == ("10.99.7.51/24", "fd99:7::33/64") and book.macs == [one.mac, one.mac]
    two = come(hub, network, "10.99.7.9")
    assert two.addresses[0] == "10.99.7.9/24"
    asked = [body for method, body in book.calls if method == "IpamDriver.RequestPool"]
    assert asked[0] == {"AddressSpace": "here", "Pool": "", "SubPool": "", "Options": {"floor": "7"}, "V6": False}
    asked = [body for method, body in book.calls if method == "IpamDriver.RequestAddress"]
    gateway = {"RequestAddressType": "com.docker.network.gateway"}
    assert asked[0] == {"PoolID": "10.99.7.0/24", "Address": "", "Options": gateway}


def test_it_gets_everything_back(hub: Hub, book: Ledger) -> None:
    subnet = Subnet("10.98.0.0/16", "10.98.0.1", "10.98.4.0/24", {"nas": "10.98.0.7"})
    network = create(hub, book, subnet)
    endpoint = come(hub, network)
    assert book.lent == {"10.98.0.0/16": ["10.98.0.1", "10.98.0.50", "10.98.0.7"]}
    hub.detach(endpoint)
    hub.detach(endpoint)
    assert book.lent == {"10.98.0.0/16": ["10.98.0.1", "10.98.0.7"]}
    hub.remove(network)
    assert book.lent == {} and not list(hub.state.glob("lent.*")) and not book.wrongs


def test_what_was_given_back_while_it_was_away_it_hears_when_it_is_back(hub: Hub, book: Ledger) -> None:
    network = create(hub, book)
    one, two = come(hub, network), come(hub, network)
    book.stop()
    hub.detach(one)
    with pytest.raises(NotFound, match="could not find plugin"):
        come(hub, network)
    assert len(book.lent["10.99.1.0/24"]) == 3
    book.start()
    again = come(hub, network, one.plain[0])
    assert again.plain == one.plain
    book.stop()
    for endpoint in (two, again):
        hub.detach(endpoint)
    hub.remove(network)
    book.start()
    hub.clear(lambda id: False)
    assert book.lent == {} and not list(hub.state.glob("lent.*"))


def test_a_network_or_container_that_cannot_be_leaves_nothing_lent(
    hub: Hub, book: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.create(Network("", "other", "bridge", "", (Subnet("10.97.0.0/16"),)))
    with pytest.raises(Conflict, match="Pool overlaps"):
        create(hub, book, Subnet("10.97.3.0/24"))
    with pytest.raises(InvalidInput, match=r"10\.96\.0\.0/24 is lent already"):
        create(hub, book, Subnet("10.96.0.0/24"), Subnet("10.96.0.0/24"))
    with pytest.raises(InvalidInput, match="'refuse' is refused"):
        hub.create(Network("", "lab", "bridge", "", options={"refuse": "1"}, ipam=book.name))
    assert book.lent == {}
    network = create(hub, book)
    with pytest.raises(Unavailable, match="ipam: Address already in use"):
        come(hub, network, "10.99.1.50")
    monkeypatch.setattr(Memory, "attach", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        come(hub, network)
    assert book.lent == {"10.99.1.0/24": ["10.99.1.50"]}


@pytest.mark.parametrize(
    ("method", "answer", "said"),
    [
        ("RequestPool", {"PoolID": "", "Pool": "10.99.1.0/24"}, "what is no pool's ID"),
        ("RequestPool", {"PoolID": ["x"], "Pool": "10.99.1.0/24"}, "a strange PoolID"),
        ("RequestPool", {"PoolID": "x", "Pool": "fd99::/64"}, "another pool than was asked for"),
        ("RequestPool", {"PoolID": "x", "Pool": "many"}, "another pool than was asked for"),
        ("RequestAddress", {"Address": "192.0.2.1/24"}, "an address that 10.99.1.0/24 does not have"),
        ("RequestAddress", {"Address": 7}, "an address that 10.99.1.0/24 does not have"),
        ("RequestAddress", {}, "another address than was asked for"),
        ("RequestPool", (200, b"[]"), "what is no JSON object"),
        ("RequestPool", {"Err": "the book\nis shut"}, "ipam: the book is shut"),
        ("GetDefaultAddressSpaces", (404, b""), "does not know IpamDriver.GetDefaultAddressSpaces"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_no_network(
    hub: Hub, book: Ledger, method: str, answer: Any, said: str
) -> None:
    book.instead[f"IpamDriver.{method}"] = answer
    with pytest.raises(LamellaError) as raised:
        create(hub, book)
    assert said in raised.value.message and "\n" not in raised.value.message
    assert [one.name for one in hub.networks.all()] == ["bridge", "host", "none"] and book.lent == {}


def test_networks_that_several_hosts_share_have_none(hub: Hub, book: Ledger) -> None:
    with pytest.raises(InvalidInput, match="what all hosts share"):
        hub.create(Network("", "lab", "overlay", "", ipam=book.name))
