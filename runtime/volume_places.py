"""A container's volumes and image mounts as binds, made by its keeper in the namespace that the runtime will start in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InvalidInput, NotFound
from core.value import replace
from runtime.mounts import Mount

if TYPE_CHECKING:
    from runtime.container import Container


def placed(container: Container, box: Path, root: Path) -> Sequence[Mount]:
    """The container's mounts, volumes and images as binds of what was mounted in `box` where need be.

    Raises NotFound for a subpath that is not there, InvalidInput for one that leads out of the volume.
    """
    return [_placed(container, mount, box / f"mount-{number}", root) for number, mount in enumerate(container.mounts)]


def _placed(container: Container, mount: Mount, place: Path, root: Path) -> Mount:
    if mount.kind == "bind" and "bind" in mount.options:
        return _alone(mount, place)
    if mount.kind in ("bind", "tmpfs"):
        return mount
    source = _image(mount, place, root) if mount.kind == "image" else mount.source
    if mount.subpath:
        source = _pinned(source, mount, place.with_name(f"{place.name}-sub"))
    options = ("rprivate", "nodev") if mount.kind == "image" else mount.options
    return replace(mount, kind="bind", source=source, options=options)


def _alone(mount: Mount, place: Path) -> Mount:
    """Without what is mounted below it: runtimes show that even where they are told not to (seen with crun and runc)."""
    found = os.open(mount.source, os.O_PATH | os.O_CLOEXEC)
    try:
        source = _bind(found, place, recursive=False)
    finally:
        os.close(found)
    return replace(mount, source=source, options=tuple(word for word in mount.options if word != "bind"))


def _image(mount: Mount, place: Path, root: Path) -> str:
    from snapshot.choose import choose

    return os.fspath(choose(root).view(f"{mount.source[-12:]}.{os.urandom(4).hex()}", mount.options, place))


def _pinned(top: str, mount: Mount, place: Path) -> str:
    """The subpath, looked up once: whatever becomes of its names, what was found is what is mounted. No link leads out of
    the volume, absolute ones not at all."""
    from core import syscalls

    directory = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolve = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS
        found = syscalls.openat2(directory, mount.subpath, os.O_PATH, resolve=resolve)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(
            f"cannot access path {mount.subpath} of {mount.kind} {mount.name}: no such file or directory",
            "make it first, in a container that has all of the volume",
        ) from error
    except OSError as error:
        raise InvalidInput(
            f"subpath {mount.subpath!r} of {mount.kind} {mount.name} is not in it: {(error.strerror or '').lower()}",
            "no link of a subpath may lead out of the volume",
        ) from error
    finally:
        os.close(directory)
    try:
        return _bind(found, place)
    finally:
        os.close(found)


def _bind(found: int, place: Path, *, recursive: bool = True) -> str:
    import stat

    from core import syscalls

    if stat.S_ISDIR(os.fstat(found).st_mode):
        place.mkdir()
    else:
        place.touch()
    syscalls.mount(f"/proc/self/fd/{found}", place, flags=syscalls.MS_BIND | (syscalls.MS_REC if recursive else 0))
    return os.fspath(place)
