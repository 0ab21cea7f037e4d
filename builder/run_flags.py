"""What the flags of a RUN mean in its stage: mounts, rights, devices, and a heredoc that is a program."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from builder.dockerfile.instructions import Instruction, Run
from builder.dockerfile.mounts import Mount
from builder.fold import workdir_path
from builder.ops.mounts import RunMount, plan_mount
from builder.ops.run import Script
from builder.request import INSECURE
from builder.stages import Origin
from builder.state import StageState
from core.errors import InvalidInput
from core.paths import clean

FindOrigin = Callable[[str, Instruction], Origin]

# The Container Device Interface's qualified names (cncf-tags/container-device-interface, SPEC.md, "kind" and "name").
_DEVICE = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(=[\w.:*-]+)?")
_SCRATCH = "scratch"


def plan_mounts(one: Run, state: StageState, find_origin: FindOrigin) -> tuple[RunMount, ...]:
    """The mounts of a RUN with their places. Raises DockerfileError."""
    return tuple(_plan_mount(one, mount, state, find_origin) for mount in one.mounts)


def _plan_mount(one: Run, mount: Mount, state: StageState, find_origin: FindOrigin) -> RunMount:
    origin = _origin(one, mount, find_origin)
    try:
        return plan_mount(mount, workdir_path(state, mount.target), origin)
    except InvalidInput as error:
        raise one.error(error.message, error.hint) from None


def _origin(one: Run, mount: Mount, find_origin: FindOrigin) -> Origin | None:
    if not mount.origin or (mount.type == "cache" and mount.origin == _SCRATCH):
        return None
    if mount.origin.isdecimal():
        raise one.error(f"from={mount.origin} in --mount: a stage needs a name", "name it: FROM IMAGE AS NAME")
    return find_origin(mount.origin, one)


def executable(one: Run) -> Script | None:
    """The heredoc that is the whole command, if it names its interpreter (`#!`)."""
    doc = one.script
    if doc is None or not one.command.shell or not doc.body.startswith("#!"):
        return None
    return Script(clean(f"/dev/pipes/{clean(doc.name)}"), doc.body)


def is_privileged(one: Run, allowed: Collection[str]) -> bool:
    """Whether the RUN has all rights. Raises DockerfileError where the build does not allow that."""
    if one.security == "insecure" and INSECURE not in allowed:
        raise one.error("RUN --security=insecure is not allowed in this build", f"allow it: --allow {INSECURE}")
    return one.security == "insecure"


def missing_devices(one: Run) -> tuple[str, ...]:
    """The devices that the RUN could use but has to do without, which is all of them. Raises DockerfileError for one that
    is required."""
    missing = []
    for text in one.devices:
        name, *options = text.split(",")
        if not _DEVICE.fullmatch(name) or set(options) - {"required", "required=true", "required=false"}:
            raise one.error(f"invalid --device: {text!r}", "write it as VENDOR/CLASS=NAME[,required]")
        if {"required", "required=true"} & set(options):
            raise one.error(f"there is no device {name} here", "this version of lamella has no devices for RUN steps")
        missing.append(name)
    return tuple(missing)
