"""A network of its own for each program that is compared: what it does to interfaces, rules and ports stays there."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence

from core import syscalls

_OWN = "/proc/thread-self/ns/net"
_SWITCH_ON = ("ip", "link", "set", "lo", "up")
# crun starts nothing on a machine with both kinds of cgroups unless it does not see the unified one.
_UNSHARE = "umount /sys/fs/cgroup/unified 2>/dev/null; echo; exec sleep infinity"


class Ground:
    """A network namespace with nothing but a loopback, for as long as it is open."""

    def __init__(self) -> None:
        before = os.open(_OWN, os.O_RDONLY)
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            self.fd = os.open(_OWN, os.O_RDONLY)
            syscalls.setns(before, syscalls.CLONE_NEWNET)
        finally:
            os.close(before)
        self.run(*_SWITCH_ON)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """For the block, sockets that are made and programs that are started belong to it."""
        with entered(self.fd):
            yield

    def run(self, *words: str) -> str:
        """What a program prints there."""
        with self.entered():
            return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    def without_unified(self) -> Sequence[str]:
        """What to put before a command's words to run it there where mounts are without the unified tree of cgroups."""
        with self.entered():
            keeper = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", _UNSHARE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        assert keeper.stdout is not None
        keeper.stdout.readline()
        return ["nsenter", f"--mount=/proc/{keeper.pid}/ns/mnt", "--"]

    def wired(self, other: Ground) -> str:
        """Another machine's address, after a wire has been laid between the two: `other` finds this one at 192.0.2.1."""
        there = f"/proc/{os.getpid()}/fd/{other.fd}"
        self.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", there)
        for ground, address in ((self, "192.0.2.1/30"), (other, "192.0.2.2/30")):
            ground.run("ip", "address", "add", address, "dev", "wire")
            ground.run("ip", "link", "set", "wire", "up")
        return "192.0.2.1"

    def processes(self) -> set[int]:
        """All that runs in it: not what is in containers with a network of their own."""
        mine = os.fstat(self.fd).st_ino
        found = set()
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}/ns/net").st_ino == mine:
                    found.add(pid)
        return found

    def close(self) -> None:
        """End what still runs in it; the kernel takes the rest away."""
        for _ in range(100):
            left = self.processes()
            if not left:
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        os.close(self.fd)


@contextlib.contextmanager
def entered(namespace: int) -> Iterator[None]:
    """For the block, this thread is in the network namespace behind a descriptor."""
    before = os.open(_OWN, os.O_RDONLY)
    try:
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        try:
            yield
        finally:
            syscalls.setns(before, syscalls.CLONE_NEWNET)
    finally:
        os.close(before)
