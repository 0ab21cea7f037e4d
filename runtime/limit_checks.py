"""Which limits this host can keep, and which make no sense: in Docker's words."""

from __future__ import annotations

import os

from core.errors import InvalidInput
from core.value import Value, replace
from runtime import cgroups
from runtime.limits import Limits

LEAST_MEMORY = 6 << 20  # bytes: below, not even a runtime's own start fits
_MOUNTED = "or the cgroup is not mounted"


class _Support(Value):
    """A group of limits, the controller and, on v1 hosts, the file that they need, and what is said where that is missing."""

    fields: tuple[str, ...]
    controller: str
    file: str
    warning: str
    only_v1: bool = False


_SUPPORT = (
    _Support(("memory", "memory_swap"), "memory", "memory.limit_in_bytes",
             f"Your kernel does not support memory limit capabilities {_MOUNTED}. Limitation discarded."),
    _Support(("memory_swappiness",), "memory", "memory.swappiness",
             f"Your kernel does not support memory swappiness capabilities {_MOUNTED}. Memory swappiness discarded.", True),
    _Support(("memory_reservation",), "memory", "memory.soft_limit_in_bytes",
             f"Your kernel does not support memory soft limit capabilities {_MOUNTED}. Limitation discarded."),
    _Support(("oom_kill_disable",), "memory", "memory.oom_control",
             "Your kernel does not support OomKillDisable. OomKillDisable discarded.", True),
    _Support(("pids_limit",), "pids", "cgroup.procs",
             f"Your kernel does not support PIDs limit capabilities {_MOUNTED}. PIDs limit discarded."),
    _Support(("nano_cpus",), "cpu", "cpu.cfs_quota_us",
             f"NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler {_MOUNTED}"),
    _Support(("cpu_shares",), "cpu", "cpu.shares", f"Your kernel does not support CPU shares {_MOUNTED}. Shares discarded."),
    _Support(("cpu_period", "cpu_quota"), "cpu", "cpu.cfs_quota_us",
             f"Your kernel does not support CPU CFS scheduler {_MOUNTED}. CPU period/quota discarded."),
    _Support(("cpuset_cpus", "cpuset_mems"), "cpuset", "cpuset.cpus",
             f"Your kernel does not support cpuset {_MOUNTED}. Cpuset discarded."),
    _Support(("blkio_weight",), "blkio", "blkio.weight",
             f"Your kernel does not support Block I/O weight {_MOUNTED}. Weight discarded."),
    _Support(("blkio_weight_device",), "blkio", "blkio.weight_device",
             f"Your kernel does not support Block I/O weight_device {_MOUNTED}. Weight-device discarded."),
    _Support(("device_read_bps",), "blkio", "blkio.throttle.read_bps_device",
             f"Your kernel does not support BPS Block I/O read limit {_MOUNTED}. Block I/O BPS read limit discarded."),
    _Support(("device_write_bps",), "blkio", "blkio.throttle.write_bps_device",
             f"Your kernel does not support BPS Block I/O write limit {_MOUNTED}. Block I/O BPS write limit discarded."),
    _Support(("device_read_iops",), "blkio", "blkio.throttle.read_iops_device",
             f"Your kernel does not support IOPS Block read limit {_MOUNTED}. Block I/O IOPS read limit discarded."),
    _Support(("device_write_iops",), "blkio", "blkio.throttle.write_iops_device",
             f"Your kernel does not support IOPS Block write limit {_MOUNTED}. Block I/O IOPS write limit discarded."),
)  # fmt: skip
_SWAP = f"Your kernel does not support swap limit capabilities {_MOUNTED}. Memory limited without swap."
_NO_OOM_KILLER = (
    "OOM killer is disabled for the container, but no memory limit is set, "
    "this can result in the system running out of resources."
)


def settle(limits: Limits, *, able: bool = True) -> tuple[Limits, list[str]]:
    """The limits that this host will keep, and a warning for each that it cannot; `able` is whether its runtime can at all.

    Raises InvalidInput for values that no host could.
    """
    _check_memory(limits)
    _check_cpu(limits)
    if not able or not cgroups.controllers():
        names = [
            f"--{name.replace('_', '-')}" for name in limits._fields if getattr(limits, name) != getattr(Limits(), name)
        ]
        return Limits(), [
            f"no cgroup of this host can be written: discarded {', '.join(names).replace('nano-cpus', 'cpus')}"
        ]
    warnings = [row.warning for row in _SUPPORT if _asked(limits, row) and not _supported(row)]
    lost = {name: getattr(Limits(), name) for row in _SUPPORT if not _supported(row) for name in row.fields}
    kept = replace(limits, **lost)
    if kept.memory and not cgroups.has_file("memory", "memory.memsw.limit_in_bytes"):
        kept, warnings = replace(kept, memory_swap=-1), [*warnings, _SWAP]
    if kept.oom_kill_disable and not kept.memory:
        warnings.append(_NO_OOM_KILLER)
    _check_sets(kept)
    if kept.blkio_weight and not 10 <= kept.blkio_weight <= 1000:
        raise InvalidInput("Range of blkio weight is from 10 to 1000")
    return kept, warnings


def _asked(limits: Limits, row: _Support) -> bool:
    return any(getattr(limits, name) != getattr(Limits(), name) for name in row.fields)


def _supported(row: _Support) -> bool:
    if row.controller not in cgroups.controllers() or (row.only_v1 and cgroups.is_v2()):
        return False
    return cgroups.has_file(row.controller, row.file)


def _refuse(*rules: tuple[bool, str]) -> None:
    for broken, text in rules:
        if broken:
            raise InvalidInput(text)


def _check_memory(limits: Limits) -> None:
    memory, swap, reserved = limits.memory, limits.memory_swap, limits.memory_reservation
    _refuse(
        (0 < memory < LEAST_MEMORY, "Minimum memory limit allowed is 6MB"),
        (0 < swap < memory, "Minimum memoryswap limit should be larger than memory limit, see usage"),
        (memory == 0 and swap > 0, "You should always set the Memory limit when using Memoryswap limit, see usage"),
        (not -1 <= limits.memory_swappiness <= 100,
         f"invalid value: {limits.memory_swappiness}. Valid memory swappiness range is 0-100"),
        (0 < reserved < LEAST_MEMORY, "Minimum memory reservation allowed is 6MB"),
        (0 < memory < reserved, "Minimum memory limit can not be less than memory reservation limit, see usage"),
    )  # fmt: skip


def _check_cpu(limits: Limits) -> None:
    count = os.cpu_count() or 1
    nano, shares, period, quota = limits.nano_cpus, limits.cpu_shares, limits.cpu_period, limits.cpu_quota
    _refuse(
        (nano != 0 and period > 0, "Conflicting options: Nano CPUs and CPU Period cannot both be set"),
        (nano != 0 and quota > 0, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"),
        (nano != 0 and not 10**7 <= nano <= count * 10**9,
         f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"),
        (shares != 0 and shares < 2, "the minimum allowed cpu-shares is 2"),
        (shares > 1 << 18, f"the maximum allowed cpu-shares is {1 << 18}"),
        (period != 0 and not 1000 <= period <= 1_000_000,
         "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"),
        (0 < quota < 1000, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
    )  # fmt: skip


def _check_sets(limits: Limits) -> None:
    _check_set(limits.cpuset_cpus, "cpus", "CPUs")
    _check_set(limits.cpuset_mems, "mems", "memory nodes")


def _check_set(text: str, word: str, what: str) -> None:
    if not text:
        return
    try:
        wanted = numbers(text)
    except ValueError:
        raise InvalidInput(f"Invalid value {text} for cpuset {word}: invalid format: {text}") from None
    available = cgroups.available(word)
    if not wanted <= numbers(available):
        raise InvalidInput(f"Requested {what} are not available - requested {text}, available: {available}")


def numbers(text: str) -> set[int]:
    """The numbers in a list as the kernel writes them: `0-3,7`. Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not all(word.isascii() and word.isdecimal() and len(word) < 5 for word in (first, last or first)) or (
            dash and not last
        ):
            raise ValueError(text)
        found.update(range(int(first), int(last or first) + 1))
    return found
