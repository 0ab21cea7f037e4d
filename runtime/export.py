"""A container's whole root file system as a flat tar, whether it runs or not."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

from core.errors import Unavailable
from layer.flat import flatten
from layer.pack import Write
from runtime.container import Container
from runtime.containers import Containers
from runtime.enter import NotRunning
from runtime.reaching import keeper_and_first, lock_or_enter
from runtime.streams import wait


def export(containers: Containers, container: Container, write: Write) -> None:
    """Give the tar to `write`, piece by piece: what the container's root shows, without what is mounted in it (volumes).

    A running container goes on meanwhile. Needs private mounts (`core.namespaces`). Raises Unavailable, OSError.
    """
    with root_of(containers, container) as root:
        if container.isolation and container.isolation.users and root.startswith("/proc/"):
            _as_one_of_its_users(containers, container, lambda tell: flatten(root, tell), write)
        else:
            flatten(root, write)
    containers.note(container, "export")


def _as_one_of_its_users(
    containers: Containers, container: Container, work: Callable[[Write], object], write: Write
) -> None:
    """Do `work` in a child in the running container's user namespace, to which its files belong to whom it says."""
    from core import syscalls

    _, first = keeper_and_first(containers, container)
    users = os.open(f"/proc/{first}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    read, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            syscalls.setns(users, syscalls.CLONE_NEWUSER)
            with open(tell, "wb") as pipe:
                work(pipe.write)
            code = 0
        finally:
            os._exit(code)
    os.close(users)
    os.close(tell)
    with open(read, "rb", buffering=0) as pipe:
        while data := pipe.read(1 << 20):
            write(data)
    if wait(child):
        raise Unavailable(f"cannot read all of the running container {container.name}", "stop it first")


@contextlib.contextmanager
def root_of(containers: Containers, container: Container) -> Iterator[str]:
    """A path of the container's root, without anything that is mounted in it; one that does not run cannot be started for
    the block. Raises Unavailable."""
    found = lock_or_enter(containers, container, lambda: _tree(containers, container))
    if isinstance(found, int):
        try:
            yield f"/proc/self/fd/{found}/."
        finally:
            os.close(found)
        return
    try:
        with containers.snapshotter.mounted(container.id, durable=True) as root:
            yield os.fspath(root)
    finally:
        found.release()


def _tree(containers: Containers, container: Container) -> int:
    """A descriptor of a copy of the running container's root mount, fetched by a child that enters its namespace."""
    from core import syscalls

    keeper, first = keeper_and_first(containers, container)
    try:
        namespace = os.open(f"/proc/{first}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotRunning(container) from error
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                syscalls.setns(namespace, syscalls.CLONE_NEWNS)
                socket.send_fds(theirs, [b"x"], [syscalls.open_tree("/")])
                code = 0
            finally:
                os._exit(code)
        theirs.close()
        os.close(namespace)
        received = socket.recv_fds(ours, 1, 1)[1]
        wait(child)
    # The pid could have been somebody else's by the time it was looked at, unless the container still runs.
    if containers.status(container).keeper != keeper:
        for fd in received:
            os.close(fd)
        raise NotRunning(container)
    if not received:
        raise Unavailable(f"cannot look into the running container {container.name}", "stop it first")
    return received[0]
