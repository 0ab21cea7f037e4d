"""What is mounted into a container: the kernel's file systems, devices, masks, and the user's own mounts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from core.rootless import last_group
from core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal


class Mount(Value):
    """One mount at `target`, an absolute path in the container. `source` is a host path for a bind, an image's ID for an
    image, empty for tmpfs and, until it starts, for a volume.

    `options` are mount(8) words that go to the runtime as they are (of an image: its layer directories, bottom first);
    `name` is the volume's, or what the user called the image. `own`: the volume was made for this container, without a
    name; `copy`: it gets what the image has at its place. `mode` is what followed `-v SOURCE:TARGET:`, `flag` all of `-v`,
    empty for a mount that was asked for otherwise.
    """

    source: str
    target: str
    kind: Literal["bind", "tmpfs", "volume", "image"] = "bind"
    read_only: bool = False
    options: tuple[str, ...] = ()
    name: str = ""
    driver: str = ""
    subpath: str = ""
    own: bool = False
    copy: bool = True
    mode: str = ""
    flag: str = ""

    def to_spec(self) -> dict[str, Any]:
        """As the runtime spec has it (config.md "Mounts"); devices never work through it, but for a tmpfs with `dev`."""
        if self.kind == "tmpfs":
            options = [*tmpfs_options(self.options), *(["ro"] if self.read_only else [])]
            return {"destination": self.target, "type": "tmpfs", "source": "tmpfs", "options": options}
        options = [*(self.options or ("rprivate",)), *(["ro"] if self.read_only else [])]
        if "rro" in options and not os.path.isdir(self.source):
            options.remove(
                "rro"
            )  # nothing is mounted below a file, and some runtimes look for it all the same, and fail
        if "bind" not in options:
            options.insert(0, "rbind")
        return {"destination": self.target, "type": "bind", "source": self.source, "options": options}


def tmpfs_options(own: tuple[str, ...]) -> list[str]:
    """What a tmpfs is mounted with: what is not in `own`, by its opposite, is as Docker has it."""
    opposites = (("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev"))
    return [quiet for quiet, loud in opposites if quiet not in own and loud not in own] + list(own)


DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MASKED = (
    *(f"/proc/{name}" for name in (
        "asound", "acpi", "interrupts", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"
    )),
    "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
_THERMAL = "/sys/devices/system/cpu/cpu{}/thermal_throttle"
READ_ONLY = tuple(f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))


def masked() -> list[str]:
    """What is hidden: MASKED, and each processor's thermal_throttle where the machine has that."""
    if not os.path.exists(_THERMAL.format(0)):
        return list(MASKED)
    return [*MASKED, *(_THERMAL.format(number) for number in range(os.cpu_count() or 1))]


def standard(devices: str, *, shm_size: int = 64 << 20, privileged: bool = False) -> list[dict[str, Any]]:
    """/proc, /dev and /sys as Docker lays them out; `devices` is where `make_devices` has put the nodes.

    /dev is mounted `nodev`, as the root is: a container that makes a node cannot open it, without any help from a device
    cgroup. The nodes that work are bound in. A privileged one has all nodes, and may make its own.
    """
    quiet = ["nosuid", "noexec", "nodev"]
    sys_mode = [] if privileged else ["ro"]
    no_devices = [] if privileged else ["nodev"]
    mounts = [
        _mount("/proc", "proc", "proc", *quiet),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", *no_devices, "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            *_tty_group(),
        ),
        _mount("/sys", "sysfs", "sysfs", *quiet, *sys_mode),
        _mount("/dev/mqueue", "mqueue", "mqueue", *quiet),
        _mount("/dev/shm", "tmpfs", "shm", *quiet, "mode=1777", f"size={shm_size}"),
    ]
    names = _host_devices() if privileged else DEVICES
    return mounts + [_mount(f"/dev/{name}", "bind", f"{devices}/{name}", "bind", "nosuid", "noexec") for name in names]


def _tty_group() -> list[str]:
    return ["gid=5"] if last_group() >= 5 else []  # a user without subordinate IDs has no other group


def make_devices(devices: str, *, privileged: bool = False) -> None:
    """Make the directory `devices`, with nodes of the container's own: its owner and its root may change their modes and
    owners, as some runtimes do too, and the host's must not follow."""
    os.mkdir(devices, 0o755)
    for name in _host_devices() if privileged else DEVICES:
        if "/" in name:
            os.makedirs(os.path.dirname(f"{devices}/{name}"), 0o755, exist_ok=True)
        copy_node(f"/dev/{name}", f"{devices}/{name}")


def copy_node(source: str, target: str) -> None:
    """Make another node of the device at `source`; in a user namespace, where nobody may, a link to it: its owner is
    nobody in there, so nothing about it can be changed."""
    status = os.stat(source)
    try:
        os.mknod(target, status.st_mode, status.st_rdev)
    except PermissionError:
        Path(target).symlink_to(source)
        return
    if status.st_uid or status.st_gid:
        os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)  # another thread must not meet a changed umask


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _host_devices() -> list[str]:
    """Every device node below the host's /dev, but for the terminals: what `--privileged` promises."""
    return sorted(nodes("/dev", ("console", "ptmx", "pts", "shm", "mqueue", "fd")))


def nodes(directory: str, without: tuple[str, ...] = ()) -> list[str]:
    """The device nodes below `directory`, relative to it; links are not followed. `without` names what is left out on top."""
    found = []
    for entry in os.scandir(directory):
        mode = entry.stat(follow_symlinks=False).st_mode
        if entry.name in without:
            continue
        if stat.S_ISDIR(mode):
            found += [f"{entry.name}/{name}" for name in nodes(entry.path)]
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            found.append(entry.name)
    return found
