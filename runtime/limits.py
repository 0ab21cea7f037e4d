"""How much of the machine a container may use: values, and how the runtime spec words them (config-linux.md, `resources`)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from core.value import Value

PERIOD = 100_000  # microseconds in which `nano_cpus` is measured out


class Limits(Value):
    """Sizes are bytes, zero is no limit (and -1, where the kernel knows that: `memory_swap`, `pids_limit`, `cpu_quota`).

    `memory_swap` is memory and swap together, twice the memory where it is 0. `nano_cpus` are billionths of a processor;
    period and quota microseconds. Devices are `path:number`, bytes or operations a second. `cgroup_parent` is the path
    of the cgroup that the container's is made in.
    """

    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    memory_swappiness: int = -1
    oom_kill_disable: bool = False
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0
    blkio_weight_device: tuple[str, ...] = ()
    device_read_bps: tuple[str, ...] = ()
    device_write_bps: tuple[str, ...] = ()
    device_read_iops: tuple[str, ...] = ()
    device_write_iops: tuple[str, ...] = ()
    cgroup_parent: str = ""

    def to_spec(self) -> dict[str, Any]:
        """The parts of `linux.resources` that are limited. Raises OSError for a device that is not there."""
        parts = {"memory": self._memory(), "cpu": self._cpu(), "blockIO": self._block_io()}
        if self.pids_limit > 0:  # what is not limited is not said: crun 1.8 writes -1 where v1 wants `max`
            parts["pids"] = {"limit": self.pids_limit}
        return {name: part for name, part in parts.items() if part}

    def _memory(self) -> dict[str, Any]:
        part: dict[str, Any] = {"limit": self.memory, "reservation": self.memory_reservation, "swap": self.swap}
        part = {name: size for name, size in part.items() if size}
        if self.memory_swappiness >= 0:
            part["swappiness"] = self.memory_swappiness
        return part | {"disableOOMKiller": True} if self.oom_kill_disable else part

    @property
    def swap(self) -> int:
        """Memory and swap together; -1 without limit, 0 where nothing is limited."""
        return self.memory_swap or 2 * self.memory

    def _cpu(self) -> dict[str, Any]:
        period, quota = self.cpu_period, self.cpu_quota
        if self.nano_cpus:
            period, quota = PERIOD, self.nano_cpus * PERIOD // 10**9
        part = {
            "shares": self.cpu_shares,
            "period": period,
            "quota": quota,
            "cpus": self.cpuset_cpus,
            "mems": self.cpuset_mems,
        }
        return {name: value for name, value in part.items() if value}  # fmt: skip

    def _block_io(self) -> dict[str, Any]:
        part: dict[str, Any] = {
            "weight": self.blkio_weight,
            "weightDevice": _devices(self.blkio_weight_device, "weight"),
        }
        for name, texts in (
            ("throttleReadBpsDevice", self.device_read_bps), ("throttleWriteBpsDevice", self.device_write_bps),
            ("throttleReadIOPSDevice", self.device_read_iops), ("throttleWriteIOPSDevice", self.device_write_iops),
        ):  # fmt: skip
            part[name] = _devices(texts, "rate")
        return {name: value for name, value in part.items() if value}


def _devices(texts: Iterable[str], word: str) -> list[dict[str, int]]:
    found = []
    for text in texts:
        path, _, number = text.rpartition(":")
        device = os.stat(path).st_rdev
        found.append({"major": os.major(device), "minor": os.minor(device), word: int(number)})
    return found
