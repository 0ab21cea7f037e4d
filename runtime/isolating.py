"""What a container's Isolation and Limits change in its bundle: loaded only for containers that have either, or are
privileged."""

from __future__ import annotations

import os
import re
import resource
import stat
from collections.abc import Mapping
from typing import Any

from runtime.cgroups import is_v2
from runtime.container import Container
from runtime.engine import NOT_FOUND, Engine, StartFailed
from runtime.isolation import Isolation
from runtime.mounts import READ_ONLY, Mount, copy_node, masked, nodes
from runtime.step import Limit

_NAMES = re.compile(r"([a-z]+)=(-?\d+):(-?\d+)")
DEFAULT = Isolation()


def apply(spec: dict[str, Any], container: Container, engine: Engine, joined: Mapping[str, str] | None = None) -> None:
    """Change `spec`, a whole config.json that `Bundle.to_spec` gave; `joined` is what is shared with other containers."""
    isolation = container.isolation or DEFAULT
    apply_process(spec["process"], isolation)
    if container.privileged:  # whose devices work, wherever they are mounted
        for mount in spec["mounts"]:
            if mount["type"] == "bind":
                mount["options"] = [option for option in mount["options"] if option != "nodev"]
    _hide(spec["linux"], isolation, privileged=container.privileged)
    _share(spec, isolation)
    _join(spec, joined or {})
    if isolation.sysctls:
        sysctls = dict(text.partition("=")[::2] for text in isolation.sysctls)
        spec["linux"]["sysctl"] = spec["linux"].get("sysctl", {}) | sysctls
    if engine.cgroups:
        _limit(spec, isolation, container)
    elif not container.privileged:
        _keep_devices_out(spec)


def apply_process(process: dict[str, Any], isolation: Isolation) -> None:
    """What counts for every process of the container, those of `exec` too."""
    if isolation.no_new_privileges:
        process["noNewPrivileges"] = True
    if isolation.oom_score_adj:
        process["oomScoreAdj"] = isolation.oom_score_adj
    if isolation.ulimits:
        process["rlimits"] = [limit.to_spec() for limit in map(clamped, isolation.ulimits)]
    if isolation.apparmor and has_apparmor():
        process["apparmorProfile"] = isolation.apparmor
    if isolation.labels and has_selinux():
        process["selinuxLabel"] = _label(isolation.labels)


def has_apparmor() -> bool:
    """Whether this kernel can give a process a profile of AppArmor."""
    return _enabled("/sys/module/apparmor/parameters/enabled", "Y")


def has_selinux() -> bool:
    """Whether this kernel can give a process a label of SELinux."""
    return _enabled("/sys/fs/selinux/enforce")


def _enabled(file: str, word: str = "") -> bool:
    try:
        with open(file, encoding="ascii") as opened:
            return opened.read().startswith(word)
    except OSError:
        return False


def _label(labels: tuple[str, ...]) -> str:
    """An SELinux context (`user:role:type:level`), the usual one of containers where `labels` does not say otherwise."""
    parts = {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}
    if "disable" in labels:
        parts["type"] = "spc_t"
    parts |= dict(label.partition(":")[::2] for label in labels if ":" in label)
    return ":".join(parts[name] for name in ("user", "role", "type", "level"))


def limit_of(text: str) -> Limit:
    """A `--ulimit` as `Isolation` keeps it."""
    found = _NAMES.fullmatch(text)
    assert found, text
    return Limit(found[1], int(found[2]), int(found[3]))


def clamped(text: str) -> Limit:
    """As `limit_of`, but never above what this process could pass on: without CAP_SYS_RESOURCE, its own hard limit."""
    from runtime.capabilities import may_exceed_limits

    limit = limit_of(text)
    ceiling = resource.getrlimit(getattr(resource, f"RLIMIT_{limit.name.upper()}"))[1]
    if ceiling == resource.RLIM_INFINITY or may_exceed_limits():
        return limit
    soft, hard = (ceiling if value < 0 or value > ceiling else value for value in (limit.soft, limit.hard))
    return Limit(limit.name, soft, hard)


def _hide(linux: dict[str, Any], isolation: Isolation, *, privileged: bool) -> None:
    if not privileged:
        linux["maskedPaths"], linux["readonlyPaths"] = hidden(isolation)


def hidden(isolation: Isolation) -> tuple[list[str], list[str]]:
    """The paths that are hidden, and those that are read-only."""
    shown = isolation.unmasks
    usual: tuple[list[str], list[str]] = ([], []) if "ALL" in shown else (masked(), list(READ_ONLY))
    masks = [path for path in [*usual[0], *isolation.masks] if path not in shown]
    return masks, [path for path in usual[1] if path not in shown]


def _share(spec: dict[str, Any], isolation: Isolation) -> None:
    """Namespaces that are the host's, or that the container has besides."""
    linux = spec["linux"]
    shared = {name for name in ("pid", "ipc", "uts") if getattr(isolation, name) == "host"}
    linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] not in shared]
    if isolation.cgroupns == "private":
        linux["namespaces"].append({"type": "cgroup"})
    if "uts" in shared:
        del spec["hostname"]
    if "ipc" in shared:
        for mount in spec["mounts"]:
            if mount["destination"] in ("/dev/shm", "/dev/mqueue") and os.path.isdir(mount["destination"]):
                mount |= {
                    "type": "bind",
                    "source": mount["destination"],
                    "options": ["rbind", "nosuid", "noexec", "nodev"],
                }
    if isolation.ipc == "none":
        spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] != "/dev/shm"]


def _join(spec: dict[str, Any], joined: Mapping[str, str]) -> None:
    for namespace in spec["linux"]["namespaces"]:
        if namespace["type"] in joined:
            namespace["path"] = joined[namespace["type"]]
    for mount in spec["mounts"]:
        if mount["destination"] == "/dev/shm" and "shm" in joined:
            mount |= {"type": "bind", "source": joined["shm"], "options": ["rbind", "nosuid", "noexec", "nodev"]}


def _limit(spec: dict[str, Any], isolation: Isolation, container: Container) -> None:
    """The cgroup: limits, device rules, and the container's own view of it."""
    resources = spec["linux"].setdefault("resources", {})
    resources |= container.limits.to_spec() if container.limits else {}
    if not container.privileged:
        resources["devices"] += [rule for text in isolation.devices for rule in _device_rules(text)]
        resources["devices"] += [_rule(text) for text in isolation.device_rules]
    if isolation.device_rules:
        for mount in spec["mounts"]:
            if mount["destination"] == "/dev":
                mount["options"] = [option for option in mount["options"] if option != "nodev"]
    # As Docker: where there is one tree for all, the mount would show the host's.
    if not isolation.cgroupns and is_v2():
        spec["linux"]["namespaces"].append({"type": "cgroup"})
    mode = [] if container.privileged else ["ro"]
    at = next((n for n, mount in enumerate(spec["mounts"]) if mount["destination"] == "/sys"), len(spec["mounts"]) - 1)
    spec["mounts"].insert(at + 1, {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                                   "options": ["nosuid", "noexec", "nodev", "relatime", *mode]})  # fmt: skip


def _keep_devices_out(spec: dict[str, Any]) -> None:
    """Without a device cgroup, `nodev` is the wall to the host's disks."""
    for mount in spec["mounts"]:
        if mount["type"] == "tmpfs" and "dev" in mount["options"]:
            mount["options"] = ["nodev" if option == "dev" else option for option in mount["options"]]


def _device_rules(text: str) -> list[dict[str, Any]]:
    rules = []
    for source, _, access in found_devices(text):
        status = os.stat(source)
        kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
        rules.append({"allow": True, "type": kind, "major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev),
                      "access": access})  # fmt: skip
    return rules


def _rule(text: str) -> dict[str, Any]:
    kind, numbers, access = text.split()
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    for name, number in zip(("major", "minor"), numbers.split(":"), strict=True):
        if number != "*":
            rule[name] = int(number)
    return rule


def found_devices(text: str) -> list[tuple[str, str, str]]:
    """(path on the host, path in the container, access) of each node that a `--device` means, which may be a directory.

    Raises StartFailed where there is none.
    """
    source, target, access = text.rsplit(":", 2)
    try:
        if os.path.isdir(source):
            return [(f"{source}/{name}", f"{target}/{name}", access) for name in nodes(source)]
        mode = os.stat(source).st_mode
    except OSError:
        mode = 0
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return [(source, target, access)]
    said = "not a device node" if mode else "no such file or directory"
    raise StartFailed(
        f'error gathering device information while adding custom device "{source}": {said}', NOT_FOUND,
        "check the path: it is one of the host",
    )  # fmt: skip


def device_mounts(isolation: Isolation, devices: str) -> list[Mount]:
    """Nodes of the container's own for its `--device`s, made in the directory `devices`, and how they are bound in."""
    mounts = []
    for number, (source, target, _) in enumerate(d for text in isolation.devices for d in found_devices(text)):
        copy_node(source, f"{devices}/added-{number}")
        mounts.append(Mount(f"{devices}/added-{number}", target, options=("rprivate", "nosuid", "noexec")))
    return mounts
