"""What `inspect` shows of a container's limits and walls, under Docker's names in `HostConfig`."""

from __future__ import annotations

from typing import Any

from runtime.cgroups import is_v2
from runtime.container import Container
from runtime.isolating import DEFAULT, hidden, limit_of
from runtime.isolation import Isolation
from runtime.limits import Limits
from runtime.runtimes import wants_cgroup

_RENAMED = {"blkio_weight_device": "BlkioWeightDevice", "device_read_bps": "BlkioDeviceReadBps", "device_write_bps": "BlkioDeviceWriteBps",
            "device_read_iops": "BlkioDeviceReadIOps", "device_write_iops": "BlkioDeviceWriteIOps"}  # fmt: skip


def walls(container: Container) -> dict[str, Any]:
    """The fields that differ from a plain container's."""
    return _limits(container.limits or Limits()) | _isolation(container, container.isolation or DEFAULT)


def _view(container: Container) -> str:
    """What it sees of the cgroups, where nobody has said."""
    return "private" if is_v2() and wants_cgroup(container) else "host"


def _limits(limits: Limits) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "".join(word.title() for word in name.split("_")): value
        for name, value in vars(limits).items()
        if name not in (*_RENAMED, "memory_swappiness", "pids_limit")
    }
    for name, shown_name in _RENAMED.items():
        word = "Weight" if name == "blkio_weight_device" else "Rate"
        pairs = (text.rpartition(":")[::2] for text in getattr(limits, name))
        shown[shown_name] = [{"Path": path, word: int(number)} for path, number in pairs]
    shown["MemorySwap"] = limits.swap
    shown["MemorySwappiness"] = limits.memory_swappiness if limits.memory_swappiness >= 0 else None
    return shown | {"NanoCpus": limits.nano_cpus, "PidsLimit": limits.pids_limit or None}


def _isolation(container: Container, walls: Isolation) -> dict[str, Any]:
    seccomp = () if container.seccomp == "default" else (f"seccomp={container.seccomp}",)
    masks, protected = (None, None) if container.privileged else hidden(walls)
    return {
        "SecurityOpt": [*walls.security_opt, *seccomp] or None, "PidMode": walls.pid, "IpcMode": walls.ipc or "private",
        "UTSMode": walls.uts, "UsernsMode": walls.userns, "CgroupnsMode": walls.cgroupns or _view(container),
        "OomScoreAdj": walls.oom_score_adj, "Runtime": walls.runtime or "", "DeviceCgroupRules": list(walls.device_rules) or None,
        "Sysctls": dict(text.partition("=")[::2] for text in walls.sysctls) or None,
        "Ulimits": [{"Name": one.name, "Hard": one.hard, "Soft": one.soft} for one in map(limit_of, walls.ulimits)],
        "Devices": [dict(zip(("PathOnHost", "PathInContainer", "CgroupPermissions"), text.rsplit(":", 2), strict=True))
                    for text in walls.devices],
        "MaskedPaths": masks, "ReadonlyPaths": protected,
    }  # fmt: skip
