"""Hosts made of namespaces: each has a network and mounts of its own, all hang on one bridge, and end with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from runtime.state import state_directory
from tests.conftest import ROOT

PREFIX = "192.0.2"  # for documentation (RFC 5737): no real network has it
_SETTLE = """
cgroups=$(mktemp -d)
mount --rbind /sys/fs/cgroup "$cgroups" && mount -t sysfs sysfs /sys && mount --rbind "$cgroups" /sys/fs/cgroup
umount -l "$cgroups"; rmdir "$cgroups"
ip link set lo up
echo settled
exec cat
"""


class Host:
    """A network and a mount namespace, held by a process that ends when this one does."""

    def __init__(self, directory: Path, address: str = "") -> None:
        self.address = address
        self.root = directory / "store"
        directory.mkdir()
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-ec", _SETTLE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout and self._holder.stdout.readline() == "settled\n"
        self.inside = ["nsenter", "--target", str(self._holder.pid), "--net", "--mount"]

    @property
    def pid(self) -> int:
        """Of the process that holds its namespaces."""
        return self._holder.pid

    @property
    def state(self) -> Path:
        """Its store's run-time directory."""
        return state_directory(self.root)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A program on the host."""
        return subprocess.run(
            [*self.inside, *command], capture_output=True, text=True, check=check, timeout=120, stdin=subprocess.DEVNULL
        )

    def lamella(self, *words: str, check: bool = True, given: str = "") -> subprocess.CompletedProcess[str]:
        """The command line on the host's own store; raises unless `check=False`."""
        done = subprocess.run(
            [*self.inside, sys.executable, "-m", "lamella", *words], capture_output=True, text=True, timeout=120, cwd=ROOT,
            env={**os.environ, "LAMELLA_ROOT": str(self.root), "PYTHONPATH": str(ROOT)}, input=given,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"lamella {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def processes(self) -> list[int]:
        """All that run in its network namespace or below a container of it, but for its holder."""
        return [pid for pid in _in_namespace(self._holder.pid) if pid != self._holder.pid]

    def kill(self) -> None:
        """As a power cut would: everything on it ends at once, and its cable is out."""
        self.run("ip", "link", "set", "eth0", "down")
        end = time.monotonic() + 30
        while victims := [pid for pid in (*self.processes(), *_below(self.state)) if pid != self._holder.pid]:
            assert time.monotonic() < end, victims
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def end(self) -> None:
        """Harmless to repeat."""
        if self._holder.poll() is None:
            self.kill()
            self._holder.communicate()


def _in_namespace(of: int) -> Iterator[int]:
    wanted = os.stat(f"/proc/{of}/ns/net").st_ino
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            if os.stat(f"/proc/{int(name)}/ns/net").st_ino == wanted:
                yield int(name)


def _below(state: Path) -> Iterator[int]:
    """The keepers whose box is the store's, and so all their containers."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            if f" {state}/box " in Path(f"/proc/{int(name)}/mounts").read_text():
                yield int(name)


@contextlib.contextmanager
def joined_hosts(directory: Path, count: int) -> Iterator[tuple[Host, list[Host]]]:
    """A switch, at 192.0.2.1, and as many hosts on it, from 192.0.2.11 on."""
    with contextlib.ExitStack() as stack:
        switch = Host(directory / "switch", f"{PREFIX}.1")
        stack.callback(switch.end)
        switch.run("ip", "link", "add", "eth0", "type", "bridge")
        switch.run("ip", "addr", "add", f"{switch.address}/24", "dev", "eth0")
        switch.run("ip", "link", "set", "eth0", "up")
        hosts = []
        for number in range(count):
            host = Host(directory / f"host{number}", f"{PREFIX}.{11 + number}")
            stack.callback(host.end)
            _plug(switch, host, f"port{number}")
            hosts.append(host)
        yield switch, hosts


def _plug(switch: Host, host: Host, port: str) -> None:
    switch.run(
        "ip", "link", "add", port, "master", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(host.pid)
    )
    switch.run("ip", "link", "set", port, "up")
    host.run("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
    host.run("ip", "link", "set", "eth0", "up")
    host.run("ip", "route", "add", "default", "via", switch.address)
