"""Telling systemd that a container of one of its units runs, and which process it is to watch (sd_notify(3))."""

from __future__ import annotations

from collections.abc import Mapping


def tell_systemd(environ: Mapping[str, str], keeper: int) -> None:
    """Where a unit made by `generate systemd` has called us. Never fails: whoever called may be gone."""
    import contextlib
    import socket

    address = environ.get("NOTIFY_SOCKET", "")
    if address and environ.get("LAMELLA_SYSTEMD_UNIT"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            sock.send(f"MAINPID={keeper}\nREADY=1\n".encode())
