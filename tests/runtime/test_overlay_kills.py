"""kill -9 between any two steps of coming onto an overlay network and off it: neither the host nor etcd keeps anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs
from tests.runtime.test_network_kills import PROGRAM
from tests.runtime.test_overlay import base_store, copied, until
from tests.suites.etcds import OwnEtcd
from tests.suites.hosts import Host, joined_hosts

__all__ = ["base_store"]

pytestmark = needs("nft", "crun", "conmon", "etcd", "ip", "nsenter", "unshare")

COMING = (
    "network.overlay.driver:Overlay.claim", "network.bridge:Bridge.attach", "network.overlay.vxlan:add",
    "network.overlay.vxlan:settle",
)  # fmt: skip
GOING = (
    "network.bridge:Bridge.detach",
    "network.overlay.driver:Overlay._release",
    "network.tables:Networks.delete_endpoint",
)


@pytest.fixture
def lone(tmp_path: Path, base_store: Path) -> Iterator[tuple[Host, OwnEtcd]]:
    """One host and its etcd."""
    with joined_hosts(tmp_path, 1) as (switch, (host,)), OwnEtcd(tmp_path, switch.address, switch.inside) as etcd:
        copied(base_store, host, etcd)
        yield host, etcd


def kill_at(host: Host, step: str, moment: str, *words: str) -> None:
    """Run the command and see it killed at that step."""
    done = subprocess.run(
        [*host.inside, sys.executable, "-c", PROGRAM, step, moment, *words], timeout=60, cwd=ROOT, capture_output=True,
        env={**os.environ, "LAMELLA_ROOT": str(host.root), "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), done.stderr


def nothing_is_left(host: Host, etcd: OwnEtcd) -> bool:
    """Neither on the host, when its processes have ended, nor in etcd."""
    links = host.run("ip", "-o", "link").stdout
    tables = host.run("nft", "list", "tables").stdout
    return not host.processes() and not any(word in links for word in ("vx-", "br-", "veth")) and not tables and (
        etcd.keys() == ["/lamella/turn"]
    )  # fmt: skip


def test_killed_while_it_comes_onto_a_network(lone: tuple[Host, OwnEtcd]) -> None:
    host, etcd = lone
    for step in COMING:
        for moment in ("before", "after"):
            host.lamella("network", "create", "-d", "overlay", "ov")
            kill_at(host, step, moment, "run", "-d", "--network", "ov", "bb", "sleep", "1000")
            assert host.lamella("run", "--rm", "--network", "ov", "bb", "echo", "up").stdout == "up\n"
            assert host.lamella("network", "rm", "ov").stdout == "ov\n", (step, moment)
    host.lamella("network", "prune", "-f")
    until(lambda: nothing_is_left(host, etcd))


def test_killed_while_it_goes_off_a_network(lone: tuple[Host, OwnEtcd]) -> None:
    host, etcd = lone
    host.lamella("network", "create", "-d", "overlay", "ov")
    for step in GOING:
        for moment in ("before", "after"):
            kill_at(host, step, moment, "run", "--rm", "--network", "ov", "bb", "true")
    assert host.lamella("run", "--rm", "--network", "ov", "bb", "echo", "up").stdout == "up\n"
    assert host.lamella("network", "rm", "ov").stdout == "ov\n"
    host.lamella("network", "prune", "-f")
    until(lambda: nothing_is_left(host, etcd))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_while_a_network_is_made_or_removed_it_is_there_or_it_is_not(
    lone: tuple[Host, OwnEtcd], moment: str
) -> None:
    host, etcd = lone
    kill_at(host, "network.overlay.etcd:Etcd.commit", moment, "network", "create", "-d", "overlay", "ov")
    there = host.lamella("network", "ls", "-q", "-f", "name=ov").stdout != ""
    assert there == (moment == "after")
    assert (host.lamella("network", "create", "-d", "overlay", "ov", check=False).returncode == 0) == (not there)
    kill_at(host, "network.overlay.etcd:Etcd.commit", moment, "network", "rm", "ov")
    there = host.lamella("network", "ls", "-q", "-f", "name=ov").stdout != ""
    assert there == (moment == "before")
    host.lamella("network", "prune", "-f")
    until(lambda: nothing_is_left(host, etcd))
