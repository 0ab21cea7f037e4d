"""The cgroups of containers: which controllers this host has, and what a container's cgroup tells and leaves behind.

A runtime makes a container's cgroup; whatever kills the runtime, it is found here by its path, `/lamella/<store>-<id>`
with the name of the store's state directory, and removed. A v1 host has a tree for each controller, a v2 host one for all; on a hybrid one the v1 trees count.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from core.value import Value
from runtime.container import Container
from runtime.state import cgroups_of

ROOT = Path("/sys/fs/cgroup")
ALL = "/lamella"  # where every container's cgroup is, unless it has another --cgroup-parent
OOM = "oom"  # a file in the directory of a container that ended with processes killed for want of memory
SHORT_LIVED = ("lamella-step-", "lamella-probe-")
AGE_SECONDS = 60.0
PATIENCE_SECONDS = 0.5  # for the kernel to take the last dead process out
_V1 = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "perf_event", "net_cls", "net_prio",
       "hugetlb", "rdma", "misc", "systemd")  # fmt: skip
_V2_NAMES = {"io": "blkio"}


class Usage(Value):
    """What a container has used until now. Memory is in bytes, without the file cache that can be given up at once; its
    limit is 0 where there is none. Processor time is in nanoseconds, `read` and `written` are bytes of block devices."""

    memory: int = 0
    memory_limit: int = 0
    cpu: int = 0
    processes: int = 0
    read: int = 0
    written: int = 0


def path_of(container: Container, state: Path) -> str:
    """The cgroup of `container` of the store whose state directory is `state`, as a path in every tree."""
    parent = container.limits.cgroup_parent if container.limits else ""
    return f"/{parent.strip('/')}/{container.id}" if parent else f"{ALL}/{state.name}-{container.id}"


def is_v2() -> bool:
    """Whether one tree has all controllers here."""
    return (ROOT / "cgroup.controllers").exists()


def controllers() -> frozenset[str]:
    """The controllers that can be used here, by their v1 names; none where the trees cannot be written."""
    if is_v2():
        writable = os.access(ROOT / "cgroup.subtree_control", os.W_OK) and _writable(ROOT)
        names = (ROOT / "cgroup.controllers").read_text().split() if writable else []
        return frozenset(_V2_NAMES.get(name, name) for name in names) | ({"devices", "freezer"} if writable else set())
    return frozenset(name for name in _V1 if _writable(ROOT / name))


def _writable(directory: Path) -> bool:
    return (directory / "cgroup.procs").exists() and os.access(directory, os.W_OK)


def has_file(controller: str, name: str) -> bool:
    """Whether a tree of a v1 host offers the file `name`; v2 hosts have what their controllers promise."""
    return is_v2() or (ROOT / controller / name).exists()


def available(what: str) -> str:
    """The processors (`cpus`) or memory nodes (`mems`) that this host gives to anybody, as the kernel lists them."""
    for file in (ROOT / "cpuset" / f"cpuset.{what}", ROOT / f"cpuset.{what}.effective"):
        with contextlib.suppress(OSError):
            return file.read_text().strip()
    return ""


def places(path: str) -> list[Path]:
    """The directories of the cgroup `path`, in every tree that has it."""
    trees = [ROOT, *(ROOT / name for name in (*_V1, "unified"))]
    return [place for place in (tree / path.lstrip("/") for tree in trees) if (place / "cgroup.procs").exists()]


def processes(path: str) -> set[int]:
    """The processes in the cgroup and those below it, as this process numbers them."""
    found: set[int] = set()
    for place in places(path):
        for directory, _, _ in os.walk(place):
            with contextlib.suppress(OSError):
                found |= {int(pid) for pid in Path(directory, "cgroup.procs").read_text().split()}
    return found - {0}


def remove(path: str) -> bool:
    """Kill what is left in the cgroup and remove it everywhere; whether it is gone. Harmless to repeat."""
    if not places(path):
        return True
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        for pid in processes(path):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _remove_empty(places(path))
        if not places(path):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.002)


def _remove_empty(directories: Iterable[Path]) -> None:
    for place in directories:
        for directory, _, _ in os.walk(place, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)


def leave(container: Container, state: Path, directory: Path) -> None:
    """Remove the cgroup of a container that has ended, and note in its `directory` if it had too little memory."""
    path = path_of(container, state)
    with contextlib.suppress(FileNotFoundError):
        (directory / OOM).touch() if oom_kills(path) else (directory / OOM).unlink()
    remove(path)


def sweep(state: Path, lives: Callable[[str], bool]) -> None:
    """Remove the cgroups of a store's containers that have none any more; `lives` is asked with an ID."""
    prefix = f"{state.name}-"
    for name in cgroups_of(state):
        if not lives(name.removeprefix(prefix)):
            remove(f"{ALL}/{name}")


def sweep_short_lived() -> None:
    """Remove the empty cgroups of RUN steps and probes whose runtime was killed. A step that is just starting has an empty
    one too, but not for as long as AGE_SECONDS."""
    for tree in (ROOT, ROOT / "pids", ROOT / "memory", ROOT / "systemd"):
        with contextlib.suppress(OSError):
            for entry in os.scandir(tree):
                if entry.name.startswith(SHORT_LIVED) and time.time() - entry.stat().st_mtime > AGE_SECONDS:
                    path = f"/{entry.name}"
                    _remove_empty(places(path) if not processes(path) else ())


def oom_kills(path: str) -> int:
    """How many processes of the cgroup the kernel has killed for want of memory."""
    here = path.lstrip("/")
    for file in (ROOT / here / "memory.events", ROOT / "memory" / here / "memory.oom_control"):
        if file.exists():
            return _numbers(file).get("oom_kill", 0)
    return 0


def usage(path: str) -> Usage | None:
    """What the cgroup tells; None where it is not there."""
    if not places(path):
        return None
    return _usage_v2(ROOT / path.lstrip("/")) if is_v2() else _usage_v1(path.lstrip("/"))


def _usage_v1(here: str) -> Usage:
    memory, blkio = ROOT / "memory" / here, ROOT / "blkio" / here
    cache = _numbers(memory / "memory.stat").get("total_inactive_file", 0)
    limit = _number(memory / "memory.limit_in_bytes")
    moved: dict[str, int] = {}
    for words in _lines(blkio / "blkio.throttle.io_service_bytes_recursive"):
        if len(words) == 3:
            moved[words[1]] = moved.get(words[1], 0) + int(words[2])
    return Usage(
        max(0, _number(memory / "memory.usage_in_bytes") - cache), 0 if limit >= 1 << 62 else limit,
        _number(ROOT / "cpuacct" / here / "cpuacct.usage"), _number(ROOT / "pids" / here / "pids.current"),
        moved.get("Read", 0), moved.get("Write", 0),
    )  # fmt: skip


def _usage_v2(place: Path) -> Usage:
    cache = _numbers(place / "memory.stat").get("inactive_file", 0)
    moved = {"rbytes": 0, "wbytes": 0}
    for words in _lines(place / "io.stat"):
        for word in words[1:]:
            name, _, number = word.partition("=")
            if name in moved:
                moved[name] += int(number)
    return Usage(
        max(0, _number(place / "memory.current") - cache), _number(place / "memory.max"),
        1000 * _numbers(place / "cpu.stat").get("usage_usec", 0), _number(place / "pids.current"),
        moved["rbytes"], moved["wbytes"],
    )  # fmt: skip


def _lines(file: Path) -> list[list[str]]:
    try:
        return [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return []


def _numbers(file: Path) -> dict[str, int]:
    return {words[0]: int(words[1]) for words in _lines(file) if len(words) == 2 and words[1].isdecimal()}


def _number(file: Path) -> int:
    words = [word for line in _lines(file) for word in line]
    return int(words[0]) if words and words[0].isdecimal() else 0
