"""Containers on bridges: real namespaces, real packets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from network.firewall import Firewall
from network.links import with_alias
from network.netlink import Netlink
from network.sandbox import Sandbox
from network.visiting import was_killed
from runtime.leaving import clear
from runtime.state import state_directory
from runtime.status import read_status
from tests.conftest import Lamella, free_port, needs

pytestmark = needs("nft", "crun", "conmon")

SERVE = "mkdir -p /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w"


@pytest.fixture(autouse=True)
def _nothing_of_networks_is_left(store_root: Path, _nothing_is_left: None) -> Iterator[None]:
    """After the containers' end, one clearing leaves no interface and no table of this store."""
    yield
    for directory in (store_root / "containers").glob("[!.]*"):
        keeper = read_status(directory).keeper
        if keeper:
            os.kill(keeper, signal.SIGKILL)
    state, end = state_directory(store_root), time.monotonic() + 10
    while True:
        clear(store_root, state)
        left = left_on_the_machine(state)
        if not left or time.monotonic() > end:
            break
        time.sleep(0.05)  # what is killed takes a moment to be gone
    assert left == []


def left_on_the_machine(state: Path) -> list[str]:
    """What there is of the store's: its table and its bridges."""
    table = Firewall(state).table
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    with Netlink() as netlink:
        return [*([table] if table in tables else []), *with_alias(netlink, f"{table} ")]


Serve = Callable[..., None]


@pytest.fixture
def serve(lamella: Lamella, bb: str) -> Serve:
    """serve("web", "--network", "na"): a container that answers with its host name on port 80."""

    def start(name: str, *flags: str) -> None:
        lamella("run", "-d", "--name", name, "--hostname", name, *flags, bb, "sh", "-c", SERVE)
        end = time.monotonic() + 5
        while lamella("exec", name, "wget", "-qO-", "http://127.0.0.1/", check=False).returncode:
            assert time.monotonic() < end
            time.sleep(0.05)

    return start


def ask(lamella: Lamella, network: str, url: str, *flags: str) -> str:
    """What a new container on the network gets from `url` within two seconds; empty for nothing."""
    script = f"timeout 2 wget -qO- {url}; true"  # a shell is process 1, which no signal ends that it does not know
    said = lamella("run", "--rm", "--network", network, *flags, "bb", "sh", "-c", script, check=False)
    return str(said.stdout).strip()


def address(lamella: Lamella, name: str, network: str) -> str:
    return str(lamella("inspect", "-f", f"{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}", name).stdout).strip()


def fetch(address: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{address}:{port}/", timeout=3) as answer:
        return str(answer.read().decode()).strip()


def reaches_nothing(address: str, port: int) -> bool:
    try:
        fetch(address, port)
    except OSError:
        return True
    return False


class TestNames:
    def test_containers_find_each_other_by_every_name_they_have(self, lamella: Lamella, serve: Serve) -> None:
        lamella("network", "create", "na")
        serve("web", "--network", "na", "--network-alias", "shop")
        short = lamella("ps", "-q", "--filter", "name=web").stdout.strip()
        assert [ask(lamella, "na", f"http://{name}/") for name in ("web", "shop", "web.na", short)] == ["web"] * 4

    def test_names_end_at_the_network_and_the_default_bridge_has_none(self, lamella: Lamella, serve: Serve) -> None:
        lamella("network", "create", "na")
        lamella("network", "create", "nb")
        serve("web", "--network", "na")
        assert ask(lamella, "nb", "http://web/") == ""
        assert "127.0.0.11" not in lamella("run", "--rm", "--network", "bridge", "bb", "cat", "/etc/resolv.conf").stdout

    def test_an_alias_that_several_have_goes_round(self, lamella: Lamella, bb: str) -> None:
        lamella("network", "create", "na")
        for name in ("a", "b", "c"):
            lamella(
                "run", "-d", "--name", f"one-{name}", "--network", "na", "--network-alias", "all", bb, "sleep", "60"
            )
        script = "for i in 1 2 3; do nslookup -type=a all 127.0.0.11 | grep Address | sed 1d | head -n 1; done"
        firsts = lamella("run", "--rm", "--network", "na", bb, "sh", "-c", script).stdout.split()
        assert len(set(firsts[1::2])) == 3

    def test_an_address_has_a_name_and_a_name_without_v6_has_an_empty_answer(
        self, lamella: Lamella, serve: Serve
    ) -> None:
        lamella("network", "create", "na")
        serve("web", "--network", "na")
        there = address(lamella, "web", "na")
        said = lamella("run", "--rm", "--network", "na", "bb", "nslookup", there, check=False).stdout
        assert "name = web.na" in said
        said = lamella("run", "--rm", "--network", "na", "bb", "nslookup", "-type=aaaa", "web", check=False).stdout
        assert "NXDOMAIN" not in said and "SERVFAIL" not in said

    def test_a_name_server_in_the_container_may_have_port_53(self, lamella: Lamella, bb: str) -> None:
        lamella("network", "create", "na")
        script = "nc -l -p 53 & sleep 0.2; nslookup -type=a $(hostname) | tail -n 3; netstat -ltn | grep -c ':53 '"
        assert lamella("run", "--rm", "--network", "na", bb, "sh", "-c", script).stdout.split()[-1] == "1"

    def test_other_names_are_asked_of_the_servers_that_dns_names(self, lamella: Lamella, bb: str) -> None:
        lamella("network", "create", "na")
        lamella("network", "create", "--internal", "ni")
        with upstream("127.83.1.9") as asked:
            flags = ("--dns", "127.83.1.9", "--dns-search", "lan.example", "--dns-option", "timeout:1")
            said = lamella(
                "run", "--rm", "--network", "na", *flags, bb, "nslookup", "-type=a", "far.example", check=False
            )
            assert "192.0.2.77" in said.stdout and b"\x03far\x07example" in b"".join(asked)
            text = lamella("run", "--rm", "--network", "na", *flags, bb, "cat", "/etc/resolv.conf").stdout
            assert text == "nameserver 127.0.0.11\nsearch lan.example\noptions timeout:1 ndots:0\n"
            asked.clear()
            lamella("run", "--rm", "--network", "ni", *flags, bb, "nslookup", "far.example", check=False)
            assert asked == []

    def test_after_a_kill_the_next_command_brings_the_names_back(
        self, lamella: Lamella, serve: Serve, store_root: Path
    ) -> None:
        lamella("network", "create", "na")
        serve("web", "--network", "na")
        serve("other", "--network", "na")
        os.kill(steward_of(store_root), signal.SIGKILL)
        while not was_killed(state_directory(store_root)):
            time.sleep(0.01)
        assert lamella("exec", "web", "timeout", "1", "nslookup", "other", check=False).returncode
        lamella("ps")
        assert lamella("exec", "web", "wget", "-qO-", "http://other/").stdout == "other\n"

    def test_where_a_killed_steward_left_a_bridge_the_next_command_takes_it_away(
        self, lamella: Lamella, bb: str, store_root: Path
    ) -> None:
        lamella("network", "create", "na")
        lamella("run", "--rm", "--network", "na", bb, "true")
        os.kill(steward_of(store_root), signal.SIGKILL)
        state = state_directory(store_root)
        while not was_killed(state):
            time.sleep(0.01)
        assert left_on_the_machine(state)
        lamella("ps")
        assert left_on_the_machine(state) == []

    def test_what_a_killed_keeper_had_is_free_for_the_next(
        self, lamella: Lamella, serve: Serve, store_root: Path
    ) -> None:
        lamella("network", "create", "--subnet", "10.231.8.0/29", "na")
        port = free_port()
        serve("web", "--network", "na", "--ip", "10.231.8.5", "-p", f"{port}:80")
        keeper = next(read_status(path).keeper for path in (store_root / "containers").glob("[!.]*"))
        os.kill(keeper, signal.SIGKILL)
        time.sleep(0.3)
        serve("next", "--network", "na", "--ip", "10.231.8.5", "-p", f"{port}:80")
        assert fetch("127.0.0.1", port) == "next"


def steward_of(store_root: Path) -> int:
    """The pid of the store's steward."""
    words = f"{state_directory(store_root)}/steward.lock".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in path.read_bytes():
                return int(path.parent.name)
        except OSError:
            continue
    raise AssertionError("no steward runs")


class upstream:
    """A name server that knows one address for every name, on a loopback address of its own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._asked: list[bytes] = []

    def __enter__(self) -> list[bytes]:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((self._address, 53))
        threading.Thread(target=self._answer, daemon=True).start()
        return self._asked

    def _answer(self) -> None:
        while True:
            try:
                packet, asker = self._socket.recvfrom(4096)
            except OSError:
                return
            self._asked.append(packet)
            end = packet.index(b"\0", 12) + 5
            record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04" + socket.inet_aton("192.0.2.77")
            head = packet[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0"
            self._socket.sendto(head + packet[12:end] + record, asker)

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_names_walls_ports_and_none_at_one_go(lamella: Lamella, serve: Serve) -> None:
    """What a user tries first, on three networks that are there at once."""
    for words in (("na",), ("nb",), ("--internal", "ni")):
        lamella("network", "create", *words)
    serve("web", "--network", "na", "-p", "127.0.0.1:0:80")
    port = int(lamella("port", "web", "80").stdout.rpartition(":")[2])
    there = address(lamella, "web", "na")
    assert (
        ask(lamella, "na", "http://web/") == fetch("127.0.0.1", port) == ask(lamella, "na", f"http://{there}/") == "web"
    )
    assert [ask(lamella, name, f"http://{there}/") for name in ("nb", "ni", "bridge")] == [""] * 3
    assert "default" not in lamella("run", "--rm", "--network", "ni", "bb", "ip", "route").stdout
    assert lamella("run", "--rm", "--network", "none", "bb", "ls", "/sys/class/net").stdout == "lo\n"


class TestWalls:
    def test_no_packet_goes_between_two_bridges(self, lamella: Lamella, serve: Serve) -> None:
        for name in ("na", "nb"):
            lamella("network", "create", name)
        serve("web", "--network", "na")
        there = address(lamella, "web", "na")
        assert ask(lamella, "na", f"http://{there}/") == "web"
        assert ask(lamella, "nb", f"http://{there}/") == ""
        for name, network in (("near", "na"), ("far", "nb")):
            lamella("run", "-d", "--name", name, "--network", network, "bb", "sleep", "60")
        with socket_in(lamella, "web", 99) as heard:
            for name in ("far", "near"):
                with socket_in(lamella, name, 0) as sock:
                    sock.sendto(name.encode(), (there, 99))
            heard.settimeout(2)
            assert heard.recv(100) == b"near"
            heard.settimeout(0.2)
            with pytest.raises(TimeoutError):
                heard.recv(100)
        said = lamella("run", "--rm", "--network", "nb", "bb", "ping", "-c", "1", "-W", "1", there, check=False)
        assert said.returncode == 1 and "100% packet loss" in said.stdout

    def test_an_internal_network_has_no_way_out_and_none_in(self, lamella: Lamella, serve: Serve) -> None:
        lamella("network", "create", "--internal", "ni")
        lamella("network", "create", "na")
        serve("web", "--network", "ni")
        serve("far", "--network", "na")
        assert ask(lamella, "ni", "http://web/") == "web"
        assert "default" not in lamella("run", "--rm", "--network", "ni", "bb", "ip", "route").stdout
        there = address(lamella, "far", "na")
        script = f"ip route add default via $(ip route | sed -n 's,/.*,,;s,0$,1,p'); timeout 2 wget -qO- http://{there}/; false"
        said = lamella(
            "run", "--rm", "--cap-add", "NET_ADMIN", "--network", "ni", "bb", "sh", "-c", script, check=False
        )
        assert said.returncode and said.stdout == ""
        assert ask(lamella, "na", f"http://{address(lamella, 'web', 'ni')}/") == ""

    def test_containers_of_a_network_without_icc_reach_no_other_but_by_a_published_port(
        self, lamella: Lamella, serve: Serve
    ) -> None:
        lamella("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "nc")
        port = free_port()
        serve("web", "--network", "nc", "-p", f"{port}:80")
        assert ask(lamella, "nc", "http://web/") == ""
        gateway = lamella("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "nc").stdout.strip()
        assert ask(lamella, "nc", f"http://{gateway}:{port}/") == "web"

    def test_a_container_cannot_reach_the_host_s_loopback(self, lamella: Lamella, bb: str) -> None:
        lamella("network", "create", "na")
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            script = (
                "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via $(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p');"
                f"timeout 1 nc -w 1 127.0.0.1 {port} < /dev/null && echo reached"
            )
            said = lamella(
                "run", "--rm", "--cap-add", "NET_ADMIN", "--network", "na", bb, "sh", "-c", script, check=False
            )
            assert "reached" not in said.stdout
            server.settimeout(0.1)
            with pytest.raises(TimeoutError):
                server.accept()


def socket_in(lamella: Lamella, name: str, port: int) -> socket.socket:
    """A UDP socket in the sandbox of a running container."""
    pid = lamella("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    with Sandbox.open(Path(f"/proc/{pid}/ns/net")) as sandbox, sandbox.entered():
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", port))
        return sock
