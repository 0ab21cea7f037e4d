"""Where an ordinary user's bridges are: in a network namespace of the store's own, which pasta or slirp4netns leads out of.

The host's own namespace is not the user's to change. This one is made when the first container is to come onto a bridge, and
kept until the last member of the store's user namespace has ended.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from core import syscalls
from core.errors import Unsupported
from core.locks import FileLock
from core.rootless import find_held, hold
from network.sandbox import Sandbox

_NAME = "netns"
_TUN = "/dev/net/tun"
_PLACES = ("/usr/bin", "/usr/local/bin", "/bin")
_SECONDS = 10.0  # for the way out to be there
INSTALL = "install passt or slirp4netns"
# Neither lets a container reach what listens on the host's loopback addresses.
_PASTA = ("-f", "-q", "--config-net", "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--netns")
_SLIRP = ("--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path")


def outside(state: Path, proc: str = "/proc") -> Sandbox | None:
    """The namespace that the bridges of the store whose run-time state is in `state` are in; None where nobody needs it.
    `proc` is where the host's processes are to be seen."""
    fd = find_held(state, _NAME, "net", proc)
    return None if fd is None else Sandbox(fd)


def go_there(state: Path, proc: str = "/proc") -> bool:
    """Bring this thread to where the bridges are, for good: whether they are anywhere. Harmless to repeat."""
    found = outside(state, proc)
    if found is None:
        return False
    with found:
        syscalls.setns(found.fd, syscalls.CLONE_NEWNET)
    return True


def raise_uplink(state: Path) -> None:
    """Make that namespace and its way out, where they are not there. Harmless to repeat. Raises Unsupported, Unavailable."""
    why, remedy = lacking()
    if why:
        raise Unsupported(why, remedy)
    with FileLock(state / f"{_NAME}.lock").held():
        found = outside(state)
        if found is not None:
            found.close()
            return
        hold(state, _NAME, "net", _prepare)


def lacking() -> tuple[str, str]:
    """Why there can be no way out on this machine, and what to do; empty texts where nothing is lacking."""
    if not _programs():
        return "neither pasta nor slirp4netns is installed", INSTALL
    if not os.access(_TUN, os.R_OK | os.W_OK):
        return f"{_TUN} is not for everybody", f"`chmod 666 {_TUN}`, by root, opens it"
    return "", ""


def _programs() -> list[str]:
    """The programs that lead out, the preferred one first."""
    found = [f"{place}/{name}" for name in ("pasta", "slirp4netns") for place in _PLACES]
    return [path for path in found if os.access(path, os.X_OK)]


def _prepare() -> None:
    """In the process that is to keep the namespace: go into it, and start what leads out."""
    from network.links import switch_on
    from network.netlink import Netlink

    ready = [_start(program) for program in _programs()]
    syscalls.unshare(syscalls.CLONE_NEWNET)
    with Netlink() as netlink:
        switch_on(netlink, 1)
    for pid, go in ready:
        os.write(go, b"1")
        if _leads_out(pid):
            for _, other in ready:
                os.close(other)
            return
    raise Unsupported(
        "there is no way out of a network of our own", "see what pasta or slirp4netns say when run by hand"
    )


def _start(program: str) -> tuple[int, int]:
    """A process that becomes the program when a byte is written to the descriptor, and ends when that is closed; it stays in
    the host's namespace, where it reaches the world, and dies with this process."""
    ready, go = os.pipe()
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        try:
            os.close(go)
            syscalls.die_with_parent(signal.SIGKILL)
            if not os.read(ready, 1):
                os._exit(0)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # an older pasta takes an ignored one for a failure
            fd = os.open(f"/proc/{parent}/ns/net", os.O_RDONLY)
            os.set_inheritable(fd, True)  # they give up the right to open it themselves
            there = f"/proc/self/fd/{fd}"
            words = [*_PASTA, there] if program.endswith("pasta") else [*_SLIRP, there, "tap0"]
            os.execve(program, [os.path.basename(program), *words], {})
        finally:
            os._exit(1)
    os.close(ready)
    return pid, go


def _leads_out(pid: int) -> bool:
    """Whether the program `pid` has laid a default route here before it ended."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return False
        with open("/proc/self/net/route", encoding="ascii") as four, open("/proc/self/net/ipv6_route") as six:
            ways = [line.split()[1] for line in four] + [
                "00000000" for line in six if line.startswith("0" * 32 + " 00 ") and not line.rstrip().endswith(" lo")
            ]
        if "00000000" in ways:
            return True
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False
