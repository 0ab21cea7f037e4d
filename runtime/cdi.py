"""Devices by name, as the Container Device Interface has them (cncf-tags/container-device-interface, SPEC.md): files that
vendors put on the machine say what a container needs to use one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, Unsupported
from core.value import Value, field
from runtime.mounts import Mount

_ALLOWED = "org.mobyproject.buildkit.device.autoallow"
_CLASS = "org.mobyproject.buildkit.device.class"
_MAX_BYTES = 4 << 20
_KNOWN = {"env", "deviceNodes", "mounts"}


class Node(Value):
    """A device node for a container: `source` on the host, `target` in it; `access` is of `rwm`. None leaves the host's."""

    source: str
    target: str
    access: str = "rwm"
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class Device(Value):
    """What one device needs: variables, nodes, mounts. `unknown` are needs that nothing here can meet."""

    name: str
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    env: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    mounts: tuple[Mount, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether who describes it lets every build have it."""
        return self.annotations.get(_ALLOWED, "").lower() in ("1", "t", "true")

    def facts(self) -> list[Any]:
        """All that a container comes to see of it: what is in the files that it mounts is not told."""
        nodes = [[one.source, one.target, one.access, one.mode, one.uid, one.gid] for one in self.nodes]
        return [self.name, self.env, nodes, [[one.source, one.target, one.options] for one in self.mounts]]


def devices(directories: Iterable[str]) -> list[Device]:
    """All that are described in `directories`, of which a later one wins, by name. Raises InvalidInput for a file that is none
    of these, and for a device that one directory has twice."""
    found: dict[str, Device] = {}
    for directory in directories:
        here: dict[str, Device] = {}
        for path in _files(Path(directory)):
            for device in _read(path):
                if device.name in here:
                    raise InvalidInput(f"the device {device.name} is described twice in {directory}", "remove one file")
                here[device.name] = device
        found |= here
    return [found[name] for name in sorted(found)]


def matching(name: str, known: Sequence[Device]) -> list[Device]:
    """Those that `name` means: VENDOR/CLASS=NAME that one, VENDOR/CLASS=* all of a kind, VENDOR/CLASS its first; else those
    whose description has this word as their class."""
    kind, _, own = name.partition("=")
    same = [device for device in known if device.name.startswith(f"{kind}=")]
    if own not in ("", "*"):
        same = [device for device in same if device.name == name]
    same = same if own else same[:1]
    return same or [device for device in known if device.annotations.get(_CLASS) == name]


def refuse_unknown(device: Device) -> None:
    """Raises Unsupported where the device needs what nothing here can do."""
    if device.unknown:
        raise Unsupported(
            f"the device {device.name} needs {', '.join(device.unknown)}, which lamella has not",
            "there are env, deviceNodes and mounts",
        )


def _files(directory: Path) -> list[Path]:
    try:
        there = sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path for path in there if path.suffix in (".json", ".yaml", ".yml") and path.is_file()]


def _read(path: Path) -> list[Device]:
    try:
        with path.open("rb") as file:
            spec = json.loads(file.read(_MAX_BYTES))
    except OSError as error:
        raise _wrong(path, str(error.strerror), "let it be readable, or remove it") from error
    except (ValueError, RecursionError):
        raise _wrong(
            path, "it is no JSON", "lamella reads no other YAML: write it anew, as with nvidia-ctk's --format=json"
        ) from None
    try:
        common, shared = _edits(spec.get("containerEdits") or {}), spec.get("annotations") or {}
        return [_device(spec["kind"], one, common, shared) for one in spec["devices"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise _wrong(path, "it is no description of devices", "compare it with the CDI specification") from None


def _wrong(path: Path, what: str, hint: str) -> InvalidInput:
    return InvalidInput(f"cannot read the devices of {path}: {what}", hint)


def _device(kind: str, one: Mapping[str, Any], common: dict[str, Any], shared: Mapping[str, str]) -> Device:
    own = _edits(one.get("containerEdits") or {})
    edits = {name: (*common[name], *own[name]) for name in common}
    return Device(f"{kind}={one['name']}", {**shared, **(one.get("annotations") or {})}, **edits)


def _edits(edits: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {
        "env": tuple(map(str, edits.get("env") or ())),
        "nodes": tuple(map(_node, edits.get("deviceNodes") or ())),
        "mounts": tuple(map(_mount, edits.get("mounts") or ())),
        "unknown": tuple(sorted(name for name, value in edits.items() if value and name not in _KNOWN)),
    }


def _node(node: Mapping[str, Any]) -> Node:
    target, access = str(node["path"]), node.get("permissions") or "rwm"
    numbers = (None if node.get(name) is None else int(node[name]) for name in ("fileMode", "uid", "gid"))
    return Node(node.get("hostPath") or target, target, "" if access == "none" else str(access), *numbers)


def _mount(mount: Mapping[str, Any]) -> Mount:
    options = tuple(map(str, mount.get("options") or ()))
    return Mount(str(mount["hostPath"]), str(mount["containerPath"]), options=options)


def added(nodes: Sequence[Node], place: str) -> list[Mount]:
    """The container's own `nodes`, made in the directory `place`, and how they are bound in."""
    from runtime.mounts import copy_node

    mounts = []
    for number, node in enumerate(nodes):
        path = f"{place}/cdi-{number}"
        copy_node(node.source, path)
        os.chown(path, -1 if node.uid is None else node.uid, -1 if node.gid is None else node.gid)
        if node.mode is not None:
            os.chmod(path, node.mode & 0o7777)
        mounts.append(Mount(path, node.target, options=("rprivate", "nosuid", "noexec")))
    return mounts


def rules(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """What the device cgroup is to let through for `nodes`. Raises InvalidInput for what is no device node."""
    import stat

    found = []
    for node in nodes:
        try:
            status = os.stat(node.source)
        except OSError:
            status = None
        if status is None or not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            raise InvalidInput(f"{node.source} is no device node of this machine", "is its driver loaded?")
        found.append({
            "allow": True, "type": "c" if stat.S_ISCHR(status.st_mode) else "b", "major": os.major(status.st_rdev),
            "minor": os.minor(status.st_rdev), "access": node.access,
        })  # fmt: skip
    return found
