"""RUN steps through an OCI runtime."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from runtime.bundle import Place, generated, make_cwd, open_nothing, points, step_filters, step_nodes, step_process
from runtime.engine import DIALECTS, NOT_EXECUTABLE, NOT_FOUND, Engine, failure
from runtime.mounts import Mount, make_devices
from runtime.sealed import sealed
from runtime.spec import Bundle
from runtime.step import Step, step_name
from runtime.streams import Output, Stop, hear, spawn, wait
from runtime.stubs import Stubs
from runtime.user import User, lookup


class OciSteps:
    """A StepRunner over `engine`. Bundles and the runtime's state live on a private tmpfs: a kill leaves nothing."""

    def __init__(self, engine: Engine, state: Path) -> None:
        self._engine = engine
        self._place = Place(state / "steps")

    def run(self, rootfs: Path, step: Step, output: Output, stop: Stop | None = None) -> int:
        name, root = step_name(), os.path.realpath(rootfs)
        with self._place.bundle(name) as bundle:
            make_devices(f"{bundle}/dev", privileged=step.privileged)
            user = lookup(root, step.user)
            make_cwd(root, step.cwd)
            nodes, rules = step_nodes(step, f"{bundle}/dev")
            mounts = [*generated(bundle, step), *step.mounts, *nodes]
            with Stubs(root).made(*points(mounts)):
                (bundle / "config.json").write_bytes(self._config(name, bundle, root, step, user, mounts, rules))
                return self._start(name, bundle, output, stop)

    def _config(
        self, name: str, place: Path, root: str, step: Step, user: User, mounts: list[Mount],
        rules: tuple[dict[str, Any], ...],
    ) -> bytes:  # fmt: skip
        process = step_process(step, user)
        cgroup = f"/lamella-{name}" if self._engine.cgroups else ""
        bundle = Bundle(
            process, root, step.hostname, mounts, step.network, privileged=step.privileged, shm_size=step.shm_size,
            cgroup=cgroup, devices=f"{place}/dev", filters=step_filters(self._engine.name, step, self._place.path.parent), rules=rules,
        )  # fmt: skip
        spec = bundle.to_spec()
        if self._engine.name in DIALECTS:
            from runtime.dialects import adapt

            adapt(spec, self._engine.name)
        return json.dumps(spec, separators=(",", ":")).encode()

    @cached_property
    def _sealed(self) -> Engine:
        """For all steps: a build has ten of them."""
        return sealed(self._engine)

    def _start(self, name: str, bundle: Path, output: Output, stop: Stop | None) -> int:
        state, log = self._place.path / "state", bundle / "log"

        def abort() -> None:
            wait(spawn(self._sealed.command(state, bundle / "abort", "delete", "--force", name), silent=True))

        command = self._sealed.command(state, log, "run", "--bundle", str(bundle), name)
        nothing = open_nothing()
        try:
            code = hear(lambda out, err: spawn(command, stdin=nothing, stdout=out, stderr=err), output, abort, stop)
        finally:
            os.close(nothing)
        failed = failure(log) if code else None
        if failed is None:
            return code
        if failed.exit_code in (NOT_FOUND, NOT_EXECUTABLE):
            return failed.exit_code  # the runtime has said why on stderr
        raise failed
