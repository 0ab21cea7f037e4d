"""What the flags of a RUN mean in its stage: mounts, rights, devices, and a heredoc that is a program."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from builder.dockerfile.instructions import Instruction, Run
from builder.dockerfile.mounts import Mount
from builder.fold import workdir_path
from builder.ops.mounts import RunMount, plan_mount
from builder.ops.run import HOSTNAME, Script
from builder.request import DEVICE, INSECURE, BuildRequest
from builder.stages import Origin
from builder.state import StageState
from core.errors import InvalidInput, Unsupported
from core.paths import clean

if TYPE_CHECKING:
    from runtime.cdi import Device

FindOrigin = Callable[[str, Instruction], Origin]

# The Container Device Interface's qualified names (cncf-tags/container-device-interface, SPEC.md, "kind" and "name").
_DEVICE = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(=[\w.:*-]+)?")
_HOSTNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")
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


def hostname_of(one: Run, args: Mapping[str, str]) -> str:
    """What the RUN's machine is called, which a build arg can say. Raises DockerfileError for what is no name of one."""
    name = args.get("BUILDKIT_SANDBOX_HOSTNAME") or HOSTNAME
    if not _HOSTNAME.fullmatch(name):
        raise one.error(f"invalid BUILDKIT_SANDBOX_HOSTNAME: {name!r}", "use at most 63 letters, digits, '-' and '.'")
    return name


def plan_devices(one: Run, request: BuildRequest) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The devices that the RUN gets, and the names of those that it could use but has to do without. Raises DockerfileError
    for one that is required and not there, or that the build does not allow."""
    if not one.devices:
        return (), ()
    from runtime.cdi import devices, matching, refuse_unknown

    found: dict[str, Device] = {}
    missing = []
    try:
        known = devices(request.device_directories)
        for name, required in map(partial(_device, one), one.devices):
            meant = matching(name, known)
            if not meant and required:
                raise one.error(f"there is no device {name} here", _described(known))
            missing += [] if meant else [name]
            found |= {device.name: device for device in meant}
        for device in found.values():
            _allow(one, device, request.allow, known)
            refuse_unknown(device)
    except (InvalidInput, Unsupported) as error:
        raise one.error(error.message, error.hint) from None
    return tuple(found.values()), tuple(missing)


def _device(one: Run, text: str) -> tuple[str, bool]:
    """The name in a --device, and whether it is required."""
    name, *options = text.removeprefix("name=").split(",")
    if not _DEVICE.fullmatch(name) or set(options) - {"required", "required=true", "required=false"}:
        raise one.error(f"invalid --device: {text!r}", "write it as VENDOR/CLASS=NAME[,required]")
    return name, bool({"required", "required=true"} & set(options))


def _described(known: Sequence[Device]) -> str:
    if known:
        return f"there are {', '.join(device.name for device in known)}"
    return "devices are described by JSON files in /etc/cdi and /var/run/cdi"


def _allow(one: Run, device: Device, allowed: Collection[str], known: Sequence[Device]) -> None:
    from runtime.cdi import matching

    granted = [right.partition("=")[2] for right in allowed if right.partition("=")[0] == DEVICE]
    if device.allowed or any(not name or device in matching(name, known) for name in granted):
        return
    raise one.error(
        f"device {device.name} is requested by the build but not allowed", f"allow it: --allow {DEVICE}={device.name}"
    )
