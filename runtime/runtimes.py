"""Which OCI runtime starts a container that is not a plain one: another than this machine's usual, or with a cgroup."""

from __future__ import annotations

import os

from core.errors import InvalidInput, Unsupported
from core.rootless import outer_uid
from core.value import replace
from runtime import cgroups
from runtime.container import Container
from runtime.engine import Engine
from runtime.probe import CANDIDATES, CHROOT, PLACES

_CGROUP_OPTIONS = {"crun": ("--cgroup-manager=cgroupfs",)}


def engine_for(container: Container, usual: Engine) -> Engine:
    """The engine for `container` where `usual` is this machine's. Raises InvalidInput for a runtime that is not there,
    Unsupported for one that cannot start here."""
    if container.plain:
        return usual
    wanted = container.isolation.runtime if container.isolation else ""
    engine = find(wanted) if wanted else usual
    if engine.path and engine.name != "crun" and outer_uid() and not cgroups.controllers():
        raise Unsupported(
            f"{engine.name} wants a cgroup, and an ordinary user can write none here", "use --runtime crun"
        )
    if engine.name == "runsc":  # whose network stack is its own: it must be told that there is nothing to take over
        network = container.network if container.network in ("host", "none") else "sandbox"
        engine = replace(engine, options=(*engine.options, f"--network={network}"))
    return with_cgroup(engine) if wants_cgroup(container) else engine


def find(name: str) -> Engine:
    """The runtime of this name, or at this path. Raises InvalidInput."""
    if name == CHROOT.name:
        return CHROOT
    known = {candidate: options for candidate, options, keeps in reversed(CANDIDATES)}
    for place in (name,) if name.startswith("/") else (f"{directory}/{name}" for directory in PLACES):
        if os.access(place, os.X_OK):
            kind = os.path.basename(place)
            keeps = next((keeps for candidate, _, keeps in CANDIDATES if candidate == kind), True)
            return Engine(kind, place, known.get(kind, ()), keeps)
    raise InvalidInput(
        f"unknown or invalid runtime name: {name}", "give the name of one that is installed, or its path"
    )


def with_cgroup(engine: Engine) -> Engine:
    """The same, keeping a cgroup for the container; unchanged where that cannot be here."""
    if engine.cgroups or engine.name not in _CGROUP_OPTIONS or not cgroups.controllers():
        return engine
    return replace(engine, options=_CGROUP_OPTIONS[engine.name], cgroups=True)


def wants_cgroup(container: Container) -> bool:
    """Whether anything of `container` needs a cgroup of its own."""
    isolation = container.isolation
    if container.limits or container.privileged or any("dev" in mount.options for mount in container.mounts):
        return True
    if isolation is None:
        return False
    return bool(isolation.device_rules or isolation.cgroupns or isolation.pid) or any(
        set("rw") - set(text.rpartition(":")[2]) for text in isolation.devices
    )
