"""RUN steps without an OCI runtime: the embedded jail."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from runtime.bundle import Place, generated, make_cwd, open_nothing, points, step_filters, step_nodes, step_process
from runtime.jail import Jail, start
from runtime.mounts import make_devices
from runtime.spec import Bundle
from runtime.step import Step, step_name
from runtime.streams import Output, Stop, hear
from runtime.stubs import Stubs
from runtime.user import lookup


class ChrootSteps:
    """A StepRunner that needs nothing installed."""

    def __init__(self, state: Path) -> None:
        self._place = Place(state / "steps")

    def run(self, rootfs: Path, step: Step, output: Output, stop: Stop | None = None) -> int:
        root = os.path.realpath(rootfs)
        with self._place.bundle(step_name()) as bundle:
            user = lookup(root, step.user)
            make_cwd(root, step.cwd)
            make_devices(f"{bundle}/dev", privileged=step.privileged)
            mounts = [*generated(bundle, step), *step.mounts, *step_nodes(step, f"{bundle}/dev")[0]]
            spec = Bundle(
                step_process(step, user), root, step.hostname, mounts, step.network, privileged=step.privileged,
                shm_size=step.shm_size, devices=f"{bundle}/dev",
                filters=step_filters("chroot", step, self._place.path.parent),
            ).to_spec()  # fmt: skip
            with Stubs(root).made(*points(mounts)):
                return _heard(spec, open_nothing(), output, stop)


def _heard(spec: dict[str, object], nothing: int, output: Output, stop: Stop | None) -> int:
    keepers: list[int] = []

    def begin(out: int, err: int) -> int:
        keepers.append(start(Jail(spec, (nothing, out, err))))
        return keepers[0]

    try:
        return hear(begin, output, lambda: _end(keepers[0]), stop)
    finally:
        os.close(nothing)


def _end(keeper: int) -> None:
    """Kill the init that the keeper waits for: so the keeper ends when everything inside has, and not before."""
    inits: list[int] = []
    with contextlib.suppress(OSError):
        inits = [*map(int, Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split())]
    for pid in inits or [keeper]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
