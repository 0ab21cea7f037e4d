"""Values → the OCI runtime spec's config.json (config.md, config-linux.md), with Docker's defaults."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.rootless import last_group, outer_uid
from core.value import Value
from runtime.mounts import READ_ONLY, Mount, masked, standard
from runtime.streams import PATH
from runtime.user import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = "1.0.2"


class Process(Value):
    """What runs, as whom and where. `env` is `NAME=value`; PATH and HOME are added where missing. `limits` are as
    the spec words them."""

    args: Sequence[str]
    env: Sequence[str]
    cwd: str
    user: User
    capabilities: Sequence[str]
    terminal: bool = False
    no_new_privileges: bool = False
    limits: tuple[dict[str, Any], ...] = ()

    def to_spec(self) -> dict[str, Any]:
        """The `process` object; also what `exec --process` takes."""
        from runtime.capabilities import available

        user: dict[str, Any] = {"uid": self.user.uid, "gid": self.user.gid}
        if self.user.groups:
            user["additionalGids"] = list(self.user.groups)
        bounding = available(self.capabilities)
        held = bounding if self.user.uid == 0 else []  # what execve does to everybody else
        spec: dict[str, Any] = {
            "terminal": self.terminal,
            "user": user,
            "args": list(self.args),
            "env": complete_env(self.env, self.user, terminal=self.terminal),
            "cwd": self.cwd or "/",
            "capabilities": {"bounding": bounding, "effective": held, "permitted": held},
            "noNewPrivileges": self.no_new_privileges,
        }
        return spec | {"rlimits": list(self.limits)} if self.limits else spec


class Bundle(Value):
    """A container as a runtime starts it: everything in config.json.

    `rootfs` and `devices` (see `make_devices`) are directories on the host, `filters` what `seccomp.filters` gave. Without a `cgroup` that keeps devices away,
    the root is mounted `nodev`. `sandbox` is a network namespace that is there already. `rules` let further
    devices through.
    """

    process: Process
    rootfs: str
    hostname: str
    mounts: Sequence[Mount] = ()
    network: str = "host"
    read_only: bool = False
    privileged: bool = False
    shm_size: int = 64 << 20
    filters: tuple[tuple[tuple[str, str], ...], dict[str, Any] | None] = ((), None)
    cgroup: str = ""
    devices: str = ""
    sandbox: str = ""
    rules: tuple[dict[str, Any], ...] = ()

    def to_spec(self) -> dict[str, Any]:
        """The whole config.json."""
        namespaces = [{"type": name} for name in ("pid", "ipc", "uts", "mount")]
        if self.network != "host":
            namespaces.append({"type": "network"} | ({"path": self.sandbox} if self.sandbox else {}))
        linux: dict[str, Any] = {"namespaces": namespaces}
        if not self.privileged:
            linux |= {"maskedPaths": masked(), "readonlyPaths": list(READ_ONLY)}
        if self.network != "host":
            linux["sysctl"] = open_ports()
        if self.cgroup:
            linux |= {
                "cgroupsPath": self.cgroup,
                "resources": {"devices": [*device_rules(self.privileged), *self.rules]},
            }
        if any("slave" in option for mount in self.mounts for option in mount.options):
            linux["rootfsPropagation"] = "rslave"  # else the runtime cuts all mounts off from the host's
        mounts = standard(self.devices, shm_size=self.shm_size, privileged=self.privileged)
        if self.network == "host" and outer_uid():
            mounts = [hosts_sys() if mount["type"] == "sysfs" else mount for mount in mounts]
        if not self.cgroup and not self.privileged:
            mounts.insert(0, nodev_root(self.rootfs))
        spec: dict[str, Any] = {
            "ociVersion": VERSION,
            "process": self.process.to_spec(),
            "root": {"path": self.rootfs, "readonly": self.read_only},
            "hostname": self.hostname,
            "mounts": overlaid(mounts, self.mounts),
            "linux": linux,
        }
        annotations, rules = self.filters
        if annotations:
            spec["annotations"] = dict(annotations)
        if rules:
            linux["seccomp"] = rules
        return spec


def hosts_sys() -> dict[str, Any]:
    """/sys where the network is of another user namespace, so that the kernel gives out none of its own."""
    options = ["rbind", "nosuid", "noexec", "nodev", "ro"]
    return {"destination": "/sys", "type": "bind", "source": "/sys", "options": options}


def open_ports() -> dict[str, str]:
    """In a network of its own anybody may listen on any port, and ping."""
    return {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": f"0 {last_group()}"}


def nodev_root(rootfs: str) -> dict[str, Any]:
    """The root has no mount of its own in the spec, and runtimes drop the flags it had: it is remounted by another name."""
    return {"destination": "/.", "type": "bind", "source": rootfs, "options": ["bind", "remount", "nodev"]}


def overlaid(mounts: Iterable[dict[str, Any]], wanted: Iterable[Mount]) -> list[dict[str, Any]]:
    """The standard mounts, in whose place the user's may stand, then the user's others, outer before inner."""
    own = {mount.target: mount for mount in sorted(wanted, key=lambda mount: mount.target.count("/"))}
    standard = [own.pop(m["destination"]).to_spec() if m["destination"] in own else m for m in mounts]
    return standard + [mount.to_spec() for mount in own.values()]


def complete_env(env: Sequence[str], user: User, *, terminal: bool = False) -> list[str]:
    """`env` with the last value of a name winning, and PATH, HOME and (on a terminal) TERM where they are missing."""
    values: dict[str, str] = {}
    for pair in env:
        values[pair.partition("=")[0]] = pair
    values.setdefault("PATH", PATH)
    if terminal:
        values.setdefault("TERM", "TERM=xterm")
    values.setdefault("HOME", f"HOME={user.home}")
    return list(values.values())


def device_rules(privileged: bool) -> list[dict[str, Any]]:
    """For runtimes that keep a device cgroup: making any node, and using the harmless ones."""
    if privileged:
        return [{"allow": True, "access": "rwm"}]
    allowed = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None)]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in ("c", "b")]
    for major, minor in allowed:
        rule: dict[str, Any] = {"allow": True, "type": "c", "major": major, "access": "rwm"}
        rules.append(rule if minor is None else rule | {"minor": minor})
    return rules
