"""Containers on bridges: real namespaces, real packets."""

from __future__ import annotations

import json
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


class TestPorts:
    def test_a_port_answers_on_loopback_on_the_host_s_addresses_and_from_inside(
        self, lamella: Lamella, serve: Serve
    ) -> None:
        lamella("network", "create", "na")
        port = free_port()
        serve("web", "--network", "na", "-p", f"{port}:80")
        gateway = lamella("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "na").stdout.strip()
        assert fetch("127.0.0.1", port) == "web" and fetch(gateway, port) == "web"
        assert ask(lamella, "na", f"http://{gateway}:{port}/") == "web"
        said = lamella("exec", "web", "timeout", "2", "wget", "-qO-", f"http://{gateway}:{port}/")
        assert said.stdout.strip() == "web"
        assert lamella("ps", "--format", "{{.Ports}}").stdout == f"0.0.0.0:{port}->80/tcp\n"

    def test_a_port_of_one_address_is_not_on_the_others(self, lamella: Lamella, serve: Serve) -> None:
        lamella("network", "create", "na")
        port = free_port()
        serve("web", "--network", "na", "-p", f"127.0.0.1:{port}:80")
        gateway = lamella("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "na").stdout.strip()
        assert fetch("127.0.0.1", port) == "web" and reaches_nothing(gateway, port)

    def test_a_port_that_is_taken_is_said_in_docker_s_words_and_free_when_its_container_is_gone(
        self, lamella: Lamella, serve: Serve
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

    def test_udp_ranges_and_any_port(self, lamella: Lamella, bb: str) -> None:
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

    def test_all_exposed_ports_are_published_on_free_ones(
        self, lamella: Lamella, make_image: Callable[..., str]
    ) -> None:
        make_image("bb", exposed_ports=("80/tcp", "53/udp"))
        lamella("network", "create", "na")
        lamella("run", "-d", "--name", "web", "--network", "na", "-P", "--expose", "81", "bb", "sh", "-c", SERVE)
        found = json.loads(lamella("inspect", "-f", "{{json .NetworkSettings.Ports}}", "web").stdout)
        assert sorted(found) == ["53/udp", "80/tcp", "81/tcp"]
        assert all(one[0]["HostPort"].isdecimal() for one in found.values())

    def test_the_asker_s_real_address_arrives(self, lamella: Lamella, bb: str, tmp_path: Path) -> None:
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

    def test_a_thousand_ports_are_one_rule_and_no_process_more(
        self, lamella: Lamella, bb: str, store_root: Path
    ) -> None:
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
        self, lamella: Lamella, serve: Serve, store_root: Path
    ) -> None:
        lamella("network", "create", "na")
        port = free_port()
        serve("web", "--network", "na", "-p", f"{port}:80")
        table = Firewall(state_directory(store_root)).table
        subprocess.run(["nft", "delete", "table", "inet", table], check=True)
        lamella("run", "--rm", "--network", "na", "bb", "true")
        assert fetch("127.0.0.1", port) == "web"

    def test_a_bridge_has_the_name_that_is_asked_for_but_no_other_s(self, lamella: Lamella, bb: str) -> None:
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
            assert (
                said.returncode == 125 and f"the interface {name} exists already, and is not lamella's" in said.stderr
            )
            lamella("network", "rm", "na")
            assert subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode == 0
        finally:
            subprocess.run(["ip", "link", "del", name], check=True)

    def test_the_host_s_own_firewall_has_the_last_word(self, lamella: Lamella, serve: Serve) -> None:
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
            rules = f"table inet {name} {{ chain f {{ type filter hook forward priority 0; iifname lv{name[2:]} drop; }}; }}"
            subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)
            try:
                assert subprocess.run(ask_from, capture_output=True, check=False).stdout == b""
                assert fetch("127.0.0.1", port) == "web"
            finally:
                subprocess.run(["nft", "delete", "table", "inet", name], check=True)

    def test_a_published_port_alone_asks_for_the_default_bridge(self, lamella: Lamella, serve: Serve) -> None:
        serve("web", "-p", "127.0.0.1:0:80")
        found = json.loads(lamella("inspect", "-f", "{{json .NetworkSettings}}", "web").stdout)
        assert list(found["Networks"]) == ["bridge"]
        assert fetch("127.0.0.1", int(found["Ports"]["80/tcp"][0]["HostPort"])) == "web"

    def test_with_the_host_s_network_ports_are_said_to_be_discarded(self, lamella: Lamella, bb: str) -> None:
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


def socket_in(lamella: Lamella, name: str, port: int) -> socket.socket:
    """A UDP socket in the sandbox of a running container."""
    pid = lamella("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    with Sandbox.open(Path(f"/proc/{pid}/ns/net")) as sandbox, sandbox.entered():
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", port))
        return sock
