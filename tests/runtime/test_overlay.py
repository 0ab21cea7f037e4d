"""Overlay networks between hosts made of namespaces, with a real etcd: real packets, real deaths."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from network.overlay import LEASE
from tests.conftest import ROOT, needs
from tests.suites.etcds import OwnEtcd
from tests.suites.hosts import Host, joined_hosts

pytestmark = needs("nft", "crun", "conmon", "etcd", "ip", "nsenter", "unshare")

SERVE = "mkdir -p /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w"
LEASE_SECONDS = 5
Hosts = list[Host]


class Lab:
    """The hosts, the switch that they hang on, and the etcd on it."""

    def __init__(self, switch: Host, hosts: Hosts, etcd: OwnEtcd) -> None:
        self.switch, self.hosts, self.etcd = switch, hosts, etcd


@pytest.fixture(scope="module")
def base_store(rootfs_tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the image `bb`, to be copied."""
    context, root = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("stores") / "store"
    shutil.copy(rootfs_tar, context)
    (context / "Dockerfile").write_text('FROM scratch\nADD rootfs.tar.gz /\nCMD ["/bin/sh"]\n')
    subprocess.run(
        [sys.executable, "-m", "lamella", "build", "-q", "-t", "bb", context], cwd=ROOT, check=True, capture_output=True,
        env={**os.environ, "LAMELLA_ROOT": str(root), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return root


@pytest.fixture
def lab(tmp_path: Path, base_store: Path) -> Iterator[Lab]:
    """Three hosts with the image `bb`, told of one etcd."""
    with joined_hosts(tmp_path, 3) as (switch, hosts), OwnEtcd(tmp_path, switch.address, switch.inside) as etcd:
        for host in hosts:
            copied(base_store, host, etcd)
        yield Lab(switch, hosts, etcd)


def copied(store: Path, host: Host, etcd: OwnEtcd) -> None:
    """The host has a copy of the store, and knows the etcd."""
    shutil.copytree(store, host.root, symlinks=True)
    host.lamella("network", "cluster", "--etcd", etcd.url, "--lease", str(LEASE_SECONDS))


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def serve(host: Host, name: str, *flags: str) -> None:
    host.lamella("run", "-d", "--name", name, "--hostname", name, *flags, "bb", "sh", "-c", SERVE)
    until(lambda: host.lamella("exec", name, "wget", "-qO-", "http://127.0.0.1/", check=False).returncode == 0)


def ask(host: Host, url: str, network: str = "ov") -> str:
    """What a new container of the host's gets from `url`; empty for nothing."""
    script = f"timeout 3 wget -qO- {url}; true"
    return host.lamella("run", "--rm", "--network", network, "bb", "sh", "-c", script).stdout.strip()


def resolves(host: Host, container: str, name: str) -> bool:
    said = host.lamella("exec", container, "timeout", "1", "nslookup", "-type=a", name, check=False)
    return said.returncode == 0 and "10.0." in said.stdout.partition("Name:")[2]


def agents(host: Host) -> list[int]:
    return [pid for pid in host.processes() if _name(pid) == "lamella-agent"]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def entries(host: Host) -> str:
    """What the kernel knows of endpoints on other hosts."""
    return host.run("sh", "-c", "bridge fdb show; ip neigh show nud permanent").stdout


def test_containers_on_different_hosts_reach_each_other_by_address_and_name(lab: Lab) -> None:
    first, second, third = lab.hosts
    id = first.lamella("network", "create", "-d", "overlay", "--attachable", "ov").stdout.strip()
    serve(first, "web", "--network", "ov", "--network-alias", "shop")
    assert [
        row.split()[1:] for row in second.lamella("network", "ls", "-f", "driver=overlay").stdout.splitlines()[1:]
    ] == [["ov", "overlay", "global"]]
    assert [ask(second, f"http://{name}/") for name in ("web", "shop", "web.ov")] == ["web"] * 3
    serve(third, "db", "--network", "ov")  # whose catalog has never heard of the network
    there = json.loads(third.lamella("network", "inspect", "ov").stdout)[0]
    assert there["Id"] == id and there["Scope"] == "global"
    until(lambda: first.lamella("exec", "web", "wget", "-qO-", "http://db/", check=False).stdout == "db\n")
    address = third.lamella("inspect", "-f", "{{.NetworkSettings.Networks.ov.IPAddress}}", "db").stdout.strip()
    assert ask(first, f"http://{address}/") == "db" == ask(second, f"http://{address}/")
    said = first.lamella("exec", "web", "nslookup", address).stdout
    assert "name = db.ov" in said
    said = first.lamella("run", "--rm", "--network", "ov", "bb", "ip", "link", "show", "eth0").stdout
    assert "mtu 1450" in said
    assert (
        first.lamella("exec", "web", "ping", "-c", "1", "-s", "1422", "-W", "5", "db").returncode == 0
    )  # a full frame


def test_ports_and_ways_out_are_those_of_a_bridge_and_an_internal_network_has_none(lab: Lab) -> None:
    first, second, _ = lab.hosts
    first.lamella("network", "create", "-d", "overlay", "ov")
    first.lamella("network", "create", "-d", "overlay", "--internal", "--ipv6", "vault")
    serve(first, "web", "--network", "ov", "-p", "8080:80")
    assert lab.switch.run("curl", "-s", "-m", "5", f"http://{first.address}:8080/").stdout == "web\n"
    assert ask(second, f"http://{first.address}:8080/") == "web"  # out of its host, and in by the other's port
    serve(first, "safe", "--network", "vault")
    assert ask(second, "http://safe/", "vault") == "safe" and ask(second, "http://safe/") == ""
    assert ask(second, f"http://{first.address}:8080/", "vault") == ""
    v6 = first.lamella("inspect", "-f", "{{.NetworkSettings.Networks.vault.GlobalIPv6Address}}", "safe").stdout.strip()
    assert v6.startswith("fd") and ask(second, f"http://[{v6}]/", "vault") == "safe"


def test_a_host_that_dies_is_forgotten_when_its_lease_ends(lab: Lab) -> None:
    first, second, third = lab.hosts
    first.lamella("network", "create", "-d", "overlay", "ov")
    serve(first, "web", "--network", "ov")
    serve(third, "db", "--network", "ov")
    until(lambda: resolves(first, "web", "db"))
    assert f"dst {third.address}" in entries(first)
    third.kill()
    until(lambda: not resolves(first, "web", "db"))
    assert f"dst {third.address}" not in entries(first) and "10.0.1." not in entries(first)
    assert second.lamella("network", "rm", "ov", check=False).returncode == 1  # there is still the first
    assert ask(second, "http://web/") == "web"
    first.lamella("rm", "-f", "web")
    assert second.lamella("network", "rm", "ov").stdout == "ov\n"
    assert "ov" not in first.lamella("network", "ls", "--format", "{{.Name}}").stdout.split()


def test_while_etcd_is_away_containers_go_on_and_changes_fail_and_are_taken_up_later(lab: Lab) -> None:
    first, second, third = lab.hosts
    first.lamella("network", "create", "-d", "overlay", "ov")
    serve(first, "web", "--network", "ov")
    serve(second, "db", "--network", "ov")
    assert third.lamella("network", "ls", "-q", "-f", "name=ov").stdout
    second.lamella("run", "-d", "--name", "brief", "--network", "ov", "bb", "sleep", "1000")
    until(lambda: resolves(first, "web", "brief") and resolves(first, "web", "db"))
    lab.etcd.stop()
    for words in (
        ("run", "--rm", "--network", "ov", "bb", "true"),
        ("network", "create", "-d", "overlay", "other"),
        ("network", "rm", "ov"),
    ):
        said = third.lamella(*words, check=False)
        assert said.returncode and "etcd does not answer at http://192.0.2.1:" in said.stderr, (words, said.stderr)
    listed = first.lamella("network", "ls", "--format", "{{.Name}}")
    assert "ov" in listed.stdout.split() and listed.stderr.startswith("WARNING: etcd does not answer")
    assert second.lamella("rm", "-f", "brief").stdout == "brief\n"
    time.sleep(LEASE_SECONDS + 1)  # longer than any lease
    assert first.lamella("exec", "web", "wget", "-qO-", "http://db/").stdout == "db\n"
    lab.etcd.start()
    until(lambda: not resolves(first, "web", "brief"))
    until(lambda: resolves(first, "web", "db"))
    assert ask(first, "http://db/") == "db"


def test_hosts_that_allocate_at_once_never_give_out_the_same(lab: Lab) -> None:
    hosts, count = lab.hosts[:2], 4
    with ThreadPoolExecutor(4) as pool:
        made = list(
            pool.map(lambda n: hosts[n % 2].lamella("network", "create", "-d", "overlay", f"n{n}"), range(2 * count))
        )
        same = list(
            pool.map(lambda host: host.lamella("network", "create", "-d", "overlay", "one", check=False), hosts)
        )
    assert len({done.stdout for done in made}) == 2 * count and sorted(done.returncode for done in same) == [0, 1]
    template = "{{(index .IPAM.Config 0).Subnet}} {{json .Options}}"
    said = [hosts[0].lamella("network", "inspect", "-f", template, f"n{n}").stdout.split() for n in range(2 * count)]
    assert len({words[0] for words in said}) == len({words[1] for words in said}) == 2 * count
    with ThreadPoolExecutor(4) as pool:
        flags = ("run", "-d", "--network", "one", "bb", "sleep", "1000")
        ids = list(pool.map(lambda n: hosts[n % 2].lamella(*flags).stdout.strip(), range(2 * count)))
    where = "{{.NetworkSettings.Networks.one.IPAddress}}"
    given = [hosts[n % 2].lamella("inspect", "-f", where, id).stdout.strip() for n, id in enumerate(ids)]
    assert len(set(given)) == 2 * count and all(address.startswith("10.0.") for address in given)


def test_the_agent_starts_with_the_first_container_and_ends_when_idle(lab: Lab) -> None:
    host = lab.hosts[0]
    host.lamella("network", "create", "-d", "overlay", "ov")
    host.lamella("network", "create", "plain")
    host.lamella("run", "--rm", "--network", "plain", "bb", "true")
    assert agents(host) == []
    for name in ("box1", "box2"):
        host.lamella("run", "-d", "--name", name, "--network", "ov", "bb", "sleep", "1000")
    assert len(agents(host)) == 1 and (host.state / LEASE).exists()
    assert "is at work already" in host.lamella("network", "agent", check=False).stderr
    host.lamella("rm", "-f", "box1", "box2")
    until(lambda: not agents(host) and not host.processes())
    assert not (host.state / LEASE).exists() and "vx-" not in host.run("ip", "link").stdout
    assert host.lamella("network", "rm", "ov").stdout == "ov\n"


def test_an_agent_that_was_killed_is_started_again_and_knows_everything(lab: Lab) -> None:
    first, second, _ = lab.hosts
    first.lamella("network", "create", "-d", "overlay", "ov")
    serve(first, "web", "--network", "ov")
    for pid in agents(first):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not agents(first))
    serve(second, "db", "--network", "ov")
    first.lamella("ps")
    until(lambda: first.lamella("exec", "web", "wget", "-qO-", "http://db/", check=False).stdout == "db\n")
    time.sleep(LEASE_SECONDS + 1)  # the killed one's lease is over, and nothing of this host's hung on it any more
    assert ask(second, "http://web/") == "web"
