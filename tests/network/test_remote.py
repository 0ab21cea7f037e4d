"""Networks of plug-ins: what they are told, and that nothing they answer is believed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput, LamellaError, NotFound, Unavailable
from network import links, remote
from network.hub import Hub
from network.model import Endpoint, Network, Port, Subnet
from network.netlink import Netlink
from network.tables import new_id
from network.told import Told, told
from tests.conftest import needs
from tests.suites.networks import fresh
from tests.suites.plugged import SOCKETS, plugin

pytestmark = needs("nft", "ip")

RANGE = (Subnet("10.87.0.0/24", "10.87.0.1", reserved={"nas": "10.87.0.7"}), Subnet("fd87::/64", "fd87::1"))
PAIR = {"InterfaceName": {"SrcName": "inner", "DstPrefix": "eth"}}


class Plugged:
    """A plug-in whose answers a test chooses, on a machine with nothing but `lo`, a pair `inner`–`outer`, and `eth0`, which is
    the host's own."""

    def __init__(self, hub: Hub, stack: ExitStack) -> None:
        self.hub = hub
        self.name = f"lamella-test-{os.urandom(4).hex()}"
        self.answers: dict[str, Any] = {
            "Plugin.Activate": {"Implements": ["NetworkDriver"]},
            "NetworkDriver.GetCapabilities": {"Scope": "local"},
            "NetworkDriver.Join": PAIR,
        }
        SOCKETS.mkdir(parents=True, exist_ok=True)
        self._stack = stack
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.start()
        self.sandbox = stack.enter_context(fresh())
        stack.enter_context(stack.enter_context(fresh()).entered())
        for words in ("inner type veth peer name outer", "eth0 type bridge"):
            subprocess.run(["ip", "link", "add", *words.split()], check=True)
        subprocess.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "eth0"], check=True)

    def start(self) -> None:
        self._plugin = ExitStack()
        self._stack.push(self._plugin)
        self.calls = self._plugin.enter_context(plugin(SOCKETS / f"{self.name}.sock", self._answer))

    def stop(self) -> None:
        self._plugin.close()

    def _answer(self, method: str, body: dict[str, Any]) -> Any:
        found = self.answers.get(method, {})
        return found() if callable(found) else found

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """What it was told by these methods."""
        return [body for method, body in self.calls if method.partition(".")[2] in methods]

    def network(self, **options: str) -> Network:
        return self.hub.create(Network("", "na", self.name, "", RANGE, options=options))

    def container(self, network: Network, mac: str = "", ports: tuple[Port, ...] = ()) -> Endpoint:
        endpoint = Endpoint(new_id(), network.id, new_id(), "eth0", mac, names=("web",), gateways=("?",), ports=ports)
        self.hub.attach(network, endpoint, self.sandbox)
        return self.hub.networks.endpoints(network)[0]

    def inside(self, *words: str) -> str:
        """What `ip` says in the container."""
        with self.sandbox.entered():
            return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def plugged(hub: Hub) -> Iterator[Plugged]:
    with ExitStack() as stack:
        yield Plugged(hub, stack)


def test_it_is_told_of_networks_and_endpoints_in_the_protocol_s_shape(plugged: Plugged) -> None:
    network = plugged.network(colour="red")
    assert plugged.told("CreateNetwork") == [
        {
            "NetworkID": network.id,
            "Options": {
                "com.docker.network.enable_ipv6": True, "com.docker.network.generic": {"colour": "red"},
            },
            "IPv4Data": [
                {
                    "AddressSpace": "LocalDefault", "Pool": "10.87.0.0/24", "Gateway": "10.87.0.1/24",
                    "AuxAddresses": {"nas": "10.87.0.7/24"},
                }
            ],
            "IPv6Data": [
                {"AddressSpace": "LocalDefault", "Pool": "fd87::/64", "Gateway": "fd87::1/64", "AuxAddresses": {}}
            ],
        }
    ]  # fmt: skip
    seen: list[int] = []
    plugged.answers["NetworkDriver.Join"] = lambda: (
        seen.append(_namespace(plugged.told("Join")[-1]["SandboxKey"])) or PAIR
    )
    endpoint = plugged.container(network, mac="02:87:00:00:00:09")
    both = {"NetworkID": network.id, "EndpointID": endpoint.id}
    interface = {"Address": "10.87.0.2/24", "AddressIPv6": "fd87::2/64", "MacAddress": "02:87:00:00:00:09"}
    options = {"com.docker.network.endpoint.exposedports": [], "com.docker.network.portmap": []}
    assert plugged.told("CreateEndpoint") == [{**both, "Interface": interface, "Options": options}]
    assert plugged.told("Join")[0] == {**both, "SandboxKey": plugged.told("Join")[0]["SandboxKey"], "Options": options}
    assert plugged.told("ProgramExternalConnectivity") == []
    assert seen == [os.fstat(plugged.sandbox.fd).st_ino]
    plugged.hub.detach(endpoint)
    assert plugged.told("Leave", "DeleteEndpoint") == [both, both]
    plugged.hub.remove(network)
    assert plugged.told("DeleteNetwork") == [{"NetworkID": network.id}]
    assert not list(plugged.hub.state.glob("told.*"))


def _namespace(path: str) -> int:
    return os.stat(path).st_ino


def test_its_interface_becomes_the_container_s_with_the_routes_it_wants(plugged: Plugged) -> None:
    plugged.answers["NetworkDriver.CreateEndpoint"] = {"Interface": {"MacAddress": "02:87:00:00:00:0A"}}
    plugged.answers["NetworkDriver.Join"] = {
        **PAIR, "Gateway": "10.87.0.254", "GatewayIPv6": "fd87::fe",
        "StaticRoutes": [
            {"Destination": "10.99.0.0/16", "RouteType": 0, "NextHop": "10.87.0.99"},
            {"Destination": "10.98.1.2/32", "RouteType": 1},
            {"Destination": "fd98::/32", "RouteType": 1},
        ],
    }  # fmt: skip
    endpoint = plugged.container(plugged.network())
    assert endpoint.mac == "02:87:00:00:00:0a" and endpoint.gateways == ("10.87.0.254", "fd87::fe") == endpoint.way_out
    assert "02:87:00:00:00:0a" in plugged.inside("link", "show", "eth0")
    routes = plugged.inside("route")
    assert "default via 10.87.0.254 dev eth0" in routes and "10.99.0.0/16 via 10.87.0.99 dev eth0" in routes
    assert "10.98.1.2 dev eth0 proto static scope link" in routes
    six = plugged.inside("-6", "route")
    assert "default via fd87::fe dev eth0" in six and "fd98::/32 dev eth0" in six
    assert "inet 10.87.0.2/24" in plugged.inside("addr", "show", "eth0")


def test_an_interface_keeps_its_own_address_where_nobody_asks_for_another(plugged: Plugged) -> None:
    with Netlink() as netlink:
        own = links.mac_of(netlink, links.find(netlink, "inner"))
    assert plugged.container(plugged.network()).mac == own and own in plugged.inside("link", "show", "eth0")


PORTS = (Port("0.0.0.0", 8080, 80, "tcp"), Port("127.0.0.1", 5353, 53, "udp"))


def test_it_is_asked_to_publish_ports_in_the_protocol_s_shape(plugged: Plugged) -> None:
    endpoint = plugged.container(plugged.network(), ports=PORTS)
    options = {
        "com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}, {"Proto": 17, "Port": 53}],
        "com.docker.network.portmap": [
            {"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080},
            {"Proto": 17, "IP": "", "Port": 53, "HostIP": "127.0.0.1", "HostPort": 5353, "HostPortEnd": 5353},
        ],
    }
    both = {"NetworkID": endpoint.network, "EndpointID": endpoint.id}
    assert plugged.told("ProgramExternalConnectivity") == [{**both, "Options": options}]
    assert plugged.told("CreateEndpoint")[0]["Options"] == options == plugged.told("Join")[0]["Options"]
    assert endpoint.ports == PORTS
    plugged.hub.detach(endpoint)
    assert plugged.told("RevokeExternalConnectivity") == [both]


def test_ports_are_forgotten_where_it_cannot_publish_and_a_refusal_is_docker_s_line(plugged: Plugged) -> None:
    network = plugged.network()
    plugged.answers["NetworkDriver.ProgramExternalConnectivity"] = {"Err": "taken"}
    said = r"driver failed programming external connectivity on endpoint web \(.*\): remote: taken"
    with pytest.raises(Unavailable, match=said):
        plugged.container(network, ports=PORTS)
    subprocess.run(["ip", "link", "add", "inner", "type", "veth", "peer", "name", "again"], check=True)
    plugged.inside("link", "del", "eth0")
    plugged.answers["NetworkDriver.ProgramExternalConnectivity"] = (404, b'{"Err": "what?"}')
    assert plugged.container(network, ports=PORTS).ports == ()


MANY = [{"Destination": f"10.99.{number}.0/24", "RouteType": 1} for number in range(256)] * 2


@pytest.mark.parametrize(
    ("method", "answer", "said"),
    [
        ("Join", {}, "answers with what is no interface's name: ''"),
        ("Join", {"InterfaceName": "inner"}, "answers with a strange InterfaceName: 'inner'"),
        ("Join", {"InterfaceName": {"SrcName": 7}}, "answers with a strange SrcName: '7'"),
        ("Join", {"InterfaceName": {"SrcName": "../inner"}}, "what is no interface's name: '../inner'"),
        ("Join", {"InterfaceName": {"SrcName": "x" * 16}}, "what is no interface's name: 'xxxxxxxxxxxxxxxx'"),
        ("Join", {"InterfaceName": {"SrcName": "moon"}}, "the interface moon that the plug-in names is not there"),
        ("Join", {"InterfaceName": {"SrcName": "lo"}}, "the interface lo that the plug-in names is the host's own"),
        ("Join", {"InterfaceName": {"SrcName": "eth0"}}, "the interface eth0 that the plug-in names is the host's own"),
        ("Join", {**PAIR, "Gateway": "ten"}, "answers with what is no gateway: 'ten'"),
        ("Join", {**PAIR, "Gateway": "fd87::1"}, "answers with what is no gateway: 'fd87::1'"),
        ("Join", {**PAIR, "GatewayIPv6": "::1"}, "answers with what is no gateway: '::1'"),
        ("Join", {**PAIR, "StaticRoutes": 5}, "what is no list of at most 256 routes"),
        ("Join", {**PAIR, "StaticRoutes": MANY}, "what is no list of at most 256 routes"),
        ("Join", {**PAIR, "StaticRoutes": ["10.0.0.0/8"]}, "answers with what is no route"),
        ("Join", {**PAIR, "StaticRoutes": [{"Destination": "there"}]}, "a route to what is no network"),
        ("Join", {**PAIR, "StaticRoutes": [{"Destination": "0.0.0.0/0", "RouteType": 1}]}, "a route that it cannot ask"),
        ("Join", {**PAIR, "StaticRoutes": [{"Destination": "10.1.0.0/16", "NextHop": "::2"}]}, "what is no gateway: '::2'"),
        ("Join", {"Err": "no\nroom"}, "failed to create endpoint web on network na: remote: no room"),
        ("Join", (200, b"<html>"), "answers NetworkDriver.Join with what is no JSON object"),
        ("Join", (404, b"{}"), "does not know NetworkDriver.Join"),
        ("CreateEndpoint", {"Err": "full"}, "failed to create endpoint web on network na: remote: full"),
        ("CreateEndpoint", {"Interface": [1]}, "answers with a strange Interface"),
        ("CreateEndpoint", {"Interface": {"Address": "10.87.0.3/24"}}, "another address than the endpoint has: '10.87.0.3/24'"),
        ("CreateEndpoint", {"Interface": {"Address": "many"}}, "another address than the endpoint has: 'many'"),
        ("CreateEndpoint", {"Interface": {"MacAddress": "zz"}}, "what is no hardware address: 'zz'"),
        ("CreateEndpoint", {"Interface": {"MacAddress": "01:00:00:00:00:01"}}, "a hardware address that no interface can have"),
        ("CreateEndpoint", {"Interface": {"MacAddress": "02:87:00:00:00:0b"}}, "another hardware address than was asked for"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_in_one_line_and_nothing_is_left(
    plugged: Plugged, method: str, answer: Any, said: str
) -> None:
    network = plugged.network()
    plugged.answers[f"NetworkDriver.{method}"] = answer
    with pytest.raises(LamellaError) as refused:
        plugged.container(network, mac="02:87:00:00:00:09")
    assert said in refused.value.message and "\n" not in refused.value.message
    assert not plugged.hub.networks.used() and len(plugged.told("DeleteEndpoint")) == 1
    assert [path.name for path in plugged.hub.state.glob("told.*")] == [f"told.{network.id}"]
    with Netlink() as netlink:
        assert all(links.find(netlink, name) for name in ("lo", "eth0", "outer"))


@pytest.mark.parametrize(
    ("method", "answer", "said"),
    [
        ("Plugin.Activate", {"Implements": ["VolumeDriver"]}, "found but it does not implement NetworkDriver"),
        (
            "NetworkDriver.GetCapabilities",
            {"Scope": "moon"},
            "invalid capability: expecting 'local' or 'global', got moon",
        ),
        ("NetworkDriver.CreateNetwork", {"Err": "colour is not known"}, "remote: colour is not known"),
        ("NetworkDriver.CreateNetwork", b"", "NetworkDriver.CreateNetwork of the plug-in "),
    ],
)
def test_a_network_that_it_does_not_make_is_not_written_down(
    plugged: Plugged, method: str, answer: Any, said: str
) -> None:
    plugged.answers[method] = answer
    with pytest.raises(LamellaError) as refused:
        plugged.network()
    assert said in refused.value.message
    assert [network.name for network in plugged.hub.networks.all()] == ["bridge", "host", "none"]
    plugged.answers = {}
    plugged.hub.clear(lambda id: True)
    assert not list(plugged.hub.state.glob("told.*"))


def test_one_that_does_not_answer_is_not_waited_for_for_ever(plugged: Plugged, monkeypatch: pytest.MonkeyPatch) -> None:
    network = plugged.network()
    for name in ("LONG", "_PATIENCE"):
        monkeypatch.setattr(remote, name, 0.2)
    plugged.answers["NetworkDriver.Join"] = lambda: time.sleep(1) or b""
    plugged.answers["NetworkDriver.Leave"] = lambda: time.sleep(1) or b""
    with pytest.raises(Unavailable, match="no answer in time"):
        plugged.container(network)
    assert not plugged.hub.networks.used() and len(list(plugged.hub.state.glob("told.*.*"))) == 1


def test_what_it_has_missed_it_is_told_when_it_is_back(plugged: Plugged) -> None:
    network = plugged.network()
    endpoint = plugged.container(network)
    plugged.stop()
    with pytest.raises(NotFound, match=f"could not find plugin {plugged.name} in v1 plugin registry"):
        plugged.hub.attach(network, Endpoint(new_id(), network.id, new_id(), "eth1", ""), plugged.sandbox)
    plugged.hub.detach(endpoint)
    assert not plugged.hub.networks.used()
    with pytest.raises(NotFound):
        plugged.hub.remove(network)
    assert plugged.hub.networks.get(network.id)
    plugged.hub.remove(network, force=True)
    assert plugged.hub.networks.get(network.id) is None
    plugged.hub.clear(lambda id: True)
    plugged.start()
    plugged.hub.clear(lambda id: True)
    both = {"NetworkID": network.id, "EndpointID": endpoint.id}
    assert [(method, body) for method, body in plugged.calls if method != "Plugin.Activate"] == [
        ("NetworkDriver.RevokeExternalConnectivity", both), ("NetworkDriver.Leave", both),
        ("NetworkDriver.DeleteEndpoint", both),
        ("NetworkDriver.DeleteNetwork", {"NetworkID": network.id}),
    ]  # fmt: skip
    plugged.calls.clear()
    plugged.hub.clear(lambda id: True)
    assert plugged.calls == []


def test_after_the_machine_s_restart_it_is_told_of_the_network_again(plugged: Plugged) -> None:
    network = plugged.network()
    for path in plugged.hub.state.glob("told.*"):
        path.unlink()
    plugged.answers["NetworkDriver.CreateNetwork"] = {"Err": "it exists"}
    plugged.container(network)
    assert len(plugged.told("CreateNetwork")) == 2


def test_what_it_refuses_to_remove_is_removed_as_with_docker(plugged: Plugged) -> None:
    network = plugged.network()
    plugged.answers["NetworkDriver.DeleteNetwork"] = {"Err": "what network?"}
    plugged.hub.remove(network)
    assert plugged.hub.networks.get(network.id) is None and not list(plugged.hub.state.glob("told.*"))


def test_options_that_it_refuses_are_the_user_s_to_correct(plugged: Plugged) -> None:
    plugged.answers["NetworkDriver.CreateNetwork"] = {"Err": "no such colour"}
    with pytest.raises(InvalidInput, match="remote: no such colour"):
        plugged.network(colour="red")


def test_the_interface_of_another_s_bridge_is_not_taken(plugged: Plugged) -> None:
    network = plugged.network()
    subprocess.run(["ip", "link", "set", "inner", "master", "eth0"], check=True)
    with pytest.raises(LamellaError, match="inner that the plug-in names is the host's own"):
        plugged.container(network)
    with Netlink() as netlink:
        assert links.find(netlink, "inner")


def test_of_a_note_that_was_cut_short_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a name is no plug-in's, and would be told to nobody for ever."""

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    note = Told("plugged", "a" * 64)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "rename", cut)
        note.write(tmp_path)
    assert not list(told(tmp_path))
    note.write(tmp_path)
    assert list(told(tmp_path)) == [note]


def test_a_plug_in_that_does_not_answer_is_waited_for_once_whatever_it_has_to_hear(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def find(name: str, kind: str = "") -> None:
        asked.append(name)
        raise Unavailable("no answer within 10 seconds")

    monkeypatch.setattr(remote, "find", find)
    notes = [Told(name, "a" * 64, letter * 64) for name in ("deaf", "mute") for letter in (name[0], "b", "c")]
    for note in notes:
        note.write(hub.state)
    remote.tell_of_ends(hub.networks, hub.state)
    assert sorted(asked) == ["deaf", "mute"]
    assert all(note.holds(hub.state) for note in notes)
