"""A network namespace of its own, for commands that are to find a machine without networks, and to leave this one alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

ALONE = (
    "unshare",
    "--net",
    "sh",
    "-c",
    'PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && exec "$@"',
    "sh",
)  # then a command


@contextmanager
def apart() -> Iterator[list[str]]:
    """The words that bring a command into one new namespace, which lasts for the block."""
    holder = subprocess.Popen([*ALONE, "sh", "-c", "echo; exec sleep 100000"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout and holder.stdout.readline() == b"\n"
        yield ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
    finally:
        holder.kill()
        holder.communicate()


def interfaces() -> set[str]:
    """What interfaces this namespace has."""
    return set(os.listdir("/sys/class/net"))
