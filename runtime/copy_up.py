"""What the image has at a volume's place goes into the volume, when a container is created on it and it is empty.

A copy is made beside the volume's data first, and renamed when it is whole; then its entries are moved in, one by one. So
whoever is killed leaves either nothing or what the next one finishes, and containers that have the volume see no half files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.locks import FileLock
from core.paths import resolve_in
from core.removal import remove

if TYPE_CHECKING:
    from runtime.container import Container
    from runtime.containers import Containers
    from runtime.mounts import Mount

COPYING, COPIED, REPLACING = "copying", "copied", "replacing"  # beside `_data`


def copy_up(containers: Containers, container: Container) -> None:
    """Fill those of the new container's volumes that are empty. Raises OSError, LamellaError.

    Only where the image may have something is anything mounted, in a child.
    """
    from core.apart import apart

    store = containers.store
    waiting = [mount for mount in container.mounts if mount.kind == "volume" and mount.copy and not mount.subpath]
    plain = {mount.name for mount in waiting if _plain(containers, mount)}
    todo = [mount for mount in waiting if mount.name not in plain or not os.listdir(store.volumes.path(mount.name))]
    if todo:
        apart(lambda: _fill(containers, container, todo, plain))


def _plain(containers: Containers, mount: Mount) -> bool:
    volume = containers.store.volumes.find(mount.name)
    if volume.plain:
        finish(containers.store.volumes.home(mount.name))
    return volume.plain


def _fill(containers: Containers, container: Container, mounts: Sequence[Mount], plain: set[str]) -> None:
    from runtime.volume_sources import attached
    from snapshot.merging import merge

    with containers.snapshotter.mounted(container.id, durable=not container.auto_remove) as rootfs:
        for mount in mounts:
            source = resolve_in(rootfs, mount.target)
            if not os.path.isdir(source):
                continue
            home = containers.store.volumes.home(mount.name)
            if mount.name in plain:
                fill(home, Path(source), containers.store.sync)
            else:
                with attached(containers, container, [mount]):
                    if not os.listdir(home / "_data"):
                        merge(source, os.fspath(home / "_data"))


def fill(home: Path, source: Path, sync: bool) -> None:
    """Copy the tree at `source` into the plain volume at `home` unless there is something in it."""
    from snapshot.duplicate import duplicate

    with alone(home):
        if not os.listdir(home / "_data"):
            put(home, lambda place: duplicate(source, place), sync=sync)


def put(home: Path, make: Callable[[Path], object], *, sync: bool, replace: bool = False) -> None:
    """Let `make` make a missing directory, and move what is in it into the volume at `home`, which nobody else fills. What is
    in the way stays, or with `replace` goes, with all else. Where `make` raises nothing has changed."""
    from core.syscalls import sync_filesystem

    remove(home / COPYING)
    try:
        make(home / COPYING)
    except BaseException:
        remove(home / COPYING)
        raise
    if sync:
        sync_filesystem(home)
    os.rename(home / COPYING, home / (REPLACING if replace else COPIED))
    _move_in(home)


def finish(home: Path) -> None:
    """Complete what a killed process has begun. Harmless to repeat."""
    if any(os.path.lexists(home / name) for name in (COPYING, COPIED, REPLACING)):
        with alone(home):
            remove(home / COPYING)
            _move_in(home)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Nobody else fills the volume meanwhile."""
    lock = FileLock(home / "lock")
    with lock.held():
        yield


def _move_in(home: Path) -> None:
    copied, data = home / COPIED, home / "_data"
    if (home / REPLACING).is_dir():
        for name in os.listdir(data):
            remove(data / name)
        os.rename(home / REPLACING, copied)
    if not copied.is_dir():
        return
    for name in os.listdir(copied):
        if not os.path.lexists(data / name):  # a container may have been faster
            os.rename(copied / name, data / name)
    _like(copied, data)
    remove(copied)


def _like(source: Path, target: Path) -> None:
    """Owner, mode, attributes and time of the directory itself."""
    from snapshot.attributes import copy_attributes

    copy_attributes(os.fspath(source), os.fspath(target), os.stat(source))
