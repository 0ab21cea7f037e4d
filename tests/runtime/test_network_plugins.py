"""Containers on networks of the plug-in of `examples/network-plugin`, which makes a bridge of its own for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from network.links import delete, with_alias
from network.netlink import Netlink
from network.told import told
from runtime.state import state_directory
from tests.conftest import Lamella, free_port, needs
from tests.runtime.test_network_kills import kill_at, settled
from tests.runtime.test_networks import Serve, _nothing_of_networks_is_left, address, ask, fetch, serve
from tests.suites.lending import ledger
from tests.suites.plugged import Example, example

__all__ = ["_nothing_of_networks_is_left", "serve"]

pytestmark = needs("nft", "crun", "conmon", "ip")

KILLS = 2
COMING = (
    "network.told:Told.write", "network.answers:mac", "network.answers:joined", "network.links:move", "network.links:set_mac",
    "network.remote:configure",
)  # fmt: skip
GOING = ("network.hub:Hub.detach", "network.remote:_untell", "network.tables:Networks.delete_endpoint")


@pytest.fixture
def plugin() -> Iterator[Example]:
    with example("network-plugin") as running:
        yield running
    left = made_links(running)
    with Netlink() as netlink:
        for name in left:
            delete(netlink, name)
    assert left == []


def made_links(plugin: Example) -> list[str]:
    """All that the plug-in has on this machine."""
    with Netlink() as netlink:
        return with_alias(netlink, plugin.name)


def test_its_networks_are_networks(lamella: Lamella, serve: Serve, plugin: Example) -> None:
    id = lamella("network", "create", "-d", plugin.name, "-o", "mtu=1400", "--label", "a=b", "na").stdout.strip()
    assert f"np{id[:11]}" in made_links(plugin)
    serve("web", "--network", "na", "-p", f"127.0.0.1:{free_port()}:80")
    there = address(lamella, "web", "na")
    assert fetch(there, 80) == "web" and ask(lamella, "na", "http://web/") == "web"
    found = json.loads(lamella("network", "inspect", "na").stdout)[0]
    assert (found["Driver"], found["Options"], found["Labels"]) == (plugin.name, {"mtu": "1400"}, {"a": "b"})
    assert [one["Name"] for one in found["Containers"].values()] == ["web"]
    assert "->" not in lamella("ps", "--format", "{{.Ports}}").stdout  # which this one does not publish
    mac = next(iter(found["Containers"].values()))["MacAddress"]
    link = lamella("exec", "web", "ip", "link", "show", "eth0").stdout
    assert "mtu 1400" in link and mac in link
    gateway = found["IPAM"]["Config"][0]["Gateway"]
    assert f"default via {gateway} dev eth0" in lamella("exec", "web", "ip", "route").stdout
    assert lamella("network", "ls", "-f", f"driver={plugin.name}", "--format", "{{.Name}}").stdout == "na\n"
    lamella("rm", "-f", "web")
    lamella("network", "rm", "na")


def test_a_running_container_is_connected_and_disconnected(lamella: Lamella, serve: Serve, plugin: Example) -> None:
    lamella("network", "create", "-d", plugin.name, "na")
    lamella("network", "create", "nb")
    serve("web", "--network", "nb")
    lamella("network", "connect", "--alias", "late", "na", "web")
    assert ask(lamella, "na", "http://late/") == "web"
    assert "default via" in lamella("exec", "web", "ip", "route").stdout
    lamella("network", "disconnect", "na", "web")
    assert ask(lamella, "na", "http://web/") == "" and ask(lamella, "nb", "http://web/") == "web"
    lamella("network", "rm", "na")


def test_where_it_is_away_what_runs_goes_on_and_one_line_is_said(
    lamella: Lamella, serve: Serve, plugin: Example, store_root: Path
) -> None:
    lamella("network", "create", "-d", plugin.name, "na")
    serve("web", "--network", "na")
    there = address(lamella, "web", "na")
    plugin.stop()
    assert fetch(there, 80) == "web"
    away = f'could not find plugin {plugin.name} in v1 plugin registry: plugin "{plugin.name}" not found'
    said = lamella("run", "--rm", "--network", "na", "bb", "true", check=False)
    assert said.returncode == 125 and said.stderr.startswith(f"lamella: {away}\n") and said.stderr.count("\n") == 2
    lamella("rm", "-f", "web")
    said = lamella("network", "rm", "na", check=False)
    assert said.returncode == 1 and said.stderr.startswith(f"lamella: {away}\n")
    said = lamella("network", "prune", "-f", check=False)
    assert said.returncode == 0 and said.stdout == "" and said.stderr.startswith(f"lamella: {away}\n")
    plugin.start()
    assert lamella("network", "prune", "-f").stdout == "Deleted Networks:\nna\n\n"
    lamella("network", "create", "-d", plugin.name, "nb")
    plugin.stop()
    assert lamella("network", "rm", "-f", "nb").stdout == "nb\n"
    plugin.start()
    lamella("network", "prune", "-f")
    assert not list(told(state_directory(store_root)))


def test_one_that_is_not_there_or_refuses_makes_no_network(lamella: Lamella, plugin: Example) -> None:
    said = lamella("network", "create", "-d", "moon", "na", check=False)
    assert said.returncode == 1
    text = 'lamella: could not find plugin moon in v1 plugin registry: plugin "moon" not found\n'
    assert said.stderr.startswith(text) and "/run/docker/plugins/moon.sock" in said.stderr
    said = lamella("network", "create", "-d", plugin.name, "-o", "colour=red", "na", check=False)
    assert said.returncode == 1 and said.stderr.startswith("lamella: remote: unknown options: colour\n")
    assert lamella("network", "ls", "-q", "-f", "type=custom").stdout == ""


@pytest.mark.parametrize("step", COMING)
def test_killed_while_it_comes_onto_one(
    lamella: Lamella, bb: str, store_root: Path, plugin: Example, step: str, serve: object
) -> None:
    for number in range(KILLS):
        lamella("network", "create", "-d", plugin.name, "na")
        flags = ("--mac-address", "02:87:00:00:00:09") if step.endswith("set_mac") else ()
        kill_at(store_root, step, number, "run", "-d", "--network", "na", *flags, bb, "sleep", "100")
        assert lamella("run", "--rm", "--network", "na", bb, "echo", "up").stdout == "up\n"
        assert lamella("network", "prune", "-f").stdout == "Deleted Networks:\nna\n\n"
        assert settled(store_root) and not list(told(state_directory(store_root)))


@pytest.mark.parametrize("step", GOING)
def test_killed_while_it_goes_off_one(lamella: Lamella, bb: str, store_root: Path, plugin: Example, step: str) -> None:
    lamella("network", "create", "-d", plugin.name, "na")
    for number in range(KILLS):
        kill_at(store_root, step, number, "run", "--rm", "--network", "na", bb, "true")
    lamella("network", "prune", "-f")
    assert settled(store_root) and not list(told(state_directory(store_root)))


@pytest.mark.parametrize("step", ["network.told:Told.write", "network.tables:Networks.add"])
def test_killed_while_a_network_is_created(lamella: Lamella, store_root: Path, plugin: Example, step: str) -> None:
    lamella("network", "ls")
    for number in range(KILLS):
        kill_at(store_root, step, number, "network", "create", "-d", plugin.name, "na")
        lamella("network", "prune", "-f")
        assert (
            not list(told(state_directory(store_root))) and lamella("network", "ls", "-qf", "type=custom").stdout == ""
        )


def test_an_ipam_driver_gives_a_whole_container_its_address(lamella: Lamella, bb: str) -> None:
    with ledger() as book:
        lamella("network", "create", "--ipam-driver", book.name, "--ipam-opt", "floor=8", "lab")
        said = json.loads(lamella("network", "inspect", "-f", "{{json .IPAM}}", "lab").stdout)
        assert said["Driver"] == book.name and said["Options"] == {"floor": "8"}
        assert said["Config"] == [{"Subnet": "10.99.8.0/24", "Gateway": "10.99.8.50"}]
        lamella("run", "-d", "--name", "box", "--network", "lab", bb, "sleep", "300")
        assert "inet 10.99.8.51/24" in lamella("exec", "box", "ip", "addr", "show", "eth0").stdout
        shown = lamella("exec", "box", "cat", "/sys/class/net/eth0/address").stdout.strip()
        assert book.macs == [shown]
        lamella("rm", "-f", "box")
        assert book.lent == {"10.99.8.0/24": ["10.99.8.50"]}
        lamella("network", "rm", "lab")
        assert book.lent == {} and not book.wrongs
