"""`update`: other limits for what runs already."""

from __future__ import annotations

import json
from pathlib import Path

from core.errors import Unavailable
from runtime import cgroups
from runtime.box import Box
from runtime.container import Container
from runtime.containers import Containers
from runtime.engine import Engine, failure
from runtime.enter import inside
from runtime.limits import Limits
from runtime.streams import spawn, wait


def apply_limits(containers: Containers, container: Container, state: Path, limits: Limits) -> list[str]:
    """Give them to the cgroup of the running `container` (as it was recorded when it started); warnings where it has none.
    Raises Unavailable where the kernel refuses, such as memory below what is used."""
    if cgroups.usage(cgroups.path_of(container, state)) is None:
        return [f"container {container.name} runs without a cgroup: the limits count from its next start"]
    code = inside(containers, container, state, lambda box, engine: _update(container, limits, box, engine))
    if code:  # it has said why
        raise Unavailable(
            f"Cannot update container {container.id}", "its limits are those it had; the new ones are recorded"
        )
    return []


def _update(container: Container, limits: Limits, box: Box, engine: Engine) -> int:
    file, log = box.path / "resources.json", box.path / "update.log"
    try:
        file.write_text(json.dumps(limits.to_spec()))
        words = engine.command(box.runtime_state, log, "update", "--resources", str(file), container.id)
        code = wait(spawn(words, silent=True))
        failed = failure(log) if code else None
        if failed:
            raise Unavailable(f"Cannot update container {container.id}: {failed.message}")
        return code
    finally:
        for path in (file, log):
            path.unlink(missing_ok=True)
