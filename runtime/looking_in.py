"""A container's root with all that is mounted in it, whether the container runs or not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from core import syscalls
from core.idmaps import Span
from core.paths import clean, resolve_in
from runtime.box import Box
from runtime.bundle import points
from runtime.container import Container
from runtime.containers import Containers
from runtime.enter import NotRunning
from runtime.mounts import Mount
from runtime.reaching import keeper_and_first, lock_or_enter
from runtime.state import state_directory
from runtime.stubs import Stubs

INSIDE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS  # no path leads out of the root


class Root(NamedTuple):
    """`fd` is a descriptor. `users` and `groups`: who its owners are on this machine, where they are seen as the machine's."""

    fd: int
    users: tuple[Span, ...] = ()
    groups: tuple[Span, ...] = ()


@contextlib.contextmanager
def root_of(containers: Containers, container: Container) -> Iterator[Root]:
    """The container's root, to resolve paths in as INSIDE says. One that does not run cannot be started for
    the block; its mounts are made in a namespace of this process, which must be the only thread. Raises Unavailable."""
    found = lock_or_enter(containers, container, lambda: _running(containers, container))
    if isinstance(found, int):
        try:
            yield Root(found, *_spans(container))
        finally:
            os.close(found)
        return
    try:
        with _mounted(containers, container) as fd:
            yield Root(fd)
    finally:
        found.release()


def _spans(container: Container) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    own = container.isolation
    return (tuple(map(Span.parse, own.users)), tuple(map(Span.parse, own.groups))) if own else ((), ())


def _running(containers: Containers, container: Container) -> int:
    keeper, first = keeper_and_first(containers, container)
    try:
        fd = os.open(f"/proc/{first}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotRunning(container) from error
    if containers.status(container).keeper != keeper:  # the pid may have been somebody else's by then
        os.close(fd)
        raise NotRunning(container)
    return fd


@contextlib.contextmanager
def _mounted(containers: Containers, container: Container) -> Iterator[int]:
    from core.namespaces import enter_private_mounts
    from runtime.volume_places import placed
    from runtime.volume_sources import Attachment, release

    attachment = Attachment(containers, container)
    enter_private_mounts()
    box = Box(state_directory(containers.store.root))
    box.mount()
    try:
        attachment.move()
        with containers.snapshotter.mounted(container.id, durable=True) as rootfs:
            root = os.path.realpath(rootfs)
            made = list(_bind(root, placed(attachment.container, box.path, containers.store.root)))
            fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                yield fd
            finally:
                os.close(fd)
                for target in reversed(made):
                    syscalls.unmount(target)
    finally:
        attachment.unmount()
        attachment.close()
        release(containers, container)


def _bind(root: str, mounts: Sequence[Mount]) -> Iterator[str]:
    """What is kept outside of the root, at its place in it; a tmpfs is as empty as it will be."""
    Stubs(root).make(*points(mounts))
    for mount in sorted(mounts, key=lambda mount: mount.target.count("/")):
        if mount.kind == "tmpfs" or not Path(mount.source).exists():
            continue
        target = resolve_in(root, clean(mount.target))
        syscalls.mount(mount.source, target, flags=syscalls.MS_BIND | syscalls.MS_REC)
        if mount.read_only:
            syscalls.mount("none", target, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)
        yield target
