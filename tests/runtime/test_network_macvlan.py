"""Containers on macvlan networks, beside a machine that is a network namespace at the other end of a wire."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.state import state_directory
from tests.conftest import Lamella, needs
from tests.runtime.test_network_kills import kill_at, settled
from tests.runtime.test_networks import Serve, _nothing_of_networks_is_left, address, ask, left_on_the_machine, serve

__all__ = ["_nothing_of_networks_is_left", "serve"]

pytestmark = needs("nft", "crun", "conmon", "ip")

OUT_THERE = "10.231.9.254"
RANGE = ("--subnet", "10.231.9.0/24", "--gateway", OUT_THERE)
KILLS = 4
COMING = (
    "network.links:add_pair", "network.links:set_alias", "network.links:switch_on", "network.links:add_macvlan",
    "network.macvlan:configure",
)  # fmt: skip


@pytest.fixture
def wire() -> Iterator[str]:
    """A link of this machine; at its other end, in a namespace of the same name, is OUT_THERE."""
    name = f"lm{os.getpid() % 10**7}"
    for words in (
        f"netns add {name}", f"link add {name} type veth peer name far netns {name}", f"link set {name} up",
        f"-n {name} addr add {OUT_THERE}/24 dev far", f"-n {name} link set far up", f"-n {name} link set lo up",
    ):  # fmt: skip
        subprocess.run(["ip", *words.split()], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


def fetch_from(wire: str, there: str, seconds: int = 5) -> str:
    """What the machine at the other end gets from the address."""
    words = [
        "nsenter",
        f"--net=/run/netns/{wire}",
        "timeout",
        str(seconds),
        "busybox",
        "wget",
        "-qO-",
        f"http://{there}/",
    ]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def test_containers_are_machines_on_the_wire_and_have_names(lamella: Lamella, serve: Serve, wire: str) -> None:
    lamella("network", "create", "-d", "macvlan", *RANGE, "-o", f"parent={wire}", "na")
    serve("web", "--network", "na", "--ip", "10.231.9.20", "--mac-address", "02:83:00:00:00:14", "-p", "80:80")
    assert fetch_from(wire, "10.231.9.20") == "web"
    assert ask(lamella, "na", "http://web/") == "web"
    assert f"default via {OUT_THERE} dev eth0" in lamella("exec", "web", "ip", "route").stdout
    assert "02:83:00:00:00:14" in lamella("exec", "web", "ip", "link", "show", "eth0").stdout
    assert lamella("ps", "--format", "{{.Ports}}").stdout.strip() in ("", "80/tcp")
    said = lamella("network", "inspect", "-f", "{{.Driver}} {{json .Options}} {{len .Containers}}", "na").stdout
    assert said == f'macvlan {{"parent":"{wire}"}} 1\n'
    said = lamella("network", "rm", "na", check=False)
    assert said.returncode == 1 and 'network na has active endpoints (name:"web")' in said.stderr
    lamella("rm", "-f", "web")
    lamella("network", "rm", "na")


def test_a_running_container_is_plugged_in_and_out(lamella: Lamella, serve: Serve, wire: str) -> None:
    lamella("network", "create", "-d", "macvlan", *RANGE, "-o", f"parent={wire}", "na")
    lamella("network", "create", "nb")
    serve("web", "--network", "nb")
    lamella("network", "connect", "--ip", "10.231.9.30", "na", "web")
    assert fetch_from(wire, "10.231.9.30") == "web"
    lamella("network", "disconnect", "na", "web")
    assert fetch_from(wire, "10.231.9.30", 1) == ""
    assert list(json.loads(lamella("inspect", "-f", "{{json .NetworkSettings.Networks}}", "web").stdout)) == ["nb"]


def test_without_a_parent_they_have_each_other_and_no_way_out(lamella: Lamella, serve: Serve) -> None:
    id = lamella("network", "create", "-d", "macvlan", "na").stdout.strip()
    serve("web", "--network", "na")
    assert ask(lamella, "na", "http://web/") == "web" == ask(lamella, "na", f"http://{address(lamella, 'web', 'na')}/")
    assert "default" not in lamella("exec", "web", "ip", "route").stdout
    lamella("rm", "-f", "web")
    lamella("network", "rm", "na")
    assert _links_of(id) == []


def test_a_parent_that_is_not_there_is_said_in_docker_s_words(lamella: Lamella, bb: str, wire: str) -> None:
    said = lamella("network", "create", "-d", "macvlan", "-o", "parent=moon", "na", check=False)
    assert said.returncode == 1
    assert said.stderr.startswith("lamella: invalid subinterface vlan name moon, example formatting is eth0.10\n")
    lamella("network", "create", "-d", "macvlan", *RANGE, "-o", f"parent={wire}", "-o", "macvlan_mode=passthru", "na")
    lamella("run", "-d", "--name", "one", "--network", "na", bb, "sleep", "60")
    said = lamella("run", "--rm", "--network", "na", bb, "true", check=False)
    assert said.returncode == 125 and "failed to create the macvlan port: invalid argument" in said.stderr


@pytest.mark.parametrize("step", COMING)
def test_killed_while_it_comes_onto_one(lamella: Lamella, bb: str, store_root: Path, step: str, serve: object) -> None:
    for number in range(KILLS):
        id = lamella("network", "create", "-d", "macvlan", "na").stdout.strip()
        kill_at(store_root, step, number, "run", "-d", "--network", "na", bb, "sleep", "100")
        if number % 4 > 1:  # what is half made is finished by the next
            said = lamella("run", "--rm", "--network", "na", bb, "ip", "-o", "addr", "show", "eth0")
            assert "LOWER_UP" in lamella("run", "--rm", "--network", "na", bb, "ip", "link", "show", "eth0").stdout
            assert "inet 172." in said.stdout or "inet 192.168." in said.stdout
        assert lamella("network", "prune", "-f").stdout == "Deleted Networks:\nna\n\n"
        assert settled(store_root) and left_on_the_machine(state_directory(store_root)) == []
        assert _links_of(id) == []


def _links_of(id: str) -> list[str]:
    """The links that are named by the network."""
    return [name for name in os.listdir("/sys/class/net") if name[3:] == id[:12]]
