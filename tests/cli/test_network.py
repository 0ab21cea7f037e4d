"""`lamella network`: what scripts read."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.value import replace
from network import ipam
from network.hub import Hub
from network.model import Endpoint
from network.tables import new_id
from runtime.state import state_directory
from store.store import Store
from tests.cli.conftest import Said
from tests.conftest import needs

Cli = Callable[..., Said]
pytestmark = needs("nft")


@pytest.fixture
def hub(store: Store) -> Iterator[Hub]:
    with Hub(store.root, state_directory(store.root), sync=False) as made:
        yield made


def test_the_predefined_ones_are_always_there_and_cannot_go(cli: Cli, store: Store) -> None:
    said = cli("network", "ls")
    assert [line.split()[1:] for line in said.out.splitlines()] == [
        ["ID", "NAME", "DRIVER", "SCOPE"], ["bridge", "bridge", "local"], ["host", "host", "local"], ["none", "null", "local"],
    ]  # fmt: skip
    said = cli("network", "rm", "bridge")
    assert said.code == 1 and "bridge is a pre-defined network and cannot be removed" in said.err


def test_create_prints_the_id_and_inspect_shows_docker_s_shape(cli: Cli, store: Store) -> None:
    flags = ("--subnet", "10.97.0.0/16", "--ip-range", "10.97.5.0/24", "--gateway", "10.97.5.254", "--aux-address", "nas=10.97.5.7",
             "--internal", "--attachable", "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400")  # fmt: skip
    id = cli("network", "create", *flags, "lab").out.strip()
    assert len(id) == 64
    found = json.loads(cli("network", "inspect", "lab").out)[0]
    assert found["IPAM"]["Config"] == [
        {
            "Subnet": "10.97.0.0/16",
            "IPRange": "10.97.5.0/24",
            "Gateway": "10.97.5.254",
            "AuxiliaryAddresses": {"nas": "10.97.5.7"},
        }
    ]
    assert (found["Id"], found["Internal"], found["Attachable"], found["Labels"]) == (id, True, True, {"a": "b"})
    assert found["Options"] == {"com.docker.network.driver.mtu": "1400"} and found["Containers"] == {}
    assert cli("network", "inspect", "-f", "{{.Driver}} {{.Scope}}", id[:12]).out == "bridge local\n"
    said = cli("network", "inspect", "moon")
    assert (said.code, said.out, said.err) == (1, "[]\n", "Error: No such network: moon\n")


def test_inspect_finds_networks_as_well(cli: Cli, store: Store) -> None:
    cli("network", "create", "lab")
    for words in (("lab",), ("--type", "network", "lab")):
        assert cli("inspect", "-f", "{{.Name}} {{.Driver}}", *words).out == "lab bridge\n"
    assert cli("inspect", "--type", "network", "moon").err == "Error: No such network: moon\n"


def test_names_are_given_once(cli: Cli, store: Store) -> None:
    assert cli("network", "create", "a").code == 0
    said = cli("network", "create", "a")
    assert said.code == 1 and said.err.startswith("lamella: network with name a already exists\n")
    assert (
        "invalid network name" in cli("network", "create", "-", "--").err or cli("network", "create", "a/b").code == 1
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--gateway", "10.1.1.1"), "every ip-range or gateway must have a corresponding subnet"),
        (("--subnet", "10.1.0.0/16", "--gateway", "10.2.1.1"), "no matching subnet for gateway 10.2.1.1"),
        (("--subnet", "10.1.0.0/16", "--subnet", "10.1.2.0/24"), "multiple overlapping subnet configuration is not supported"),
        (("--subnet", "10.1.0.0/16", "--subnet", "10.2.0.0/16", "--gateway", "10.1.0.1", "--gateway", "10.1.0.2"),
         "cannot configure multiple gateways"),
        (("--subnet", "ten"), "invalid subnet ten"),
        (("-d", "weave"), 'plugin "weave" not found'),
        (("-o", "com.docker.network.bridge.gateway_mode_ipv4=junk"), "unknown gateway mode junk"),
        (("-o", "com.docker.network.bridge.gateway_mode_ipv6=isolated"), "the gateway mode isolated is not supported"),
        (("-o", "com.docker.network.bridge.trusted_host_interfaces=eth0"), "no interface of the host is trusted"),
        (("--ipam-driver", "weave"), "could not find plugin weave in v1 plugin registry"),
        (("-d", "macvlan", "-o", "parent=lo"), "loopback interface is not a valid macvlan parent link"),
        (("-d", "host"), 'only one instance of "host" network is allowed'),
        (("-o", "com.docker.network.bridge.enable_icc=perhaps"), "failed to parse com.docker.network.bridge.enable_icc value"),
        (("-o", "com.docker.network.bridge.name=far-too-long-for-a-name"), "invalid bridge name"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_is_written(
    cli: Cli, store: Store, words: tuple[str, ...], said: str
) -> None:
    done = cli("network", "create", *words, "x")
    assert done.code == 1 and said in done.err and done.out == ""
    assert cli("network", "ls", "-q", "--filter", "name=x").out == ""


def test_filters_and_formats(cli: Cli, store: Store, hub: Hub) -> None:
    one, two = (cli("network", "create", *words).out.strip() for words in (("--label", "x=1", "one"), ("two",)))
    names = "{{.Name}}"
    assert cli("network", "ls", "-f", "type=custom", "--format", names).out == "one\ntwo\n"
    assert cli("network", "ls", "-f", "type=builtin", "-f", "driver=null", "--format", names).out == "none\n"
    assert cli("network", "ls", "-f", "label=x", "--format", names).out == "one\n"
    assert cli("network", "ls", "-f", "label=x=2", "--format", names).out == ""
    assert cli("network", "ls", "-q", "--no-trunc", "-f", f"id={two[:9]}").out == f"{two}\n"
    assert cli("network", "ls", "-f", "name=wo", "-f", "name=on", "--format", names).out == "none\none\ntwo\n"
    row = json.loads(cli("network", "ls", "--format", "json", "-f", "label=x").out)
    assert row["ID"] == one[:12] and row["Labels"] == "x=1" and row["Internal"] == "false"
    assert cli("network", "ls", "-f", "colour=red").code == 1
    _hang_on(hub, "two")
    assert cli("network", "ls", "-f", "dangling=true", "--format", names).out == "one\n"


def _hang_on(hub: Hub, name: str, container: str = "") -> Endpoint:
    network = hub.networks.find(name)
    endpoint = Endpoint(new_id(), network.id, container or new_id(), "eth0", "", names=("box",))
    return ipam.take(hub.networks, network, endpoint)


def _alive(store: Store, endpoint: Endpoint) -> int:
    """Make it look as if the endpoint's container ran: somebody holds its lock."""
    import fcntl

    directory = store.root / "containers" / endpoint.container
    directory.mkdir()
    fd = os.open(directory / "state", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def test_one_in_use_stays_and_prune_takes_the_others(cli: Cli, store: Store, hub: Hub) -> None:
    for name in ("used", "old", "kept"):
        cli("network", "create", *(("--label", "keep") if name == "kept" else ()), name)
    endpoint = _hang_on(hub, "used")
    fd = _alive(store, endpoint)
    try:
        said = cli("network", "rm", "used")
        assert said.code == 1 and 'network used has active endpoints (name:"box")' in said.err
        described = json.loads(cli("network", "inspect", "used").out)[0]["Containers"][endpoint.container]
        assert described["Name"] == "box" and described["IPv4Address"] == endpoint.addresses[0]
        assert cli("network", "prune", "-f", "--filter", "label!=keep").out == "Deleted Networks:\nold\n\n"
        assert cli("network", "ls", "-f", "type=custom", "--format", "{{.Name}}").out == "kept\nused\n"
    finally:
        os.close(fd)
    assert cli("network", "prune", "-f").out == "Deleted Networks:\nkept\nused\n\n"
    assert cli("network", "prune", "-f").out == ""


def test_system_prune_takes_them_too(cli: Cli, store: Store) -> None:
    cli("network", "create", "old")
    assert cli("system", "prune", "-f").out.startswith("Deleted Networks:\nold\n\nTotal reclaimed space: ")


def test_rm_goes_on_past_what_is_not_there(cli: Cli, store: Store) -> None:
    for name in ("a", "b"):
        cli("network", "create", name)
    said = cli("network", "rm", "a", "moon", "b")
    assert (said.code, said.out) == (1, "a\nb\n") and "network moon not found" in said.err
    assert cli("network", "rm", "-f", "moon").code == 0


def test_two_stores_share_no_name(tmp_path: Path) -> None:
    from network.bridge import bridge_name
    from network.firewall import Firewall

    tables, bridges = set(), set()
    for name in ("one", "two"):
        root = tmp_path / name
        Store.open(root, sync=False).close()
        with Hub(root, state_directory(root), sync=False) as hub:
            tables.add(Firewall(hub.state).table)
            bridges.add(bridge_name(hub.networks.find("bridge")))
    assert len(tables) == len(bridges) == 2


def test_what_lamella_chose_moves_where_it_has_become_another_s(
    store: Store, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from network.model import Network

    monkeypatch.setattr(ipam, "routes", list)
    network = hub.create(Network("", "a", "bridge", ""))
    assert network.subnets[0].network == "172.18.0.0/16"
    monkeypatch.setattr(ipam, "routes", lambda: [ipam.ip_network("172.18.0.0/15")])
    moved = hub._with_subnets(network, hub.driver(network), contextlib.ExitStack())
    assert moved.subnets[0].network == "172.20.0.0/16" == hub.networks.find("a").subnets[0].network
    own = hub.create(replace(network, name="b", subnets=ipam.settle(network, []).subnets[:0]))
    assert own.subnets[0].network != moved.subnets[0].network
