"""What runtimes are told otherwise than crun and runc."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from runtime.keeper import Passing
from runtime.mounts import DEVICES
from runtime.streams import spawn, wait

_NODES = tuple(f"/dev/{name}" for name in DEVICES)


def adapt(spec: dict[str, Any], name: str) -> None:
    """Put into config.json what the runtime of this name understands."""
    if name == "runsc":  # what is read-only for it, is so with all that is below
        for mount in spec["mounts"]:
            mount["options"] = ["ro" if option == "rro" else option for option in mount["options"]]
    if name == "youki":
        if not spec["process"]["noNewPrivileges"]:  # a false one it takes for true where the filter is concerned
            del spec["process"]["noNewPrivileges"]
        # It makes the nodes itself, and keeps others away by the cgroup's rules.
        spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] not in _NODES]
        for mount in spec["mounts"]:
            if mount["destination"] == "/dev" and mount["type"] == "tmpfs":
                mount["options"] = [option for option in mount["options"] if option != "nodev"]


def by_kill(passing: Passing, command: Callable[[int], list[str]]) -> Callable[[int], None]:
    """To be called with the pid of a `runsc run`, which passes no signal on: `command` sends one into the container. Before
    that is there, the signal is its own."""

    def send(pid: int, number: int) -> None:
        if wait(spawn(command(number), silent=True)):
            os.kill(pid, number)

    return lambda pid: passing.to(pid, send)
