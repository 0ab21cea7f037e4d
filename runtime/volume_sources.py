"""What a container's volumes are on this host when it starts: a directory, or a mount that is made for it now.

A volume that is more than its directory (driver options, a plug-in) is got as a mount that is nowhere yet, and moved to the
volume's directory in the mount namespace of the container's keeper alone: whatever is killed, the kernel frees it. Containers
that run already pass on what they have, so all see the same tmpfs.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import LamellaError, NotFound, Unavailable
from core.forked import in_child
from core.locks import FileLock
from core.value import replace
from runtime.box import Box
from runtime.mounts import Mount
from runtime.state import state_directory
from store.volumes import LOCAL

if TYPE_CHECKING:
    from runtime.container import Container
    from runtime.containers import Containers
    from store.volumes import Volume

PATIENCE_SECONDS = 10.0
_FLAGS = {"ro": os.ST_RDONLY, "nosuid": os.ST_NOSUID, "noexec": os.ST_NOEXEC}  # runtimes forget those of what they bind


class Attachment:
    """Volumes on their way to the keeper of one container. To be made where the host's mounts are seen; then `move`, and
    `close` when `Containers.status` tells who its keeper is."""

    def __init__(self, containers: Containers, container: Container) -> None:
        """Raises NotFound where a volume or its directory is gone, Unavailable where it cannot be mounted."""
        self._trees: list[tuple[int, Path]] = []
        self._locks: list[FileLock] = []
        self._words: dict[str, tuple[str, ...]] = {}
        self._containers = containers
        try:
            for name in sorted({mount.name for mount in container.mounts if mount.kind == "volume"}):
                self._prepare(container, name)
            self.container = replace(container, mounts=tuple(map(self._ready, container.mounts)))
        except BaseException:
            self.close()
            raise

    def _prepare(self, container: Container, name: str) -> None:
        volumes = self._containers.store.volumes
        volume, path = volumes.find(name), volumes.path(name)
        if not path.is_dir():
            raise NotFound(f"the volume {name} has lost its directory {path}", "run `lamella fsck --repair`")
        if volume.plain:
            from runtime.copy_up import finish

            finish(volumes.home(name))
            return
        lock = FileLock(volumes.home(name) / "lock")  # who comes next has to find what we have mounted
        lock.acquire()
        self._locks.append(lock)
        tree = tree_of(self._containers, container.id, volume)
        self._trees.append((tree, path))
        flags = os.fstatvfs(tree).f_flag
        self._words[name] = tuple(word for word, bit in _FLAGS.items() if flags & bit)

    def _ready(self, mount: Mount) -> Mount:
        if mount.kind == "image":
            return replace(mount, options=_layers(self._containers, mount))
        if mount.kind == "volume":
            options = mount.options + self._words.get(mount.name, ())
            return replace(mount, source=os.fspath(self._containers.store.volumes.path(mount.name)), options=options)
        return mount

    def move(self, keeper: int = 0) -> None:
        """Mount them, in the namespace of `keeper`, which is about to make its own private; here, if that is private."""
        from core import syscalls

        if keeper and self._trees:
            fd = _namespace(self._containers, keeper)

            def inside() -> None:
                syscalls.setns(fd, syscalls.CLONE_NEWNS)
                self.move()

            try:
                _in_child(inside, "cannot mount the volumes")
            finally:
                os.close(fd)
        else:
            for tree, path in self._trees:
                syscalls.move_tree(tree, path)

    def note(self) -> None:
        """Tell the log of events that the container has its volumes now."""
        _note(self._containers, self.container, "mount")

    def unmount(self) -> None:
        """Undo a `move` to this namespace."""
        from core import syscalls

        for _, path in self._trees:
            with contextlib.suppress(OSError):
                syscalls.unmount(path)

    def close(self) -> None:
        """Harmless to repeat; what was moved stays."""
        while self._trees:
            os.close(self._trees.pop()[0])
        while self._locks:
            self._locks.pop().release()


@contextlib.contextmanager
def attached(containers: Containers, container: Container, mounts: Iterable[Mount]) -> Iterator[None]:
    """Mount those volumes of a container that does not run here, where mounts are private, for the block."""
    attachment = Attachment(containers, replace(container, mounts=tuple(mounts)))
    try:
        attachment.move()
        yield
    finally:
        attachment.unmount()
        attachment.close()
        release(containers, container)


def _layers(containers: Containers, mount: Mount) -> tuple[str, ...]:
    from image.digest import Digest

    store = containers.store
    diff_ids = store.images.config(Digest.parse(mount.source)).diff_ids
    return tuple(layer.directory for layer in store.layers.stack(diff_ids))


@contextlib.contextmanager
def opened(containers: Containers, volume: Volume) -> Iterator[Path]:
    """The directory with what is in the volume, for the block, whether a container has it or not. Where something has to be
    mounted for that, this process moves into a private mount namespace."""
    from core import syscalls
    from core.namespaces import enter_private_mounts

    path = containers.store.volumes.path(volume.name)
    if volume.plain:
        yield path
        return
    user = f"lamella-{os.urandom(8).hex()}"
    tree = tree_of(containers, user, volume)
    try:
        enter_private_mounts()
        syscalls.move_tree(tree, path)
        yield path
        syscalls.unmount(path)
    finally:
        os.close(tree)
        _unmount(volume.name, volume.driver, user)


def tree_of(containers: Containers, user: str, volume: Volume) -> int:
    """A descriptor of the volume's mount, for `user`, a container's ID. Raises Unavailable, PluginError."""
    from core import syscalls
    from runtime.volume_options import make_tree

    path = containers.store.volumes.path(volume.name)
    if volume.driver == LOCAL:
        passed_on = _from_peers(containers, user, volume.name, path)
        return make_tree(volume.name, os.fspath(path), volume.options or {}) if passed_on is None else passed_on
    from runtime.volume_plugins import VolumePlugin

    place = VolumePlugin(volume.driver).mount(volume.name, user)
    try:
        return syscalls.open_tree(place, syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE)
    except OSError as error:
        raise Unavailable(f"cannot take the volume {volume.name} from {place}: {error.strerror}") from error


def _from_peers(containers: Containers, user: str, name: str, path: Path) -> int | None:
    """A copy of what a running container has mounted, so that all see the same."""
    for id in containers.store.volumes.users(name):
        peer = containers.load(id) if id != user else None
        keeper = containers.status(peer).keeper if peer else 0
        tree = _taken(keeper, path) if keeper else None
        if tree is not None:
            return tree
    return None


def _taken(keeper: int, path: Path) -> int | None:
    from core import syscalls

    try:
        namespace = os.open(f"/proc/{keeper}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    ours, theirs = socket.socketpair()

    def send() -> None:
        syscalls.setns(namespace, syscalls.CLONE_NEWNS)
        if os.path.ismount(path):
            tree = syscalls.open_tree(os.fspath(path), syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE)
            socket.send_fds(theirs, [b"x"], [tree])

    with ours:
        with theirs, contextlib.suppress(Unavailable):
            _in_child(send, "cannot look into a running container")
        os.close(namespace)
        received = socket.recv_fds(ours, 1, 1)[1]
    return received[0] if received else None


def _namespace(containers: Containers, keeper: int) -> int:
    """The keeper's mount namespace, as soon as nothing that is mounted in it is seen outside: it has its box then."""
    box = f" {Box(state_directory(containers.store.root)).path} "
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            if box in Path(f"/proc/{keeper}/mountinfo").read_text(errors="surrogateescape"):
                return os.open(f"/proc/{keeper}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable("the container's keeper has died", "try again") from error
        time.sleep(0.002)
    raise Unavailable("the container's keeper does not get ready", "try again")


def _in_child(work: Callable[[], object], what: str) -> None:
    try:
        in_child(work)
    except OSError as error:
        raise Unavailable(f"{what}: {str(error.strerror).lower()}", "try again") from error


def release(containers: Containers, container: Container, *, ran: bool = False) -> None:
    """Tell the plug-ins that the container does not use their volumes any more, and if it `ran` the log of events. Never fails;
    harmless to repeat."""
    for mount in container.mounts:
        if mount.kind == "volume":
            _unmount(mount.name, mount.driver, container.id)
    if ran:
        _note(containers, container, "unmount")


def _note(containers: Containers, container: Container, action: str) -> None:
    from store.events import Event, note_all

    events = []
    for mount in container.mounts:
        if mount.kind == "volume":
            more = {"destination": mount.target, "propagation": "", "read/write": str(not mount.read_only).lower()}
            about = {"container": container.id, "driver": mount.driver, **(more if action == "mount" else {})}
            events.append(Event("volume", action, mount.name, about))
    note_all(containers.store.root, events)


def _unmount(name: str, driver: str, user: str) -> None:
    if driver != LOCAL:
        from runtime.volume_plugins import VolumePlugin

        with contextlib.suppress(LamellaError):
            VolumePlugin(driver).unmount(name, user)
