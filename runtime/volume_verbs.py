"""What users do to volumes: create, remove, prune, list, inspect."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from core.errors import LamellaError
from core.value import Value
from store.disk import disk_errors
from store.volumes import LOCAL, Volume, VolumeInUse, VolumeNotFound, check_name

if TYPE_CHECKING:
    from runtime.volume_plugins import Kept
    from store.store import Store


def create(store: Store, volume: Volume) -> Volume:
    """Make the volume, by its plug-in where it has one. Harmless to repeat.

    Raises InvalidInput for a bad name or option, Conflict, NotFound for an unknown driver, PluginError.
    """
    check_name(volume.name)
    before = store.volumes.get(volume.name)
    if before is None and volume.driver == LOCAL and volume.options:
        from runtime.volume_options import check_options

        check_options(volume.name, volume.options)
    if before is None and volume.driver != LOCAL:
        _make_driven(volume)
    with disk_errors(store.root):
        made = store.volumes.add(volume)
    if before is None:
        _note(store, made, "create")
    return made


def _make_driven(volume: Volume) -> None:
    from runtime.volume_plugins import VolumePlugin

    try:
        VolumePlugin(volume.driver).create(volume.name, volume.options or {})
    except LamellaError as error:
        error.message = f"create {volume.name}: {error.message}"
        error.args = (error.message,)
        raise


def _note(store: Store, volume: Volume, action: str) -> None:
    from store.events import note

    note(store.root, "volume", action, volume.name, {"driver": volume.driver})


def remove(store: Store, name: str, *, force: bool = False) -> int:
    """Remove the volume with all in it; the bytes of disk that this gave back. `force`: what is not there is removed, and a
    plug-in that does not know it any more does not matter. Raises VolumeNotFound, VolumeInUse, PluginError."""
    volume = store.volumes.get(name) or _foreign(name)
    if volume is None:
        if force:
            return 0
        raise VolumeNotFound(name)
    users = store.volumes.users(name)
    if users:
        raise VolumeInUse(name, users)
    if volume.driver != LOCAL:
        from runtime.volume_plugins import VolumePlugin

        try:
            VolumePlugin(volume.driver).remove(name)
        except LamellaError:
            if not force:
                raise
    if store.volumes.get(name):
        store.volumes.remove(name)
    _note(store, volume, "destroy")
    return store.volumes.sweep()


def remove_driven(store: Store, names: Iterable[str]) -> None:
    """Finish the removal of a container's anonymous volumes: those that a plug-in keeps, and the directories of all."""
    for name in names:
        try:
            if store.volumes.get(name):
                remove(store, name)
        except LamellaError:  # another container has it, or the plug-in does not answer: it is left to be pruned
            continue
    store.volumes.sweep()


class Pruned(Value):
    """The names that went, and the bytes of disk that this gave back."""

    names: list[str]
    bytes: int


def prune(store: Store, accept: Callable[[Volume], bool], *, everything: bool) -> Pruned:
    """Remove the local volumes that no container has and `accept` takes: the anonymous ones, or (`everything`) all. Those
    with driver options are nobody's to take; they stay."""
    names = []
    for volume in store.volumes.all(dangling=True):
        if not volume.plain or not (everything or volume.anonymous) or not accept(volume):
            continue
        try:
            store.volumes.remove(volume.name)
        except (VolumeInUse, VolumeNotFound):  # since then
            continue
        _note(store, volume, "destroy")
        names.append(volume.name)
    freed = store.volumes.sweep()
    if names:
        from store.events import note

        note(store.root, "volume", "prune", "", {"reclaimed": str(freed)})
    return Pruned(names, freed)


def all_volumes(store: Store, *, dangling: bool | None = None) -> list[Volume]:
    """Those of the catalog, and those that plug-ins keep for others."""
    found = store.volumes.all(dangling=dangling)
    if dangling is False or not _any_plugins():
        return found
    known = {volume.name for volume in store.volumes.all()}
    return found + [volume for volume in _foreign_ones() if volume.name not in known]


def _any_plugins() -> bool:
    from core.plugins import SOCKETS, SPECS

    return any(os.path.isdir(place) for place in (SOCKETS, *SPECS))


def _foreign_ones() -> list[Volume]:
    from runtime.volume_plugins import every

    found = []
    for plugin in every():
        try:
            found += [Volume(kept.name, plugin.name) for kept in plugin.all()]
        except LamellaError:
            continue
    return found


def _foreign(name: str) -> Volume | None:
    """A volume that is known to a plug-in alone."""
    if not _any_plugins():
        return None
    return next((volume for volume in _foreign_ones() if volume.name == name), None)


def find(store: Store, name: str) -> Volume:
    """The volume, of the catalog or of a plug-in. Raises VolumeNotFound."""
    found = store.volumes.get(name) or _foreign(name)
    if found is None:
        raise VolumeNotFound(name)
    return found


def inspect(store: Store, volume: Volume) -> dict[str, Any]:
    """As `docker volume inspect` shows it."""
    from core.clock import format_instant

    kept, scope = _driven(volume)
    seconds = volume.created // 10**9 * 10**9
    described: dict[str, Any] = {
        "CreatedAt": kept.created_at if kept and kept.created_at else format_instant(seconds) if seconds else "",
        "Driver": volume.driver,
        "Labels": None if volume.labels is None else dict(volume.labels),
        "Mountpoint": str(store.volumes.path(volume.name))
        if volume.driver == LOCAL
        else kept.mountpoint
        if kept
        else "",
        "Name": volume.name,
        "Options": None if volume.options is None else dict(volume.options),
        "Scope": scope,
    }
    return described | ({"Status": kept.status} if kept and kept.status else {})


def place(store: Store, volume: Volume, kept: Kept | None = None) -> str:
    """Where its files are on this host; empty where only its plug-in knows, and has not told."""
    if volume.driver == LOCAL:
        return str(store.volumes.path(volume.name))
    return kept.mountpoint if kept else ""


def _driven(volume: Volume) -> tuple[Kept | None, str]:
    if volume.driver == LOCAL:
        return None, "local"
    from runtime.volume_plugins import VolumePlugin

    try:
        plugin = VolumePlugin(volume.driver)
        return plugin.get(volume.name), plugin.scope()
    except LamellaError:
        return None, "local"
