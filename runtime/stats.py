"""How much a running container uses: by its cgroup where it has one, else added up over its processes in /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

from core.value import Value
from runtime import cgroups
from runtime.container import Container
from runtime.containers import Containers
from runtime.freeze import processes
from runtime.inspect import first_process

_HERTZ = os.sysconf("SC_CLK_TCK")


class Sample(Value):
    """One look. `cpu` and `time` are in nanoseconds, the rest in bytes; `pids` counts threads. `cgroup`: whether it is the
    kernel's own account, which knows of processes that have ended too."""

    time: int
    cpu: int
    memory: int
    limit: int
    received: int
    sent: int
    read: int
    written: int
    pids: int
    cgroup: bool

    def cpu_percent(self, before: Sample) -> float:
        """Of one processor, since the sample `before`."""
        passed = self.time - before.time
        return max(self.cpu - before.cpu, 0) / passed * 100 if passed > 0 else 0.0

    @property
    def memory_percent(self) -> float:
        return self.memory / self.limit * 100 if self.limit else 0.0


def sample(containers: Containers, container: Container, state: Path) -> Sample | None:
    """What it uses by now; None where it does not run."""
    keeper = containers.status(container).keeper
    first = first_process(keeper) if keeper else 0
    if not first:
        return None
    received, sent = _network(first) if container.network != "host" else (0, 0)
    used = cgroups.usage(cgroups.path_of(container, state))
    if used is None:
        return _by_processes(processes(first), received, sent)
    limit = min(used.memory_limit or _memory(), _memory())
    return Sample(
        time.time_ns(), used.cpu, used.memory, limit, received, sent, used.read, used.written, used.processes, True
    )


def _by_processes(pids: list[int], received: int, sent: int) -> Sample:
    cpu = memory = read = written = threads = 0
    for pid in pids:
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        if len(fields) < 18:
            continue
        cpu += sum(map(int, fields[11:15]))  # its own, and of the children that it has waited for
        threads += int(fields[17])
        memory += _resident(pid)
        traffic = _table(Path(f"/proc/{pid}/io"))
        read, written = read + traffic.get("read_bytes", 0), written + traffic.get("write_bytes", 0)
    spent = cpu * 10**9 // _HERTZ
    return Sample(time.time_ns(), spent, memory, _memory(), received, sent, read, written, threads, False)


def _resident(pid: int) -> int:
    """What it holds in memory; what several share counts in parts, where the kernel tells."""
    shared = _table(Path(f"/proc/{pid}/smaps_rollup")).get("Pss")
    return (_table(Path(f"/proc/{pid}/status")).get("VmRSS", 0) if shared is None else shared) * 1024


def _network(first: int) -> tuple[int, int]:
    received = sent = 0
    for line in _read(Path(f"/proc/{first}/net/dev")).splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if name.strip() != "lo":
            values = numbers.split()
            received, sent = received + int(values[0]), sent + int(values[8])
    return received, sent


def _memory() -> int:
    return _table(Path("/proc/meminfo"))["MemTotal"] * 1024


def _table(path: Path) -> dict[str, int]:
    """Lines of a name and a number; the rest is left out."""
    rows = (line.replace(":", " ").split() for line in _read(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
