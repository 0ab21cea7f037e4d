"""One RUN step of a build: a short-lived container on a mounted root, heard to its end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from core.progress import Progress
from core.value import Value, field
from runtime.mounts import Mount
from runtime.streams import Output, Stop

if TYPE_CHECKING:
    from runtime.cdi import Node


class Given(Value):
    """A file that only the step sees, read-only at `target`. Its content never reaches a disk, nor what is printed of it."""

    target: str
    content: bytes = field(repr=False)
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


class Limit(Value):
    """One of setrlimit(2), by the kernel's name in lower case (`nofile`); -1 is no limit."""

    name: str
    soft: int
    hard: int

    def to_spec(self) -> dict[str, Any]:
        """As the runtime spec has it (config.md, "POSIX process", `rlimits`)."""
        soft, hard = (value % (1 << 64) for value in (self.soft, self.hard))
        return {"type": f"RLIMIT_{self.name.upper()}", "soft": soft, "hard": hard}


class Step(Value):
    """What a RUN executes. `env` is `NAME=value`, `cwd` is created when missing, `user` as in `USER`.

    `add_hosts` are `name:address`; `mounts`, `files` and `nodes` are absolute in the container. `shm_size` in bytes.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    network: Literal["host", "none"] = "host"
    hostname: str = "buildkitsandbox"
    add_hosts: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    privileged: bool = False
    files: tuple[Given, ...] = ()
    shm_size: int = 64 << 20
    limits: tuple[Limit, ...] = ()
    nodes: tuple[Node, ...] = ()


class StepRunner(Protocol):
    """Runs steps one after the other or, from several threads, side by side."""

    def run(self, rootfs: Path, step: Step, output: Output, stop: Stop | None = None) -> int:
        """Run `step` on the root mounted at `rootfs`; returns its exit code when all its processes have ended.

        `output` gets what it writes, in pieces, from the calling thread. A command that is missing gives 127, one that
        cannot be executed 126, with a line on stderr. Nothing that was mounted stays, mount points made for it are
        removed again. Raises NotFound for an unknown user, StartFailed where the container cannot be started. If
        `output` raises, or on an interrupt, the step is killed first; Stopped where `stop` was set, by another thread, before
        its end. Needs private mounts (`core.namespaces`).
        """


def step_runner(root: Path, progress: Progress) -> StepRunner:
    """The runner for this machine, on the store at `root`: the fastest OCI runtime that starts, else chroot.

    Probing mounts, so call it where mounts are private; its answer is remembered. Falling back is said once through
    `progress.warn`.
    """
    from runtime.probe import PACKAGES, choose
    from runtime.state import state_directory

    state = state_directory(root)
    engine = choose(state)
    if engine.path:
        from runtime.oci_step import OciSteps

        if engine.cgroups:
            from runtime.cgroups import sweep_short_lived

            sweep_short_lived()

        return OciSteps(engine, state)
    from runtime.chroot import ChrootSteps

    progress.warn(f"no OCI runtime starts here: RUN uses the embedded chroot backend; {PACKAGES} for full isolation")
    return ChrootSteps(state)


def step_name() -> str:
    """A name that no other living step of this machine has; random, for every contained process is number 1."""
    return f"step-{os.urandom(4).hex()}"
