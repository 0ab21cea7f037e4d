"""macvlan on links between network namespaces: real frames, in every mode. Nothing is made in the machine's own namespace."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from core.errors import Conflict, InvalidInput, Unsupported
from network import links
from network.hub import Hub
from network.macvlan import MODE, PARENT, Macvlan, parent_of
from network.model import Endpoint, Network, Subnet
from network.netlink import Netlink
from network.sandbox import Sandbox
from network.tables import new_id
from tests.conftest import needs
from tests.suites.networks import fresh

pytestmark = needs("nft")
OUT_THERE = "10.83.0.254"


class World:
    """A host with a link `eth0`, and a switch at its other end, with the address OUT_THERE on it. Meanwhile the test is on the host."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.driver = Macvlan(hub.networks, hub.state)
        self.stack = contextlib.ExitStack()
        self.switch = self.stack.enter_context(fresh())
        host = self.stack.enter_context(fresh())
        with self.switch.entered(), Netlink() as netlink:
            links.add_bridge(netlink, "sw", 1500, "02:00:00:00:00:01")
            links.add_veth(netlink, "port", links.find(netlink, "sw"), "eth0", host.fd, "02:00:00:00:00:02", 1500)
            links.add_address(netlink, links.find(netlink, "sw"), f"{OUT_THERE}/24")
            links.switch_on(netlink, links.find(netlink, "sw"))
        self.stack.enter_context(host.entered())
        with Netlink() as netlink:
            links.switch_on(netlink, links.find(netlink, "eth0"))
            links.add_address(netlink, links.find(netlink, "eth0"), "10.83.0.200/24")

    def network(self, name: str, subnet: str = "10.83.0.0/24", **options: str) -> Network:
        made = Network("", name, "macvlan", "", (Subnet(subnet),) if subnet else (), options=options)
        return self.hub.create(made)

    def container(self, network: Network, mac: str = "", ip: str = "") -> tuple[Sandbox, Endpoint]:
        """A sandbox on the network, and its endpoint."""
        sandbox = self.stack.enter_context(fresh())
        endpoint = Endpoint(new_id(), network.id, new_id(), "eth0", mac, gateways=("?",))
        return sandbox, self.hub.attach(network, endpoint, sandbox, (ip,))


@pytest.fixture
def world(hub: Hub) -> Iterator[World]:
    made = World(hub)
    with made.stack:
        yield made


def reaches(one: Sandbox, other: Sandbox, address: str, seconds: float = 3) -> bool:
    """Whether a datagram goes from one to the other's address, and an answer comes back."""
    with contextlib.ExitStack() as stack:
        sockets = []
        for sandbox in (one, other):
            with sandbox.entered():
                sockets.append(stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)))
        for sock in sockets:
            sock.settimeout(seconds)
        sockets[1].bind(("0.0.0.0", 4000))
        try:
            word, heard = os.urandom(8), b""
            sockets[0].sendto(word, (address, 4000))
            while heard != word:  # an earlier one may have waited for the way to be known
                heard, asker = sockets[1].recvfrom(10)
            sockets[1].sendto(b"fro", asker)
            return sockets[0].recv(10) == b"fro"
        except OSError:
            return False


def exists(name: str) -> bool:
    with Netlink() as netlink:
        return links.find(netlink, name) > 0


def test_containers_of_a_bridge_reach_each_other_and_all_that_is_on_the_wire(world: World) -> None:
    network = world.network("na", **{PARENT: "eth0"})
    (one, _), (two, there) = world.container(network), world.container(network)
    assert reaches(one, two, there.plain[0]) and reaches(one, world.switch, OUT_THERE)
    assert reaches(world.switch, two, there.plain[0])


def test_private_ones_reach_what_is_on_the_wire_and_not_each_other(world: World) -> None:
    network = world.network("na", **{PARENT: "eth0", MODE: "private"})
    (one, _), (two, there) = world.container(network), world.container(network)
    assert reaches(one, world.switch, OUT_THERE) and reaches(two, world.switch, OUT_THERE)
    _turn_back(world.switch)
    assert not reaches(one, two, there.plain[0], 0.4)


def test_with_vepa_it_is_the_switch_that_lets_them_talk(world: World) -> None:
    network = world.network("na", **{PARENT: "eth0", MODE: "vepa"})
    (one, _), (two, there) = world.container(network), world.container(network)
    assert reaches(one, world.switch, OUT_THERE) and not reaches(one, two, there.plain[0], 0.4)
    _turn_back(world.switch)
    assert reaches(one, two, there.plain[0])


def _turn_back(switch: Sandbox) -> None:
    """Let the switch send frames out at the port where they came in."""
    with switch.entered(), Netlink() as netlink:
        index = links.find(netlink, "port")
        protocol_info, nested, hairpin = 12, 0x8000, 4
        value = links.attribute(protocol_info | nested, links.attribute(hairpin, b"\1"))
        head = links._LINK.pack(socket.AF_BRIDGE, 0, index, 0, 0)
        netlink.request(links.SETLINK, head + value)


def test_passthru_gives_the_parent_to_one_container(world: World) -> None:
    network = world.network("na", **{PARENT: "eth0", MODE: "passthru"})
    with Netlink() as netlink:
        before = links.mac_of(netlink, links.find(netlink, "eth0"))
    one, endpoint = world.container(network, mac="02:83:00:00:00:09")
    assert reaches(one, world.switch, OUT_THERE)
    with Netlink() as netlink:
        assert links.mac_of(netlink, links.find(netlink, "eth0")) == "02:83:00:00:00:09" != before
    with pytest.raises(Conflict, match="failed to create the macvlan port: invalid argument"):
        world.container(network)
    assert [each.id for each in world.hub.networks.endpoints(network)] == [endpoint.id]
    one.remove_interface("eth0")
    with Netlink() as netlink:
        assert links.mac_of(netlink, links.find(netlink, "eth0")) == before


def test_the_host_itself_does_not_reach_them(world: World) -> None:
    network = world.network("na", **{PARENT: "eth0"})
    sandbox, there = world.container(network)
    with Sandbox(os.open("/proc/thread-self/ns/net", os.O_RDONLY)) as host:
        assert not reaches(host, sandbox, there.plain[0], 0.4)


def test_addresses_and_gateways_are_those_that_were_asked_for(world: World) -> None:
    network = world.hub.create(
        Network(
            "", "na", "macvlan", "", (Subnet("10.83.0.0/24", OUT_THERE, "10.83.0.64/28"),), options={PARENT: "eth0"}
        )
    )
    sandbox, endpoint = world.container(network, mac="02:83:00:00:00:07", ip="10.83.0.9")
    assert endpoint.addresses == ("10.83.0.9/24",) and endpoint.gateways == (OUT_THERE,)
    assert world.container(network)[1].plain == ("10.83.0.64",)
    with sandbox.entered(), Netlink() as netlink:
        assert links.mac_of(netlink, links.find(netlink, "eth0")) == "02:83:00:00:00:07"
    assert reaches(sandbox, world.switch, OUT_THERE)
    without = world.network("nb", "10.84.0.0/24", **{PARENT: "eth0"})
    assert without.subnets[0].gateway == "" and world.container(without)[1].addresses == ("10.84.0.1/24",)


def test_without_a_parent_the_containers_are_among_themselves(world: World) -> None:
    network = world.network("na", "")
    assert network.internal and not exists(f"dm-{network.id[:12]}")
    (one, here), (two, there) = world.container(network), world.container(network)
    assert reaches(one, two, there.plain[0])
    with Sandbox(os.open("/proc/thread-self/ns/net", os.O_RDONLY)) as host:
        for sandbox, address in ((one, here.addresses[0]), (two, there.addresses[0])):
            assert not reaches(host, sandbox, address.partition("/")[0], 0.2)
        _lead_to_the_host(one, network, "10.83.0.200")
        with socket.socket(type=socket.SOCK_DGRAM) as heard:
            heard.bind(("0.0.0.0", 4000))
            heard.settimeout(0.4)
            with one.entered(), socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.sendto(b"in", ("10.83.0.200", 4000))
            with pytest.raises(TimeoutError):
                heard.recv(10)
    for endpoint in (here, there):
        world.hub.detach(endpoint)
    world.driver.clear(network)
    assert not exists(f"dm-{network.id[:12]}") and not exists(f"dp-{network.id[:12]}")


def _lead_to_the_host(sandbox: Sandbox, network: Network, address: str) -> None:
    """Let the sandbox know the way to an address of the host, as somebody who means no good would: by the far end's hardware
    address."""
    import subprocess

    with Netlink() as netlink:
        mac = links.mac_of(netlink, links.find(netlink, f"dp-{network.id[:12]}"))
    with sandbox.entered():
        for words in (f"route add {address} dev eth0", f"neigh add {address} lladdr {mac} dev eth0"):
            subprocess.run(["ip", *words.split()], check=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({PARENT: "eth9"}, "invalid subinterface vlan name eth9, example formatting is eth0.10"),
        ({PARENT: "eth9.10"}, "-o parent interface was not found on the host: eth9"),
        ({PARENT: "eth0.x"}, "unable to parse a valid vlan id from: x"),
        ({PARENT: "eth0.4095"}, "vlan id must be between 1-4094, received: 4095"),
        ({PARENT: "eth0.0"}, "vlan id must be between 1-4094, received: 0"),
        ({PARENT: "eth0.1.2"}, "invalid subinterface vlan name eth0.1.2"),
        ({PARENT: "a-name-far-too-long.5"}, "invalid subinterface vlan name"),
        ({PARENT: ".5"}, "-o parent interface was not found on the host: "),
        ({PARENT: "lo"}, "loopback interface is not a valid macvlan parent link"),
        ({MODE: "l2"}, "requested macvlan mode 'l2' is not valid, 'bridge' mode is the macvlan driver default"),
    ],
)
def test_what_cannot_be_is_refused_when_the_network_is_created(
    world: World, options: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        world.network("na", **options)
    assert refused.value.message.startswith(said)
    assert [network.name for network in world.hub.networks.all()] == ["bridge", "host", "none"]


def test_networks_share_a_parent_unless_one_of_them_passes_it_through(world: World) -> None:
    first = world.network("na", **{PARENT: "eth0"})
    world.network("nb", "10.84.0.0/24", **{PARENT: "eth0", MODE: "private"})
    with pytest.raises(Conflict) as refused:
        world.network("nc", "10.85.0.0/24", **{PARENT: "eth0", MODE: "passthru"})
    said = f"cannot use mode passthru, macvlan network {first.id} is already using parent interface eth0"
    assert refused.value.message == said
    for name in ("na", "nb"):
        world.hub.remove(world.hub.networks.find(name))
    second = world.network("nc", "10.85.0.0/24", **{PARENT: "eth0", MODE: "passthru"})
    with pytest.raises(Conflict) as refused:
        world.network("nd", "10.86.0.0/24", **{PARENT: "eth0"})
    said = f"macvlan network {second.id} is already using parent interface eth0 in mode passthru"
    assert refused.value.message == said


def test_a_parent_that_is_gone_is_said_and_nothing_is_left(world: World) -> None:
    network = world.network("na", **{PARENT: "eth0"})
    with Netlink() as netlink:
        links.delete(netlink, "eth0")
    with pytest.raises(InvalidInput, match="invalid subinterface vlan name eth0"):
        world.container(network)
    assert not world.hub.networks.used()


def test_an_address_that_is_on_the_parent_already_is_said(world: World) -> None:
    network = world.network("na", **{PARENT: "eth0"})
    world.container(network, mac="02:83:00:00:00:07")
    with pytest.raises(Conflict, match="failed to create the macvlan port: address already in use"):
        world.container(network, mac="02:83:00:00:00:07")
    assert len(world.hub.networks.endpoints(network)) == 1


def _knows_vlans() -> bool:
    with fresh() as sandbox, sandbox.entered(), Netlink() as netlink:
        try:
            links.add_pair(netlink, "a", "b")
            links.add_vlan(netlink, "a.5", links.find(netlink, "a"), 5)
        except OSError:
            return False
        return True


class TestVlans:
    def test_a_kernel_without_vlans_says_so_and_nothing_is_left(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = links._add
        monkeypatch.setattr(links, "_add", lambda netlink, name, kind, *rest: real(netlink, name, f"no{kind}", *rest))
        network = world.network("na", **{PARENT: "eth0.50"})
        with pytest.raises(Unsupported, match=r"failed to create eth0\.50 vlan link: operation not supported"):
            world.container(network)
        assert not world.hub.networks.used() and not exists("eth0.50")

    def test_a_tag_is_a_link_of_its_own_and_goes_with_the_last_that_needs_it(self, world: World) -> None:
        if not _knows_vlans():
            pytest.skip("needs a kernel with 8021q")
        with world.switch.entered(), Netlink() as netlink:
            for id, address in ((50, "10.50.0.1/24"), (60, "10.60.0.1/24")):
                links.add_vlan(netlink, f"sw.{id}", links.find(netlink, "sw"), id)
                links.add_address(netlink, links.find(netlink, f"sw.{id}"), address)
                links.switch_on(netlink, links.find(netlink, f"sw.{id}"))
        fifty = world.network("na", "10.50.0.0/24", **{PARENT: "eth0.50"})
        again = world.network("nb", "10.51.0.0/24", **{PARENT: "eth0.50"})
        sixty = world.network("nc", "10.60.0.0/24", **{PARENT: "eth0.60"})
        assert not exists("eth0.50")
        (one, here), (two, there) = (world.container(n, ip=i) for n, i in ((fifty, "10.50.0.9"), (sixty, "10.60.0.9")))
        _, other = world.container(again)
        assert reaches(one, world.switch, "10.50.0.1") and reaches(two, world.switch, "10.60.0.1")
        assert not reaches(two, world.switch, "10.50.0.1", 0.4) and not reaches(two, one, "10.50.0.9", 0.4)
        world.hub.detach(here)
        world.driver.clear(fifty)
        assert exists("eth0.50")
        for endpoint in (there, other):
            world.hub.detach(endpoint)
        world.hub.clear(lambda id: True)
        assert not exists("eth0.50") and not exists("eth0.60") and exists("eth0")

    def test_one_that_the_user_has_made_stays(self, world: World) -> None:
        if not _knows_vlans():
            pytest.skip("needs a kernel with 8021q")
        with Netlink() as netlink:
            links.add_vlan(netlink, "eth0.50", links.find(netlink, "eth0"), 50)
            links.switch_on(netlink, links.find(netlink, "eth0.50"))
        network = world.network("na", "10.50.0.0/24", **{PARENT: "eth0.50"})
        _, endpoint = world.container(network)
        world.hub.detach(endpoint)
        world.hub.remove(network)
        assert exists("eth0.50")

    def test_half_made_ones_are_finished_or_taken_away(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever was done last before a kill."""
        network = world.network(
            "na", "" if not _knows_vlans() else "10.50.0.0/24", **({PARENT: "eth0.50"} if _knows_vlans() else {})
        )
        for step in ("add_vlan", "add_pair", "set_alias", "rename", "switch_on"):
            with monkeypatch.context() as patched:
                real = getattr(links, step)

                def cut(*given: object, _real: object = real) -> None:
                    _real(*given)  # type: ignore[operator]
                    raise Killed

                patched.setattr(links, step, cut)
                with contextlib.suppress(Killed), Netlink() as netlink:
                    world.driver._raise(netlink, network)
            world.container(network)
            with Netlink() as netlink:
                parent = links.find(netlink, parent_of(network))
                assert links.is_on(netlink, parent) and links.alias_of(netlink, parent).startswith("lamella_")
            for endpoint in world.hub.networks.endpoints(network):
                world.hub.detach(endpoint)
            world.driver.clear(network)
            assert _names() == {"lo", "eth0"}
            with monkeypatch.context() as patched:
                patched.setattr(links, step, cut)
                with contextlib.suppress(Killed), Netlink() as netlink:
                    world.driver._raise(netlink, network)
            world.driver.clear(network)
            assert _names() == {"lo", "eth0"}


class Killed(BaseException):
    """The end of a process, as the driver sees it: not at all."""


def _names() -> set[str]:
    return {name for _, name in socket.if_nameindex()}
