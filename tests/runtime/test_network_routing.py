"""A machine that forwarded nothing does not become a router because containers need it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs
from tests.suites.apart import apart

pytestmark = needs("nft", "crun", "conmon", "ip", "busybox")


class Between:
    """A machine `here` between two others, `left` and `right`, whose way to each other leads through it; it forwards nothing."""

    def __init__(self, stack: ExitStack, store: Path) -> None:
        self._store = store
        self.here, self.left, self.right = (stack.enter_context(apart()) for _ in range(3))
        self.do(self.here, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
        for number, side in enumerate((self.left, self.right), 1):
            name, pid = f"leg{number}", side[1].split("/")[2]
            self.do(self.here, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", pid)
            self.do(self.here, "ip", "addr", "add", f"10.66.{number}.1/24", "dev", name)
            self.do(self.here, "ip", "link", "set", name, "up")
            self.do(side, "ip", "addr", "add", f"10.66.{number}.2/24", "dev", "eth0")
            self.do(side, "ip", "link", "set", "eth0", "up")
            self.do(side, "ip", "route", "add", "default", "via", f"10.66.{number}.1")

    def do(self, there: list[str], *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environ = {
            **os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LAMELLA_ROOT": str(self._store),
            "LAMELLA_NETWORK": "bridge", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        done = subprocess.run([*there, *words], capture_output=True, text=True, env=environ, cwd=ROOT, timeout=120)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def lamella(self, *words: str) -> str:
        return self.do(self.here, sys.executable, "-m", "lamella", *words).stdout

    def left_reaches_right(self) -> bool:
        return not self.do(self.left, "busybox", "ping", "-c1", "-W2", "10.66.2.2", check=False).returncode


@pytest.fixture
def machine(store_root: Path) -> Iterator[Between]:
    with ExitStack() as stack:
        yield Between(stack, store_root)


def test_what_lamella_switches_on_is_for_containers_alone(machine: Between, bb: str) -> None:
    assert not machine.left_reaches_right()
    machine.lamella("run", "--rm", bb, "ping", "-c1", "-W9", "10.66.2.2")
    assert machine.do(machine.here, "cat", "/proc/sys/net/ipv4/ip_forward").stdout == "1\n"
    assert not machine.left_reaches_right()
    machine.do(machine.here, "nft", "delete", "table", "ip", "lamella_forwarding")  # that is what keeps them apart
    assert machine.left_reaches_right()


def test_a_machine_that_forwards_already_goes_on(machine: Between, bb: str) -> None:
    machine.do(machine.here, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    machine.lamella("run", "--rm", bb, "ping", "-c1", "-W9", "10.66.2.2")
    assert machine.left_reaches_right()
    assert "lamella_forwarding" not in machine.do(machine.here, "nft", "list", "tables").stdout
