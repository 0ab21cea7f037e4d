"""`--mount=type=cache`: directories that stay from one build to the next, and never get into a layer."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from builder.ops.mounts import RunMount
from builder.ops.mounts_bind import copy_tree, source_in
from builder.ops.transfer import Copier
from builder.stages import Directory, Output, Workspace
from core.errors import InvalidInput
from core.paths import clean
from runtime.mounts import Mount
from store.caches import Sharing

_STRICTEST: tuple[Sharing, ...] = ("shared", "private", "locked")


@contextlib.contextmanager
def cached(mounts: Sequence[RunMount], work: Workspace, output: Output) -> Iterator[list[Mount]]:
    """The mounts on their directories, which nobody else gets until the block ends but as `sharing` allows.

    A directory that is mounted twice is taken once, and all are taken in one order: so no two steps wait for each other.
    """
    groups: dict[str, list[RunMount]] = {}
    for one in mounts:
        groups.setdefault(_name(one, work), []).append(one)
    found: list[Mount] = []
    with contextlib.ExitStack() as stack:
        for name, group in sorted(groups.items()):
            sharing = max((one.mount.sharing or "shared" for one in group), key=_STRICTEST.index)
            fill = _filling(group[0], work)
            waiting = _telling(group[0], work, output)
            data = stack.enter_context(work.supplies.caches.used(name, group[0].id, sharing, fill, waiting))
            found += [_mount(data, one) for one in group]
        yield found


def _mount(data: Path, one: RunMount) -> Mount:
    return Mount(str(data), one.target, read_only=one.mount.read_only, options=("rprivate", "nodev"))


def _name(one: RunMount, work: Workspace) -> str:
    """By its ID and by what it starts with: as BuildKit has it, a directory of other owners or files is another one."""
    start = [one.mount.mode, one.mount.uid, one.mount.gid]
    found = [work.supplies.namespace, one.id, start if any(v is not None for v in start) else None]
    if one.origin is not None:
        found += [one.inputs(work), clean(one.mount.source)]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:32]


def _filling(one: RunMount, work: Workspace) -> Callable[[Path], None]:
    def fill(new: Path) -> None:
        if one.origin is not None:
            with work.tree(one.origin) as root:
                source = source_in(root, clean(one.mount.source)[1:])
                if not source.is_dir():
                    raise InvalidInput(f"{one.mount.source} is no directory, so no cache can start with it")
                status = source.stat()
                copy_tree(source, new, Copier(keep_owners=not isinstance(one.origin, Directory)))
                os.chown(new, status.st_uid, status.st_gid)
        mount = one.mount
        if mount.uid is not None or mount.gid is not None:
            os.chown(new, mount.uid or 0, mount.gid or 0)
        if mount.mode is not None:
            os.chmod(new, mount.mode)
        elif one.origin is None:
            os.chmod(new, 0o755)

    return fill


def _telling(one: RunMount, work: Workspace, output: Output) -> Callable[[], None]:
    """A wait that says once what is waited for."""
    said: list[bool] = []

    def waiting() -> None:
        if not said:
            output("stderr", f"waiting for another step that uses the cache {one.id}\n".encode("utf-8", "replace"))
            said.append(True)
        work.supplies.waiting()

    return waiting
