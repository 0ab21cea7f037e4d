"""kill -9 between any two steps of coming onto a network and off it: the next command finds nothing that stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from network.hub import Hub
from runtime.state import state_directory
from tests.conftest import ROOT, Lamella, free_port, needs
from tests.runtime.test_networks import _nothing_of_networks_is_left, fetch, left_on_the_machine, reaches_nothing, serve

__all__ = ["_nothing_of_networks_is_left", "serve"]

pytestmark = needs("nft", "crun", "conmon")

KILLS = 10
COMING = (
    "network.sandbox:Sandbox.create", "network.ports:Held.take", "network.ipam:take", "network.links:add_bridge", "network.links:switch_on",
    "network.firewall:Firewall.replace", "network.firewall:Firewall.publish", "network.links:add_veth",
    "network.bridge:configure", "runtime.joining:introduce",
)  # fmt: skip
MAKING = ("network.links:add_bridge", "network.links:switch_on", "network.firewall:Firewall.replace")
GOING = ("network.hub:Hub.detach", "network.firewall:Firewall.unpublish", "network.tables:Networks.delete_endpoint")

# The command, killed the moment before or after it has done one step.
PROGRAM = """
import functools, importlib, os, signal, sys
step, moment = sys.argv[1:3]
del sys.argv[1:3]
module, _, path = step.partition(":")
owner = importlib.import_module(module)
*classes, name = path.split(".")
for one in classes:
    owner = getattr(owner, one)
real = getattr(owner, name)
def killed(*given, **named):
    if moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*(given[1:] if getattr(real, "__self__", None) is owner else given), **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, classmethod(killed) if getattr(real, "__self__", None) is owner else killed)
from lamella.__main__ import main
sys.exit(main())
"""


def kill_at(store_root: Path, step: str, number: int, *words: str) -> None:
    """Run the command and see it killed at that step."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, step, ("before", "after")[number % 2], *words], timeout=60, cwd=ROOT,
        env={**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": str(ROOT)}, capture_output=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def settled(store_root: Path) -> bool:
    """Whether no endpoint, interface or table is left; what is killed takes a moment to be gone from the kernel."""
    state = state_directory(store_root)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with Hub(store_root, state) as hub:
            if not hub.networks.used() and left_on_the_machine(state) == []:
                return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("step", COMING)
def test_killed_while_it_comes_onto_a_network(
    lamella: Lamella, bb: str, store_root: Path, step: str, serve: object, capsys: pytest.CaptureFixture[str]
) -> None:
    lamella("network", "create", "na")
    port = free_port()
    flags = ["--network", "na", "-p", f"127.0.0.1:{port}:80"]
    if step.endswith("Firewall.publish"):  # which is done where the bridge is up
        lamella("run", "-d", "--name", "there", "--network", "na", bb, "sleep", "100")
    for number in range(KILLS):
        kill_at(store_root, step, number, "run", "-d", *flags, bb, "sleep", "100")
        if step in MAKING:  # what is made is found by the next, and not made again
            lamella("network", "prune", "-f")
            lamella("network", "create", "na")
    if step.endswith("Firewall.publish"):
        lamella("rm", "-f", "there")
    said = lamella("network", "prune", "-f").stdout
    assert said == "Deleted Networks:\nna\n\n" and settled(store_root)
    lamella("network", "create", "na")
    lamella("run", "-d", *flags, bb, "sh", "-c", "mkdir /w; echo up > /w/index.html; exec httpd -f -h /w")
    end = time.monotonic() + 5
    while reaches_nothing("127.0.0.1", port):
        assert time.monotonic() < end
    assert fetch("127.0.0.1", port) == "up"
    with capsys.disabled():
        sys.stdout.write(f"\n{KILLS} kills at {step}: nothing is left")


@pytest.mark.parametrize("step", GOING)
def test_killed_while_it_goes_off_a_network(
    lamella: Lamella, bb: str, store_root: Path, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lamella("network", "create", "na")
    port = free_port()
    for number in range(KILLS):
        words = ("run", "--rm", "--network", "na", "-p", f"127.0.0.1:{port}:80", bb, "true")
        kill_at(store_root, step, number, *words)
    assert lamella("run", "--rm", "--network", "na", "-p", f"127.0.0.1:{port}:80", bb, "echo", "x").stdout == "x\n"
    lamella("network", "rm", "na")
    assert settled(store_root)
    with capsys.disabled():
        sys.stdout.write(f"\n{KILLS} kills at {step}: nothing is left")
