"""All containers of one store: created, found, listed, removed, and swept up after whatever was killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from core.errors import Conflict, InvalidInput, NotFound
from core.locks import FileLock, is_locked
from core.value import replace
from core.words import is_name
from runtime.container import Container
from runtime.directories import Directories, NoSuchContainer
from runtime.placing import DOOMED, give_up, place, remove_doomed, remove_place
from runtime.state import cgroups_of, state_directory
from runtime.status import STARTING, is_frozen, read_status
from store.lent import LENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.request import Request
    from snapshot.protocol import Snapshotter
    from store.holds import Hold
    from store.images import Image
    from store.store import Store

    ImageFinder = Callable[[], Image]  # called inside the catalog's transaction

KEPT = "kept"  # a file in a container's directory, locked while it is being restarted


class Containers(Directories):
    """A directory each below `<root>/containers`, a hold each in the catalog, a snapshot each for what they write."""

    def __init__(self, store: Store, snapshotter: Snapshotter) -> None:
        super().__init__(store.root)
        self.store = store
        self.snapshotter = snapshotter

    def create(
        self, request: Request, find: ImageFinder, *, running: bool = False, where: tuple[str, FileLock] | None = None
    ) -> tuple[Container, FileLock]:
        """A new container with its writable layer, and its lock, to be released or handed to a keeper.

        `find` looks the image up inside the transaction that holds it; `where` is what `place` gave, for who has called it
        before and would `give_up`. Raises Conflict for a name that is taken.
        """
        id, lock = where or place(self.store.root)
        ids = contextlib.ExitStack()
        try:
            if request.isolation and (request.isolation.userns or request.isolation.users):
                request = self._with_ids(request, ids)
            if request.volume_driver or any(mount.driver for mount in request.mounts):
                from runtime.volumes import with_drivers

                request = with_drivers(self.store, request, find)
            container, layers = self._hold(request, id, find, running)
            self.snapshotter.prepare(id, layers)
            if any(mount.kind == "volume" for mount in container.mounts):
                from runtime.copy_up import copy_up

                copy_up(self, container)
            self._write(container)
            ids.close()
            self.note(container, "create")
        except BaseException as error:
            ids.close()
            if isinstance(error, NotFound):
                from snapshot.missing import note

                note(self.store, error)
            self._forget(id, volumes=True)
            if where is None:
                give_up(self.store.root, id, lock)
            raise
        return container, lock

    def _with_ids(self, request: Request, until_written: contextlib.ExitStack) -> Request:
        from runtime.own_users import alone, check, with_ids

        isolation = request.isolation
        assert isolation
        if not isolation.users:
            until_written.enter_context(alone(self))
            isolation = with_ids(self, isolation)
        if isolation.users:
            check(isolation, privileged=request.privileged)
        return replace(request, isolation=isolation)

    def _hold(self, request: Request, id: str, find: ImageFinder, running: bool) -> tuple[Container, list[str]]:
        from runtime.request import merge
        from store.holds import Hold

        lasting = not request.auto_remove or any(mount.kind == "volume" for mount in request.mounts)
        with self.store.database.write(durable=lasting):
            image = find()
            name = self.free_name(request.name)
            config = self.store.images.config(image.id)
            container = merge(request, id, name, str(image.id), config.config)
            self.store.holds.set(Hold("container", id, name, image.id, running))
            if (
                container.volumes
                or request.volumes_from
                or any(mount.kind in ("volume", "image") for mount in request.mounts)
            ):
                from runtime.volumes import settle

                container = settle(self, container, request)
            return container, [layer.directory for layer in self.store.layers.stack(image.diff_ids)]

    def check(self, container: Container) -> None:
        """That it can be started on its layers. Raises Quarantined or LayerMissing, which is written down."""
        from snapshot.missing import refuse_missing

        self.store.layers.refuse_hold("container", container.id)
        refuse_missing(self.store, (path.name for path in self.layers(container)))

    def free_name(self, wanted: str) -> str:
        """`wanted`, or a new name where it is empty; in the caller's transaction. Raises Conflict, InvalidInput."""
        holders = {hold.name: hold.id for hold in self.store.holds.all() if hold.kind == "container"}
        if not wanted:
            from runtime.names import generate

            return generate(holders)
        if len(wanted) < 2 or not is_name(wanted, len(wanted)):
            raise InvalidInput(
                f"Invalid container name ({wanted}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                "choose another --name",
            )
        if wanted in holders:
            raise Conflict(
                f'Conflict. The container name "/{wanted}" is already in use by container "{holders[wanted]}".'
                " You have to remove (or rename) that container to be able to reuse that name."
            )
        return wanted

    def _write(self, container: Container) -> None:
        from core.files import write_file

        sync = self.store.sync and not container.auto_remove
        write_file(self.directory(container) / "config.json", container.encode(), mode=0o600, sync=sync)

    def change(self, container: Container, change: Callable[[Container], Container]) -> Container:
        """Replace the record of `container` by what `change` makes of it as it is by then; durable when this returns.

        In the catalog's transaction: one after the other changes it. Raises NoSuchContainer, and what `change` raises.
        """
        from image.digest import Digest
        from store.holds import Hold

        with self.store.database.write():
            now = self.load(container.id)
            hold = next(
                (hold for hold in self.store.holds.all() if (hold.kind, hold.id) == ("container", container.id)), None
            )
            if now is None or hold is None:
                raise NoSuchContainer(container.name)
            changed = change(replace(now, name=hold.name))
            self._write(changed)
            self.store.holds.set(Hold("container", changed.id, changed.name, Digest.parse(changed.image), hold.running))
        return changed

    def _known(self, hold: Hold) -> Container | None:
        """The container of a hold, by the name that the catalog knows: who was killed while renaming it left the file alone."""
        container = self.load(hold.id)
        return container if container is None or container.name == hold.name else replace(container, name=hold.name)

    def find(self, text: str) -> Container:
        """By full ID, name, or the unique beginning of an ID. Raises NoSuchContainer, and InvalidInput if ambiguous."""
        text = text.removeprefix("/")
        holds = [hold for hold in self.store.holds.all() if hold.kind == "container"]
        found = [h for h in holds if h.id == text] or [h for h in holds if h.name == text]
        found = found or [h for h in holds if text and h.id.startswith(text)]
        if len(found) > 1:
            raise InvalidInput(f"multiple IDs found with provided prefix: {text}", "give more digits of the ID")
        container = self._known(found[0]) if found else None
        if container is None:
            raise NoSuchContainer(text)
        return container

    def all(self) -> list[Container]:
        """Every container, newest first."""
        found = [self._known(hold) for hold in self.store.holds.all() if hold.kind == "container"]
        return sorted((c for c in found if c), key=lambda c: c.created, reverse=True)

    def layers(self, container: Container) -> list[Path]:
        """The layer directories of its image, bottom first; its hold keeps them. Raises NotFound where one is missing."""
        from image.digest import Digest
        from snapshot.places import stack

        diff_ids = self.store.images.config(Digest.parse(container.image)).diff_ids
        found = self.store.layers.get_many(diff_ids)
        missing = next((diff_id for diff_id in diff_ids if diff_id not in found), None)
        if missing:
            raise NotFound(f"layer {missing} is not in the store", "run `lamella fsck`")
        return [self.store.layer_path(name) for name in stack([found[diff_id].directory for diff_id in diff_ids])]

    def set_running(self, container: Container, running: bool) -> None:
        """Tell the catalog, which tells `rmi`."""
        from image.digest import Digest
        from store.holds import Hold

        self.store.holds.set(Hold("container", container.id, container.name, Digest.parse(container.image), running))
        home = self.root / "snapshots" / container.id
        if os.path.lexists(home / LENT):
            from snapshot.lending import release

            release(self.store, container.id, home)

    def finish(self, container: Container, code: int, finished: int = 0) -> None:
        """Its processes have ended with `code`: write it down, and remove it if that was asked for. Harmless to repeat.

        For who has its lock, or is below the keeper that has it; everybody else calls `conclude`.
        """
        if container.health:
            from runtime.supervision import dismiss, is_timed

            if is_timed(self.directory(container)):
                dismiss(self.directory(container))
        if any(mount.driver for mount in container.mounts):
            from runtime.status import last_status
            from runtime.volume_sources import release

            release(self, container, ran=last_status(self.directory(container)).running)
        self.ended(container, code, finished)
        if not container.plain:
            from runtime.cgroups import leave

            leave(container, state_directory(self.store.root), self.directory(container))
        self._leave(container)
        if not container.auto_remove:
            self.set_running(container, False)
        elif not is_locked(self.directory(container) / KEPT):  # or the catalog goes on believing that it runs
            self._discard(container.id, volumes=True)
            self.note(container, "destroy")

    def conclude(self, container: Container, code: int) -> None:
        """`finish`, unless somebody else was faster, or has started it again."""
        with contextlib.suppress(NotFound):
            lock = self.lock(container) or self._turn(container)
            if lock is None:
                return
            try:
                self.finish(container, code)
            finally:
                lock.release()

    def _turn(self, container: Container) -> FileLock | None:
        from runtime.starting import turn

        return turn(self, container)

    def remove(self, container: Container, *, wait: bool = False, volumes: bool = False) -> None:
        """Remove a container that does not run, with all it has written; `volumes`: also the anonymous ones made for it.

        Raises Conflict where it runs, or, with `wait`, takes its turn after whoever has to do with it.
        """
        if not wait and self.status(container).state == "restarting":
            raise self._in_use(container)
        lock = self.lock(container, wait=wait)
        if lock is None:
            raise self._in_use(container)
        try:
            self._leave(container)
            if not volumes and self._own_volumes(container.id):
                self.store.volumes.disown(container.id)  # so that nobody who finishes this takes them
            self._discard(container.id, volumes=volumes)
        finally:
            lock.release()
        self.note(container, "destroy")

    def _in_use(self, container: Container) -> Conflict:
        status = self.status(container)
        if status.paused:
            why = "container is paused and must be unpaused first"
        else:
            doing = "restarting" if status.state == "restarting" else "running"
            why = f"container is {doing}: stop the container before removing or force remove"
        return Conflict(f'cannot remove container "/{container.name}": {why}', f"lamella rm -f {container.name}")

    def _leave(self, container: Container) -> None:
        """Off its networks, where it was on any."""
        if container.net is not None:
            from runtime.leaving import leave

            leave(self.root, container)

    def _discard(self, id: str, *, volumes: bool) -> None:
        remove_place(self._root, id)
        self._forget(id, volumes=volumes)

    def _forget(self, id: str, *, volumes: bool) -> None:
        self.snapshotter.remove(id)
        own = self._own_volumes(id) if volumes else []
        with self.store.database.write(durable=bool(own)):
            self.store.holds.delete("container", id)
            for name in own:
                self.store.volumes.remove_unused(name)
        if own:
            from runtime.volume_verbs import remove_driven

            remove_driven(self.store, own)

    def _own_volumes(self, id: str) -> list[str]:
        """The anonymous volumes that were made for the container: asked for without loading what volumes need."""
        chosen = "SELECT volume FROM hold_volumes WHERE kind = 'container' AND id = ? AND own"
        return [row[0] for row in self.store.database.read().execute(chosen, (id,)).fetchall()]

    def sweep(self) -> None:
        """Finish what killed processes left: containers half made, `--rm` ones that ended unseen, stale holds.

        Harmless to repeat, and beside other commands: whatever has a living owner is locked.
        """
        held = {hold.id: hold for hold in self.store.holds.all() if hold.kind == "container"}
        if self.store.database.read().execute("SELECT 1 FROM garbage WHERE kind = 'volume'").fetchone():
            self.store.volumes.sweep()
        for id in set(os.listdir(self._root)) | set(held):
            if id.startswith(DOOMED):
                if not is_locked(self._root / id / "state"):
                    remove_doomed(self._root / id)
                continue
            if id in held and not held[id].running and os.path.exists(f"{self._root}/{id}/config.json"):
                continue  # whole and at rest: nobody who was killed can have left anything to finish
            lock = FileLock(self._root / id / "state")
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if not lock.acquire(wait=False) and not (self._cut_short(id) and lock.acquire(wait=False)):
                    self._let_go(id)
                    continue
            try:
                self._sweep(id, running=id in held and held[id].running)
            finally:
                lock.release()
        self._sweep_cgroups()

    def _sweep_cgroups(self) -> None:
        state = state_directory(self.store.root)
        if cgroups_of(state):
            from runtime.cgroups import sweep

            sweep(state, lambda id: is_locked(self._root / id / "state"))

    def _cut_short(self, id: str) -> bool:
        """Whether whoever was to start it was killed; then its keeper, which waited for that, has ended."""
        if not os.path.exists(self._root / id / STARTING):
            return False
        from runtime.starting import end_half_started

        end_half_started(self._root / id)
        return True

    def _let_go(self, id: str) -> None:
        """It goes on, where whoever had made it stand still for a moment was killed."""
        if is_frozen(self._root / id) and (container := self.load(id)):
            from runtime.frozen import let_go

            let_go(self, container)

    def _sweep(self, id: str, *, running: bool) -> None:
        container = self.load(id)
        if container is None:
            self._discard(id, volumes=True)
        else:
            self.settle(container, running=running)

    def settle(self, container: Container, *, running: bool = True) -> None:
        """Bring files and catalog in line for a container that does not run and whose lock the caller holds.

        `running` is what the catalog believes. Harmless to repeat.
        """
        id = container.id
        status = read_status(self.directory(container), locked_by_us=True)
        if status.state == "exited" and (running or container.auto_remove):
            self.finish(container, status.exit_code, status.finished)
        elif status.state == "created" and running:
            self._leave(container)
            self._discard(id, volumes=True) if container.auto_remove else self.set_running(container, False)
