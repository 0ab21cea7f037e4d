"""Which addresses networks and endpoints get."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from core.errors import Conflict, InvalidInput, Unavailable
from network import ipam
from network.hub import Hub
from network.model import Endpoint, Network, Subnet
from network.tables import new_id
from tests.conftest import needs

pytestmark = needs("nft")


def made(hub: Hub, name: str, *subnets: Subnet, ipv6: bool = False) -> Network:
    return hub.create(Network("", name, "bridge", "", subnets, ipv6=ipv6))


def taken(hub: Hub, network: Network, *wanted: str) -> tuple[str, ...]:
    endpoint = Endpoint(new_id(), network.id, new_id(), "eth0", "")
    return ipam.take(hub.networks, network, endpoint, wanted).plain


@pytest.fixture(autouse=True)
def _no_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipam, "routes", list)


def test_pools_are_given_in_docker_s_order_until_all_are_used_up(hub: Hub) -> None:
    found = [made(hub, f"n{number}").subnets[0] for number in range(30)]
    assert [one.network for one in found[:2]] == ["172.18.0.0/16", "172.19.0.0/16"]
    assert [one.network for one in found[13:16]] == ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]
    assert found[0].gateway == "172.18.0.1" and found[-1].network == "192.168.240.0/20"
    with pytest.raises(Unavailable, match="all predefined address pools have been fully subnetted"):
        made(hub, "one-too-many")


def test_a_pool_that_a_route_of_this_machine_touches_is_left_out(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipam, "routes", lambda: [ip_network("172.18.7.0/24"), ip_network("172.16.0.0/13")])
    assert made(hub, "a").subnets[0].network == "172.24.0.0/16"


def test_the_machine_s_routes_are_read_from_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert ip_network("127.0.0.0/8") not in ipam.routes()
    assert all(one.prefixlen for one in ipam.routes())


def test_subnets_that_overlap_are_refused(hub: Hub) -> None:
    made(hub, "a", Subnet("10.77.0.0/16"))
    with pytest.raises(Conflict, match="Pool overlaps with other one on this address space"):
        made(hub, "b", Subnet("10.77.3.0/24"))


def test_addresses_are_given_in_turn_and_a_freed_one_is_not_given_at_once(hub: Hub) -> None:
    network = made(hub, "a", Subnet("10.77.0.0/29"))
    first = Endpoint(new_id(), network.id, new_id(), "eth0", "")
    assert ipam.take(hub.networks, network, first).plain == ("10.77.0.2",)
    hub.networks.delete_endpoint(first)
    assert [taken(hub, network)[0] for _ in range(5)] == [f"10.77.0.{n}" for n in (3, 4, 5, 6, 2)]
    with pytest.raises(Unavailable, match="no available IPv4 addresses on this network's address pools: a "):
        taken(hub, network)


def test_range_gateway_and_reserved_addresses_are_kept_to(hub: Hub) -> None:
    subnet = Subnet("10.77.0.0/16", "10.77.4.1", "10.77.4.0/29", {"router": "10.77.4.2"})
    network = made(hub, "a", subnet)
    assert [taken(hub, network)[0] for _ in range(3)] == ["10.77.4.0", "10.77.4.3", "10.77.4.4"]


def test_a_wanted_address_is_given_once(hub: Hub) -> None:
    network = made(hub, "a", Subnet("10.77.0.0/16"))
    assert taken(hub, network, "10.77.9.9") == ("10.77.9.9",)
    with pytest.raises(Conflict, match="Address already in use"):
        taken(hub, network, "10.77.9.9")
    with pytest.raises(InvalidInput, match="no configured subnet or ip-range contain the IP address"):
        taken(hub, network, "10.78.0.1")
    with pytest.raises(InvalidInput, match="only when connecting to networks with user configured subnets"):
        taken(hub, made(hub, "b"), "172.18.0.9")


def test_ipv6_has_a_local_subnet_of_its_own_or_the_user_s(hub: Hub) -> None:
    local = made(hub, "a", ipv6=True)
    assert [subnet.v6 for subnet in local.subnets] == [False, True]
    assert local.subnets[1].network.startswith("fd") and local.subnets[1].prefix == "64"
    own = made(hub, "b", Subnet("fd12:3456::/64"))
    assert own.ipv6 and taken(hub, own)[1] == "fd12:3456::2"


@pytest.mark.parametrize(
    "subnet",
    [
        Subnet("10.77.0.0/33"), Subnet("ten"), Subnet("10.77.0.0/31"), Subnet("10.77.0.0/24", "10.78.0.1"),
        Subnet("10.77.0.0/24", ip_range="10.78.0.0/25"), Subnet("10.77.0.0/24", reserved={"x": "10.9.9.9"}),
        Subnet("fd00::/64", "fd00::1%lo"), Subnet("fd00::%lo/64"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_subnet_is_refused(hub: Hub, subnet: Subnet) -> None:
    with pytest.raises(InvalidInput):
        made(hub, "a", subnet)


def test_the_same_address_has_the_same_hardware_address_again() -> None:
    assert ipam.mac_for("172.18.0.2") == "02:42:ac:12:00:02" == ipam.mac_for("172.18.0.2")
