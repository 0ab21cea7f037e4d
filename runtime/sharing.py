"""`--network container:NAME`: a container in the sandbox of another one, which lives until both have ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from core import syscalls
from core.errors import Conflict
from network.sandbox import Sandbox
from network.tables import Networks
from runtime.directories import Directories, NoSuchContainer
from runtime.joining import Joined
from runtime.networking import shared_with
from runtime.rejoining import sandbox_path

if TYPE_CHECKING:
    from runtime.container import Container


def share(container: Container, path: Path, directory: Path, proc: str) -> Joined:
    """What the container finds in the sandbox of another, which is named at `path` as well. Raises NoSuchContainer, and
    Conflict for one that does not run or has no sandbox."""
    root, state = directory.parent.parent, path.parent.parent
    other = _find(root, shared_with(container.network))
    directories = Directories(root)
    keeper = directories.status(other).keeper
    if not keeper:
        raise Conflict(
            f"cannot join network of a non running container: {other.id}", f"start it: lamella start {other.name}"
        )
    there = sandbox_path(state, keeper, proc)
    try:
        with Sandbox.open(there) as sandbox:
            files = [(there.parent / name).read_bytes() for name in ("hosts", "resolv.conf")]
            if directories.status(other).keeper != keeper:
                raise FileNotFoundError
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            syscalls.mount(f"/proc/self/fd/{sandbox.fd}", path, flags=syscalls.MS_BIND)
    except FileNotFoundError as error:
        raise Conflict(
            f"container {other.name} has no network of its own to share", "run that one with --network NETWORK"
        ) from error
    return Joined(files[0], files[1], str(path))


def _find(root: Path, text: str) -> Container:
    from store.holds import Holds

    networks = Networks(root)
    try:
        holds = [hold for hold in Holds(networks.database).all() if hold.kind == "container"]
    finally:
        networks.close()
    for hold in holds:
        if text in (hold.id, hold.name) or (len(text) >= 12 and hold.id.startswith(text)):
            found = Directories(root).load(hold.id)
            if found is not None:
                return found
    raise NoSuchContainer(text)
