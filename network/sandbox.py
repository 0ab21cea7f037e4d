"""The network namespace of one container: made by its keeper, named by a file that only the keeper's mounts have.

Nobody has to remove it: when the keeper and everything below it has ended, the kernel takes it away, with every interface.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from core import syscalls
from core.closing import Closing
from core.rootless import last_group
from network.sysctl import write_sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_OWN = "/proc/thread-self/ns/net"


class Sandbox(Closing):
    """An open network namespace; a context manager."""

    def __init__(self, fd: int, proc: str = "/proc") -> None:
        """`proc` is where the host's processes are to be seen."""
        self.fd = fd
        self._proc = proc

    @property
    def key(self) -> str:
        """A path by which other processes of the host find it, while it is open here."""
        return f"/proc/{os.readlink(f'{self._proc}/self')}/fd/{self.fd}"

    @classmethod
    def create(cls, path: Path, proc: str = "/proc") -> Self:
        """A new one, with a switched on loopback, mounted on the new file `path` in this process's mount namespace."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        before = _way_back()
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            try:
                syscalls.mount(_OWN, path, flags=syscalls.MS_BIND)
                sandbox = cls.open(path, proc)
                _prepare()
            finally:
                syscalls.setns(before, syscalls.CLONE_NEWNET)
        finally:
            os.close(before)
        return sandbox

    @classmethod
    def open(cls, path: Path, proc: str = "/proc") -> Self:
        """The one at `path`. Raises FileNotFoundError."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC), proc)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """For the block, this thread is in it: sockets made, programs started, and /proc/sys/net belong to it."""
        before = _way_back()
        try:
            syscalls.setns(self.fd, syscalls.CLONE_NEWNET)
            try:
                yield
            finally:
                syscalls.setns(before, syscalls.CLONE_NEWNET)
        finally:
            os.close(before)

    def remove_interface(self, name: str) -> None:
        """Harmless to repeat."""
        from network.links import delete
        from network.netlink import Netlink

        with self.entered(), Netlink() as netlink:
            delete(netlink, name)

    def close(self) -> None:
        """Harmless to repeat."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _way_back() -> int:
    """A descriptor of the namespace that this thread is in. From a user namespace nobody comes back into the host's: who is in
    that is first brought into a new one, for good."""
    before = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(before, syscalls.CLONE_NEWNET)
        return before
    except PermissionError:
        os.close(before)
        syscalls.unshare(syscalls.CLONE_NEWNET)
        return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def nowhere() -> Iterator[Sandbox]:
    """For the block, this thread is in a new network namespace, which is gone afterwards."""
    before = _way_back()
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        try:
            with Sandbox(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)) as sandbox:
                yield sandbox
        finally:
            syscalls.setns(before, syscalls.CLONE_NEWNET)
    finally:
        os.close(before)


def move_default_routes(sandbox: Sandbox, wanted: Iterable[tuple[str, str]]) -> None:
    """Let the default routes in the sandbox be these, interface and gateway. Harmless to repeat."""
    from network import links
    from network.netlink import Netlink

    with sandbox.entered(), Netlink() as netlink:
        links.clear_default_routes(netlink)
        for interface, gateway in wanted:
            links.add_default_route(netlink, links.find(netlink, interface), gateway)


def _prepare() -> None:
    from network.links import switch_on
    from network.netlink import Netlink

    with Netlink() as netlink:
        switch_on(netlink, 1)
    # What Docker sets: in here nobody needs to be root for port 80, or for ping.
    write_sysctl("ipv4/ip_unprivileged_port_start", "0")
    write_sysctl("ipv4/ping_group_range", f"0 {last_group()}")
