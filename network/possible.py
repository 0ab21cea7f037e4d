"""Whether this machine lets us have bridges at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from core.apart import apart
from core.errors import LamellaError
from core.rootless import outer_uid

_NET_ADMIN = 12  # its bit in the set of capabilities
_TRIED = "bridges"  # an empty file: they worked here, and will until the machine is started anew


def obstacle(state: Path) -> tuple[str, str]:
    """Why no container can come onto a bridge here, and what to do about it; empty texts where nothing is in the way.

    `state` is the store's run-time directory, where it is remembered that bridges work: then this costs a few stats.
    """
    if os.geteuid():
        return "bridges need root", "run it as root"
    rootless = bool(outer_uid())  # then nobody comes back from another network
    if rootless:
        from network.uplink import lacking

        why, remedy = lacking()
        if why:
            return why, remedy
    if not _may_administer():
        return "we have not the capability CAP_NET_ADMIN", "give it to us (docker run --cap-add NET_ADMIN)"
    try:
        from network.firewall import program

        program()
        if not (state / _TRIED).exists():
            apart(lambda: _try(state, rootless)) if rootless else _try(state, rootless)
            with contextlib.suppress(OSError):
                (state / _TRIED).touch(0o600)
    except LamellaError as error:
        return str(error), error.hint or ""
    except OSError as error:
        return f"the kernel refuses bridges ({error.strerror})", "load its modules bridge, veth and nf_tables"
    return "", ""


def _may_administer() -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        words = file.read().partition("CapEff:")[2].split(None, 1)
    return bool(int(words[0], 16) >> _NET_ADMIN & 1) if words else False


def _try(state: Path, rootless: bool) -> None:
    """All that a bridge needs, but in a namespace of nobody. Raises OSError, or what nft says."""
    from network import links
    from network.firewall import Firewall
    from network.netlink import Netlink
    from network.sandbox import nowhere
    from network.sysctl import read_sysctl

    forwarding = "/proc/sys/net/ipv4/ip_forward"
    if not rootless:  # it has bridges in a namespace of its own
        if read_sysctl("ipv4/ip_forward") != "1" and not os.access(forwarding, os.W_OK):
            raise OSError(0, f"{forwarding} is off and cannot be written")
        with Netlink() as netlink:  # refused where the host's network is not ours to change: in a user namespace
            links.delete(netlink, "lamella-no-such")
    with nowhere() as sandbox, Netlink() as netlink:
        links.add_bridge(netlink, "br", 1500, "02:42:00:00:00:01")
        links.add_veth(netlink, "here", links.find(netlink, "br"), "there", sandbox.fd, "02:42:00:00:00:02", 1500)
        Firewall(state).replace([], [])
