"""Ports of the host that lead to containers on bridges: real namespaces, real packets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from network.firewall import Firewall
from runtime.state import state_directory
from tests.conftest import Lamella, free_port, needs
from tests.runtime.test_networks import (
    SERVE,
    Serve,
    _nothing_of_networks_is_left,
    ask,
    fetch,
    reaches_nothing,
    serve,
    socket_in,
)  # fmt: skip

__all__ = ["_nothing_of_networks_is_left", "serve"]

pytestmark = needs("nft", "crun", "conmon")


def test_a_port_answers_on_loopback_on_the_host_s_addresses_and_from_inside(lamella: Lamella, serve: Serve) -> None:
    lamella("network", "create", "na")
    port = free_port()
    serve("web", "--network", "na", "-p", f"{port}:80")
    gateway = lamella("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "na").stdout.strip()
    assert fetch("127.0.0.1", port) == "web" and fetch(gateway, port) == "web"
    assert ask(lamella, "na", f"http://{gateway}:{port}/") == "web"
    said = lamella("exec", "web", "timeout", "2", "wget", "-qO-", f"http://{gateway}:{port}/")
    assert said.stdout.strip() == "web"
    assert lamella("ps", "--format", "{{.Ports}}").stdout == f"0.0.0.0:{port}->80/tcp\n"


def test_a_port_of_one_address_is_not_on_the_others(lamella: Lamella, serve: Serve) -> None:
    lamella("network", "create", "na")
    port = free_port()
    serve("web", "--network", "na", "-p", f"127.0.0.1:{port}:80")
    gateway = lamella("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "na").stdout.strip()
    assert fetch("127.0.0.1", port) == "web" and reaches_nothing(gateway, port)


def test_a_port_that_is_taken_is_said_in_docker_s_words_and_free_when_its_container_is_gone(
    lamella: Lamella, serve: Serve
) -> None:
    lamella("network", "create", "na")
    port = free_port()
    serve("web", "--network", "na", "-p", f"{port}:80")
    said = lamella("run", "--rm", "--network", "na", "-p", f"{port}:80", "bb", "true", check=False)
    assert said.returncode == 125
    assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in said.stderr
    lamella("rm", "-f", "web")
    serve("next", "--network", "na", "-p", f"{port}:80")
    assert fetch("127.0.0.1", port) == "next"


def test_udp_ranges_and_any_port(lamella: Lamella, bb: str) -> None:
    lamella("network", "create", "na")
    script = "nc -l -p 7001 -e echo second & sleep 60"
    flags = ("-p", "127.0.0.1::5353/udp", "-p", "127.0.0.1:0:7000", "-p", "127.0.0.1:0:7001")
    lamella("run", "-d", "--name", "web", "--network", "na", *flags, bb, "sh", "-c", script)
    found = json.loads(lamella("inspect", "-f", "{{json .NetworkSettings.Ports}}", "web").stdout)
    port = int(found["5353/udp"][0]["HostPort"])
    with socket_in(lamella, "web", 5353) as inside, socket.socket(type=socket.SOCK_DGRAM) as sock:
        for each in (inside, sock):
            each.settimeout(2)
        sock.connect(("127.0.0.1", port))
        sock.send(b"hello")
        data, asker = inside.recvfrom(100)
        inside.sendto(data + b" back", asker)
        assert sock.recv(100) == b"hello back"
    assert said_at(int(found["7001/tcp"][0]["HostPort"])) == b"second\n"


def test_all_exposed_ports_are_published_on_free_ones(lamella: Lamella, make_image: Callable[..., str]) -> None:
    make_image("bb", exposed_ports=("80/tcp", "53/udp"))
    lamella("network", "create", "na")
    lamella("run", "-d", "--name", "web", "--network", "na", "-P", "--expose", "81", "bb", "sh", "-c", SERVE)
    found = json.loads(lamella("inspect", "-f", "{{json .NetworkSettings.Ports}}", "web").stdout)
    assert sorted(found) == ["53/udp", "80/tcp", "81/tcp"]
    assert all(one[0]["HostPort"].isdecimal() for one in found.values())


def test_the_asker_s_real_address_arrives(lamella: Lamella, bb: str, tmp_path: Path) -> None:
    """From a machine next to this one, which is a network namespace behind a veth pair."""
    lamella("network", "create", "na")
    port = free_port()
    script = "nc -l -p 80 -e sh -c 'env | grep -o \"NCAT.*\"; netstat -tn | grep :80'"
    lamella("run", "-d", "--name", "web", "--network", "na", "-p", f"{port}:80", bb, "sh", "-c", script)
    with neighbour() as (name, near, far):
        said = subprocess.run(
            ["nsenter", f"--net=/run/netns/{name}", "busybox", "nc", "-w", "2", near, str(port)],
            capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL,
        ).stdout  # fmt: skip
    assert far in said


def test_a_thousand_ports_are_one_rule_and_no_process_more(lamella: Lamella, bb: str, store_root: Path) -> None:
    lamella("network", "create", "na")
    first = free_run(1000)
    flags = ("--network", "na", "-p", f"127.0.0.1:{first}-{first + 999}:7000-7999")
    lamella("run", "-d", "--name", "web", *flags, bb, "sh", "-c", "nc -l -p 7999 -e echo last; sleep 60")
    assert said_at(first + 999) == b"last\n"
    table = Firewall(state_directory(store_root)).table
    rules = subprocess.run(
        ["nft", "-s", "list", "table", "inet", table], capture_output=True, text=True, check=True
    ).stdout
    assert rules.count(" map @") == 4
    assert lamella("ps", "--format", "{{.Ports}}").stdout == f"127.0.0.1:{first}-{first + 999}->7000-7999/tcp\n"


def test_a_flushed_table_is_whole_again_with_the_next_container(
    lamella: Lamella, serve: Serve, store_root: Path
) -> None:
    lamella("network", "create", "na")
    port = free_port()
    serve("web", "--network", "na", "-p", f"{port}:80")
    table = Firewall(state_directory(store_root)).table
    subprocess.run(["nft", "delete", "table", "inet", table], check=True)
    lamella("run", "--rm", "--network", "na", "bb", "true")
    assert fetch("127.0.0.1", port) == "web"


def test_a_bridge_has_the_name_that_is_asked_for_but_no_other_s(lamella: Lamella, bb: str) -> None:
    name = f"lt{os.getpid() % 10**6}"
    lamella("network", "create", "-o", f"com.docker.network.bridge.name={name}", "na")
    lamella("run", "-d", "--name", "box", "--network", "na", bb, "sleep", "60")
    assert subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode == 0
    lamella("rm", "-f", "box")
    lamella("network", "rm", "na")
    assert subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode == 1
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        lamella("network", "create", "-o", f"com.docker.network.bridge.name={name}", "na")
        said = lamella("run", "--rm", "--network", "na", bb, "true", check=False)
        assert said.returncode == 125 and f"the interface {name} exists already, and is not lamella's" in said.stderr
        lamella("network", "rm", "na")
        assert subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode == 0
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)


def test_the_host_s_own_firewall_has_the_last_word(lamella: Lamella, serve: Serve) -> None:
    lamella("network", "create", "na")
    port = free_port()
    serve("web", "--network", "na", "-p", f"{port}:80")
    with neighbour() as (name, near, _):
        ask_from = [
            "nsenter",
            f"--net=/run/netns/{name}",
            "timeout",
            "2",
            "busybox",
            "wget",
            "-qO-",
            f"http://{near}:{port}/",
        ]
        assert subprocess.run(ask_from, capture_output=True, check=False).stdout == b"web\n"
        rules = (
            f"table inet {name} {{ chain f {{ type filter hook forward priority 0; iifname lv{name[2:]} drop; }}; }}"
        )
        subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)
        try:
            assert subprocess.run(ask_from, capture_output=True, check=False).stdout == b""
            assert fetch("127.0.0.1", port) == "web"
        finally:
            subprocess.run(["nft", "delete", "table", "inet", name], check=True)


def test_a_published_port_alone_asks_for_the_default_bridge(lamella: Lamella, serve: Serve) -> None:
    serve("web", "-p", "127.0.0.1:0:80")
    found = json.loads(lamella("inspect", "-f", "{{json .NetworkSettings}}", "web").stdout)
    assert list(found["Networks"]) == ["bridge"]
    assert fetch("127.0.0.1", int(found["Ports"]["80/tcp"][0]["HostPort"])) == "web"


def test_with_the_host_s_network_ports_are_said_to_be_discarded(lamella: Lamella, bb: str) -> None:
    said = lamella("run", "--rm", "--network", "host", "-p", "80:80", bb, "true")
    assert said.stderr == "WARNING: Published ports are discarded when using host network mode\n"


def said_at(port: int) -> bytes:
    """What is said to who calls, as soon as somebody is there."""
    end = time.monotonic() + 30
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
                return stream.recv(100)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.05)


def free_run(count: int) -> int:
    """The first of so many neighbouring free ports."""
    for first in range(20000, 30000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for number, sock in enumerate(sockets):
                sock.bind(("127.0.0.1", first + number))
            return first
        except OSError:
            continue
        finally:
            for sock in sockets:
                sock.close()
    raise AssertionError("no free ports")


class neighbour:
    """A network namespace joined to this one: its name, our address and its own."""

    def __enter__(self) -> tuple[str, str, str]:
        number = os.getpid() % 60000
        self.name, link = f"lt{number}", f"lv{number}"
        near, far = (
            f"198.19.{number // 250}.{number % 250 // 4 * 4 + 1}",
            f"198.19.{number // 250}.{number % 250 // 4 * 4 + 2}",
        )
        for words in (
            f"netns add {self.name}", f"link add {link} type veth peer name far netns {self.name}", f"addr add {near}/30 dev {link}",
            f"link set {link} up", f"-n {self.name} addr add {far}/30 dev far", f"-n {self.name} link set far up",
            f"-n {self.name} link set lo up", f"-n {self.name} route add default via {near}",
        ):  # fmt: skip
            subprocess.run(["ip", *words.split()], check=True)
        return self.name, near, far

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)
