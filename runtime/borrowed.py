"""Namespaces borrowed from other containers, for `--pid container:NAME` and `--ipc container:NAME`, or from the host."""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import Conflict, Unsupported
from runtime.box import Box
from runtime.container import Container
from runtime.containers import Containers
from runtime.engine import Engine
from runtime.inspect import first_process

OTHER = "container:"
_SHAREABLE = ("shareable", "host")


def shares_processes(container: Container) -> bool:
    """Whether its processes are numbered with the host's, or with another container's."""
    return bool(container.isolation and container.isolation.pid)


def join(box: Box, containers: Containers, container: Container, engine: Engine) -> None:
    """Hold what `container` shares with others in its `box`, which is mounted. To be called where mounting is private.

    Raises NoSuchContainer and Conflict for a container that cannot be joined, and Unsupported where nothing could end all
    of the processes that are numbered with others'.
    """
    if container.isolation is None:
        return
    box.shares_pids = shares_processes(container)
    if box.shares_pids and not engine.cgroups:
        raise Unsupported("--pid needs a cgroup, and none of this host can be written", "leave out --pid")
    for kind in ("pid", "ipc"):
        mode = str(getattr(container.isolation, kind))
        if mode.startswith(OTHER):
            donor = containers.find(mode.removeprefix(OTHER))
            first = _running(containers, donor, kind.upper())
            box.borrowed[kind] = _hold(box, f"/proc/{first}/ns/{kind}", kind)
            if kind == "ipc":
                _check_shareable(donor)
                box.borrowed["shm"] = _hold_memory(box, first)


def _running(containers: Containers, donor: Container, what: str) -> int:
    keeper = containers.status(donor).keeper
    first = first_process(keeper) if keeper else 0
    if not first:
        raise Conflict(
            f"cannot join {what} of a non running container: {donor.id}", f"start it: lamella start {donor.name}"
        )
    return first


def _check_shareable(donor: Container) -> None:
    mode = donor.isolation.ipc if donor.isolation else ""
    if mode not in _SHAREABLE and not mode.startswith(OTHER):
        raise Conflict(
            f"can't join IPC of container {donor.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
        )


def _hold(box: Box, source: str, name: str) -> str:
    """A namespace as a file that stays when its process is gone."""
    from core import syscalls

    path = box.path / f"joined-{name}"
    path.touch(0o600)
    syscalls.mount(source, path, flags=syscalls.MS_BIND)
    return str(path)


def _hold_memory(box: Box, first: int) -> str:
    """The other container's /dev/shm, fetched from its mount namespace."""
    from core import syscalls

    path = Path(box.path / "joined-shm")
    path.mkdir(0o700)
    home, there = (os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC) for pid in ("self", first))
    try:
        syscalls.setns(there, syscalls.CLONE_NEWNS)
        try:
            tree = syscalls.open_tree("/dev/shm")
        finally:
            syscalls.setns(home, syscalls.CLONE_NEWNS)
    finally:
        os.close(home)
        os.close(there)
    try:
        syscalls.move_mount(tree, path)
    finally:
        os.close(tree)
    return str(path)
