"""The settings under `/proc/sys/net`, of the network namespace that this thread is in."""

from __future__ import annotations


def write_sysctl(name: str, value: str) -> bool:
    """Set `/proc/sys/net/<name>`; False where the kernel has no such thing."""
    try:
        with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        return False
    return True


def read_sysctl(name: str) -> str:
    """Its value; empty where the kernel has no such thing."""
    try:
        with open(f"/proc/sys/net/{name}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
