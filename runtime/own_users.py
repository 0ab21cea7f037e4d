"""Containers in a user namespace of their own: their root is nobody on the machine, and all that they keep is written with
the IDs that they see themselves. Nothing is copied or given to others: mounts translate (`snapshot.mapped`)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import idmaps
from core.errors import Conflict, InvalidInput, Unavailable, Unsupported
from core.idmaps import Span
from core.value import replace
from runtime.isolation import Isolation
from runtime.mounts import DEVICES

if TYPE_CHECKING:
    from runtime.box import Box
    from runtime.container import Container
    from runtime.containers import Containers
    from runtime.engine import Engine

AUTO, OTHER = "auto", "container:"
SIZE = 65_536
# Where no /etc/subuid says otherwise: what systemd sets aside for containers (its "UIDs and GIDs" page).
FIRST, LAST = 524_288, 1_879_048_191
NOBODY = (1 << 32) - 1  # is no ID
_PING = "net.ipv4.ping_group_range"
_KEEPER = "containers"  # whose subordinate IDs are for containers, as with podman


@contextlib.contextmanager
def alone(containers: Containers) -> Iterator[None]:
    """Nobody else gives out IDs of this store for the block."""
    fd = os.open(containers.root / "containers", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def with_ids(containers: Containers, isolation: Isolation) -> Isolation:
    """With IDs that no other container of the store has, or those of the container that it names. To be called `alone`, until
    the container's record is written. Raises NoSuchContainer, Unavailable where there are no more."""
    if isolation.userns.startswith(OTHER):
        donor = containers.find(isolation.userns.removeprefix(OTHER)).isolation
        return replace(isolation, users=donor.users, groups=donor.groups) if donor else isolation
    size = int(isolation.userns.partition("size=")[2] or SIZE)
    taken = [one.isolation for one in containers.all() if one.isolation and one.isolation.users]
    users = _free("/etc/subuid", size, [text for other in taken for text in other.users])
    groups = _free("/etc/subgid", size, [text for other in taken for text in other.groups])
    return replace(isolation, users=(f"0:{users}:{size}",), groups=(f"0:{groups}:{size}",))


def _free(file: str, size: int, taken: Sequence[str]) -> int:
    used = sorted((span.outside, span.outside + span.size) for span in map(Span.parse, taken))
    for first, end in _offered(file):
        for start, stop in used:
            if start < first + size and first < stop:
                first = stop
        if first + size <= end:
            return first
    raise Unavailable(
        f"there are no {size} IDs left for a container's users", f"give the user {_KEEPER!r} more of them in {file}"
    )


def _offered(file: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    with contextlib.suppress(OSError), open(file, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, rest = line.strip().partition(":")
            first, _, count = rest.partition(":")
            if name == _KEEPER and first.isdecimal() and count.isdecimal():
                found.append((int(first), min(int(first) + int(count), NOBODY)))
    return sorted(found) or [(FIRST, LAST + 1)]


def check(isolation: Isolation, *, privileged: bool) -> None:
    """Docker's words for what cannot be together. Raises Conflict, InvalidInput, Unsupported."""
    from core.rootless import outer_uid

    if privileged:
        raise Conflict(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace"
            " when running privileged mode", "leave out --userns or --privileged",
        )  # fmt: skip
    for name in ("pid", "ipc"):
        if getattr(isolation, name) not in ("", "shareable", "none"):
            raise Conflict(
                f"cannot share another {name.upper()} namespace when user namespaces are enabled", f"leave out --{name}"
            )
    if outer_uid():
        raise Unsupported("a user namespace within an ordinary user's is not there yet", "leave out --userns")
    try:
        for spans in (isolation.users, isolation.groups):
            idmaps.outside(map(Span.parse, spans), 0)
    except (ValueError, KeyError) as error:
        raise InvalidInput(
            f"invalid mapping of IDs: {' '.join((*isolation.users, *isolation.groups))}",
            "write INSIDE:OUTSIDE:SIZE, one of them with 0 inside",
        ) from error


def settle(
    box: Box, container: Container, containers: Containers, rootfs: Path, spec: dict[str, Any], engine: Engine
) -> None:
    """Change what is ready to be started, in `box`, to run in a user namespace: mounts and config.json. Raises Unsupported."""
    from snapshot.mounting import unmount
    from snapshot.overlay import Overlay

    isolation = container.isolation or Isolation()
    users, groups = (list(map(Span.parse, spans)) for spans in (isolation.users, isolation.groups))
    if not isinstance(containers.snapshotter, Overlay):
        raise Unsupported("a user namespace of its own needs overlayfs", "leave out --userns")
    if engine.name != "crun" and _borrowed(spec) is not None:
        raise Unsupported(
            f"{engine.name} cannot enter a container with users of its own in a network that was there before",
            "use --runtime crun, or --network none",
        )
    unmount(rootfs)
    root = containers.snapshotter.mount_mapped(container.id, users, groups, box.path)
    for path in (box.path.parent, box.path):  # who is nobody there must come through
        os.chmod(path, 0o711)
    spec["root"]["path"] = os.fspath(root)
    # The root is mounted nodev already, and whoever is nobody's root gets the machine's nodes from the runtime.
    unwanted = {"/.", *(f"/dev/{name}" for name in DEVICES)}
    spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] not in unwanted]
    userns = idmaps.namespace(users, groups)
    try:
        for number, mount in enumerate(spec["mounts"]):
            if mount["type"] == "bind" and not {"rshared", "shared", "rslave", "slave"} & set(mount["options"]):
                _map(mount, userns, box.path / f"mapped-{number}")
    finally:
        os.close(userns)
    linux = spec["linux"]
    linux["namespaces"].append({"type": "user"})
    linux |= {"uidMappings": [s.to_spec() for s in users], "gidMappings": [s.to_spec() for s in groups]}
    sysctls = linux.get("sysctl", {})
    if _PING in sysctls:
        sysctls[_PING] = f"0 {_last(groups)}"
    _borrow_network(spec)
    (box.path / "config.json").write_bytes(json.dumps(spec, separators=(",", ":")).encode())


def _last(groups: Sequence[Span]) -> int:
    """The highest ID of those without a gap from 0 on."""
    end = 0
    for span in sorted(groups, key=lambda span: span.inside):
        end = max(end, span.inside + span.size) if span.inside <= end else end
    return min(end, 1 << 31) - 1


def _map(mount: dict[str, Any], userns: int, place: Path) -> None:
    """Where its file system cannot translate owners, a bind shows the machine's IDs: nobody's, mostly."""
    from core import syscalls

    source = mount["source"]
    with contextlib.suppress(OSError):
        tree = idmaps.mapped(source, userns, recursive=os.path.isdir(source))
        try:
            place.mkdir() if os.path.isdir(source) else place.touch()
            syscalls.move_tree(tree, place)
        finally:
            os.close(tree)
        mount["source"] = os.fspath(place)


def _borrow_network(spec: dict[str, Any]) -> None:
    """A network that was there before the user namespace is not its root's to see or set: /sys is the machine's, and what the
    container may do there is set for it."""
    from runtime.spec import hosts_sys

    network = _borrowed(spec)
    if network is None:
        return
    spec["mounts"] = [hosts_sys() if mount["type"] == "sysfs" else mount for mount in spec["mounts"]]
    sysctls = spec["linux"].get("sysctl", {})
    ours = {name: sysctls.pop(name) for name in list(sysctls) if name.startswith("net.")}
    if ours and network:
        _set(ours, network)


def _borrowed(spec: dict[str, Any]) -> str | None:
    """The network namespace that it gets, empty for the machine's; None for a new one of its own."""
    network = next((one for one in spec["linux"]["namespaces"] if one["type"] == "network"), {"path": ""})
    path = network.get("path")
    return None if path is None else str(path)


def _set(sysctls: dict[str, str], network: str) -> None:
    from core import syscalls

    home, there = (os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in ("/proc/self/ns/net", network))
    try:
        syscalls.setns(there, syscalls.CLONE_NEWNET)
        for name, value in sysctls.items():
            with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as file:
                file.write(value)
    finally:
        syscalls.setns(home, syscalls.CLONE_NEWNET)
        os.close(home)
        os.close(there)
