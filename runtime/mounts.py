"""What is mounted into a container: the kernel's file systems, devices, masks, and the user's own mounts."""

from __future__ import annotations

import os
import stat
from typing import Any, Literal

from core.value import Value


class Mount(Value):
    """One mount at `target`, an absolute path in the container. `source` is a host path for a bind, empty for tmpfs.

    `options` are mount(8) words that go to the runtime as they are; `name` is the volume's, where it is one.
    """

    source: str
    target: str
    kind: Literal["bind", "tmpfs"] = "bind"
    read_only: bool = False
    options: tuple[str, ...] = ()
    name: str = ""

    def to_spec(self) -> dict[str, Any]:
        """As the runtime spec has it (config.md "Mounts"); devices never work through it."""
        if self.kind == "tmpfs":
            options = ["nosuid", "nodev", *(self.options or ("noexec",)), *(["ro"] if self.read_only else [])]
            return {"destination": self.target, "type": "tmpfs", "source": "tmpfs", "options": options}
        options = ["rbind", *(self.options or ("rprivate",)), *(["ro"] if self.read_only else [])]
        return {"destination": self.target, "type": "bind", "source": self.source, "options": options}


DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MASKED = (
    *(f"/proc/{name}" for name in (
        "asound", "acpi", "interrupts", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"
    )),
    "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY = tuple(f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))


def standard(devices: str, *, shm_size: int = 64 << 20, privileged: bool = False) -> list[dict[str, Any]]:
    """/proc, /dev and /sys as Docker lays them out; `devices` is where `make_devices` has put the nodes.

    /dev is mounted `nodev`, as the root is: a container that makes a node cannot open it, without any help from a device
    cgroup. The nodes that work are bound in.
    """
    quiet = ["nosuid", "noexec", "nodev"]
    sys_mode = [] if privileged else ["ro"]
    mounts = [
        _mount("/proc", "proc", "proc", *quiet),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "nodev", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/sys", "sysfs", "sysfs", *quiet, *sys_mode),
        _mount("/dev/mqueue", "mqueue", "mqueue", *quiet),
        _mount("/dev/shm", "tmpfs", "shm", *quiet, "mode=1777", f"size={shm_size}"),
    ]
    names = _host_devices() if privileged else DEVICES
    return mounts + [_mount(f"/dev/{name}", "bind", f"{devices}/{name}", "bind", "nosuid", "noexec") for name in names]


def make_devices(devices: str, *, privileged: bool = False) -> None:
    """Make the directory `devices`, with nodes of the container's own: its owner and its root may change their modes and
    owners, as some runtimes do too, and the host's must not follow."""
    os.mkdir(devices, 0o755)
    for name in _host_devices() if privileged else DEVICES:
        status = os.stat(f"/dev/{name}")
        os.mknod(f"{devices}/{name}", status.st_mode, status.st_rdev)
        if status.st_gid:
            os.chown(f"{devices}/{name}", status.st_uid, status.st_gid)
        os.chmod(f"{devices}/{name}", status.st_mode & 0o7777)  # another thread must not meet a changed umask


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _host_devices() -> list[str]:
    """Every device node straight below the host's /dev: what `--privileged` promises."""
    found = []
    for entry in os.scandir("/dev"):
        mode = entry.stat(follow_symlinks=False).st_mode
        if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and entry.name not in ("console", "ptmx"):
            found.append(entry.name)
    return sorted(found)
