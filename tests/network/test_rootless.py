"""Networks of an ordinary user of the machine: bridges in a namespace of the store's own, a way out of it, and ports into it."""

from __future__ import annotations

import contextlib
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

from tests.conftest import free_port, needs
from tests.suites.fileserver import serving
from tests.suites.ordinary import Ordinary

pytestmark = needs("newuidmap", "crun", "conmon", "nft", "pasta", "slirp4netns", "ip")
SERVE = "mkdir /w; echo hello >/w/index.html; exec httpd -f -p 80 -h /w"
PASTA, SLIRP = "/usr/bin/pasta", "/usr/bin/slirp4netns"


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def read(url: str) -> str:
    """What is served there; empty where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def served(host: str) -> Iterator[str]:
    """A server there, until the block ends; its port."""
    with serving(host=host) as site:
        site.files["/"] = b"the page"
        yield site.address.rpartition(":")[2]


@pytest.fixture
def far() -> Iterator[str]:
    """An address of this machine's that is on no interface a container could share."""
    address = f"198.51.100.{os.getpid() % 250 + 1}"
    subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
    yield address
    subprocess.run(["ip", "address", "delete", f"{address}/32", "dev", "lo"], check=True)


@pytest.fixture
def web(user: Ordinary) -> Ordinary:
    """With a web server `web` on the network `net`."""
    user.lamella("network", "create", "net")
    user.lamella("run", "-d", "--name", "web", "--network", "net", "bb", "sh", "-c", SERVE)
    until(lambda: user.lamella("exec", "web", "wget", "-qO-", "http://127.0.0.1/", check=False).stdout)
    return user


def test_without_a_word_a_container_has_a_network_of_its_own(user: Ordinary) -> None:
    ran = user.lamella("run", "--rm", "bb", "ip", "address", "show", "dev", "eth0")
    assert "172." in ran.stdout and ran.stderr == ""


@pytest.mark.parametrize("hidden", [(), (PASTA,)], ids=["pasta", "slirp4netns"])
def test_a_container_reaches_the_world_but_not_what_is_the_hosts_alone(
    user: Ordinary, far: str, hidden: tuple[str, ...]
) -> None:
    user.hidden = hidden
    with served(far) as outside, served("127.0.0.1") as inside:
        script = f"""
            wget -qO- http://{far}:{outside}/
            gateway=$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p')
            for host in $gateway {"10.0.2.2" if hidden else ""}; do wget -qO- http://$host:{inside}/; done
            :
        """
        assert user.lamella("run", "--rm", "bb", "sh", "-c", script).stdout == "the page"


def test_a_published_port_leads_in_while_the_container_runs_and_is_free_afterwards(user: Ordinary) -> None:
    port = free_port()
    user.lamella("run", "-d", "--name", "web", "-p", f"127.0.0.1:{port}:80", "bb", "sh", "-c", SERVE)
    until(lambda: read(f"http://127.0.0.1:{port}/") == "hello\n")
    assert user.lamella("port", "web").stdout == f"80/tcp -> 127.0.0.1:{port}\n"
    again = user.lamella("run", "--rm", "-p", f"127.0.0.1:{port}:80", "bb", "true", check=False)
    assert again.returncode == 125 and "port is already allocated" in again.stderr
    user.lamella("rm", "-f", "web")
    until(lambda: is_free(port))


def test_a_large_answer_comes_whole_through_a_published_port_and_many_at_once(user: Ordinary) -> None:
    port, size = free_port(), 20 << 20
    make = f"mkdir /w; head -c {size} /dev/zero >/w/big; exec httpd -f -p 80 -h /w"
    user.lamella("run", "-d", "--name", "web", "-p", f"127.0.0.1:{port}:80", "bb", "sh", "-c", make)
    until(lambda: len(read(f"http://127.0.0.1:{port}/big")) == size)
    sizes: list[int] = []
    threads = [
        threading.Thread(target=lambda: sizes.append(len(read(f"http://127.0.0.1:{port}/big")))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [size] * 8


def test_a_port_below_1024_says_what_an_ordinary_user_may_publish(user: Ordinary) -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 1024:
        pytest.skip("here everybody may listen there")
    refused = user.lamella("run", "--rm", "-p", "127.0.0.1:81:80", "bb", "true", check=False)
    assert refused.returncode == 125 and "from port 1024 on" in refused.stderr


def test_a_foreground_container_publishes_too_and_kill_9_leaves_nothing(user: Ordinary) -> None:
    port = free_port()
    run = user.start(user.command("run", "--rm", "-p", f"127.0.0.1:{port}:80", "bb", "sh", "-c", SERVE))
    until(lambda: read(f"http://127.0.0.1:{port}/") == "hello\n")
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=30)
    assert user.is_quiet()
    until(lambda: is_free(port))


def test_containers_find_each_other_by_name_on_a_network_of_the_users_own(web: Ordinary) -> None:
    assert web.lamella("run", "--rm", "--network", "net", "bb", "wget", "-qO-", "http://web/").stdout == "hello\n"


def test_a_running_container_is_connected_and_disconnected(web: Ordinary) -> None:
    web.lamella("network", "create", "other")
    ask = ("run", "--rm", "--network", "other", "bb", "wget", "-qO-", "http://web/")
    assert web.lamella(*ask, check=False).stdout == ""
    web.lamella("network", "connect", "other", "web")
    assert web.lamella(*ask).stdout == "hello\n"
    web.lamella("network", "disconnect", "other", "web")
    assert web.lamella(*ask, check=False).stdout == ""
    web.lamella("network", "rm", "other")


def test_bridges_are_walled_off_from_each_other(web: Ordinary) -> None:
    found = json.loads(web.lamella("inspect", "web").stdout)[0]
    address = found["NetworkSettings"]["Networks"]["net"]["IPAddress"]
    ask = ("bb", "sh", "-c", f"timeout 2 wget -qO- http://{address}/; :")
    assert web.lamella("run", "--rm", *ask, check=False).stdout == ""
    assert web.lamella("run", "--rm", "--network", "net", *ask).stdout == "hello\n"


def test_a_network_without_talk_inside_keeps_its_containers_apart(user: Ordinary) -> None:
    user.lamella("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "quiet")
    user.lamella("run", "-d", "--name", "web", "--network", "quiet", "bb", "sh", "-c", SERVE)
    until(lambda: user.lamella("exec", "web", "wget", "-qO-", "http://127.0.0.1/", check=False).stdout)
    ask = ("bb", "sh", "-c", "timeout 2 wget -qO- http://web/; :")
    assert user.lamella("run", "--rm", "--network", "quiet", *ask, check=False).stdout == ""
    assert user.lamella("run", "--rm", "--network", "container:web", *ask).stdout == "hello\n"


def test_the_networks_way_out_ends_with_the_last_container(web: Ordinary) -> None:
    holder = next(int(p.read_text().split()[0]) for p in (web.root / "run/lamella").glob("*/netns"))
    children = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
    assert any("pasta" in Path(f"/proc/{child}/cmdline").read_text() for child in children)
    web.lamella("rm", "-f", "web")
    assert web.is_quiet()
    until(lambda: not any(Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_text() for child in children))  # fmt: skip


def test_where_nothing_leads_out_it_is_said_what_to_install(user: Ordinary) -> None:
    user.hidden = (PASTA, SLIRP)
    ran = user.lamella("run", "--rm", "bb", "true")
    assert "has the host's network, since neither pasta nor slirp4netns is installed" in ran.stderr
    refused = user.lamella("run", "--rm", "-p", "80", "bb", "true", check=False)
    assert refused.returncode == 125 and "install passt or slirp4netns" in refused.stderr


def test_two_stores_have_networks_of_their_own(user: Ordinary) -> None:
    other = user.home / "other"
    user.lamella("save", "-o", "bb.tar", "bb")
    user.lamella("--root", other, "load", "-q", "-i", "bb.tar")
    addresses = set()
    for root in (user.root, other):
        user.lamella("--root", root, "run", "-d", "--name", "web", "bb", "sh", "-c", SERVE)
        found = json.loads(user.lamella("--root", root, "inspect", "web").stdout)[0]
        addresses.add(found["NetworkSettings"]["IPAddress"])
    assert len(addresses) == 1
    user.lamella("--root", other, "rm", "-f", "web")
